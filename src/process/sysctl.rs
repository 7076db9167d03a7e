//! Kernel parameters which belong to a namespace, and so to a container; sysctl(8), proc_sys(5).

use super::problem;
use crate::Problem;
use std::collections::BTreeMap;

const SECTION: &str = "config-linux.md#sysctl";

/// The namespace which a parameter belongs to; it must be the container's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SysctlNamespace {
    /// An IPC namespace.
    Ipc,
    /// A network namespace.
    Network,
    /// A UTS namespace.
    Uts,
    /// A user namespace.
    User,
}

impl SysctlNamespace {
    /// The namespace's name in the runtime-spec.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipc => "ipc",
            Self::Network => "network",
            Self::Uts => "uts",
            Self::User => "user",
        }
    }
}

/// A parameter to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Path below `/proc/sys`, without a leading slash.
    pub path: String,
    /// What to write.
    pub value: String,
    /// The namespace it belongs to.
    pub namespace: SysctlNamespace,
    /// Where it stands in `config.json`.
    pub pointer: String,
}

/// The path below `/proc/sys` of a parameter's name: the first of `.` and `/` in it is its separator,
/// the other one then stands for itself with the two swapped (`net.ipv4.conf.eno1/100.forwarding`).
fn path(name: &str) -> Option<String> {
    let dotted = name.find(['.', '/']).is_some_and(|i| name.as_bytes()[i] == b'.');
    let path: String = if dotted {
        name.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    } else {
        name.to_owned()
    };
    let sound = !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    sound.then_some(path)
}

/// The namespace of the parameter at a path below `/proc/sys`; `None` where it belongs to the host.
fn namespace_of(path: &str) -> Option<SysctlNamespace> {
    match path {
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced"
        | "kernel/auto_msgmni"
        | "kernel/msg_next_id"
        | "kernel/sem_next_id"
        | "kernel/shm_next_id" => Some(SysctlNamespace::Ipc),
        "kernel/domainname" | "kernel/hostname" => Some(SysctlNamespace::Uts),
        _ if path.starts_with("fs/mqueue/") => Some(SysctlNamespace::Ipc),
        _ if path.starts_with("net/") => Some(SysctlNamespace::Network),
        _ if path.starts_with("user/") => Some(SysctlNamespace::User),
        _ => None,
    }
}

/// Reads the parameters. `own` tells whether the container has such a namespace apart from the host's.
///
/// # Errors
/// A name which is no path below `/proc/sys`, which belongs to no namespace or to one shared with the
/// host; `kernel.hostname`, for which the spec has the field `hostname`.
pub fn parse(
    sysctl: &BTreeMap<String, String>,
    own: impl Fn(SysctlNamespace) -> bool,
    at: &str,
) -> Result<Vec<Sysctl>, Vec<Problem>> {
    let (mut result, mut problems) = (Vec::with_capacity(sysctl.len()), Vec::new());
    for (name, value) in sysctl {
        let pointer = format!("{at}/sysctl/{}", name.replace('~', "~0").replace('/', "~1"));
        match one(name, &own) {
            Ok((path, namespace)) => result.push(Sysctl { path, value: value.clone(), namespace, pointer }),
            Err(message) => problems.push(problem(pointer, message, SECTION)),
        }
    }
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

fn one(name: &str, own: &impl Fn(SysctlNamespace) -> bool) -> Result<(String, SysctlNamespace), String> {
    let path = path(name).ok_or_else(|| format!("sysctl {name:?} is no name below /proc/sys"))?;
    let namespace = namespace_of(&path)
        .ok_or_else(|| format!("sysctl {name:?} is not in a separate kernel namespace"))?;
    if path == "kernel/hostname" {
        return Err(format!(
            "sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field"
        ));
    }
    if own(namespace) {
        Ok((path, namespace))
    } else if namespace == SysctlNamespace::Network {
        Err(format!("sysctl {name:?} not allowed in host network namespace"))
    } else {
        Err(format!(
            "sysctl {name:?} is not allowed: the container has no {} namespace of its own",
            namespace.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, own: &[SysctlNamespace]) -> Result<String, String> {
        let map = BTreeMap::from([(name.to_owned(), "1".to_owned())]);
        match parse(&map, |n| own.contains(&n), "/linux") {
            Ok(list) => Ok(list[0].path.clone()),
            Err(problems) => Err(problems[0].to_string()),
        }
    }

    #[test]
    fn names_and_paths() {
        let all =
            &[SysctlNamespace::Ipc, SysctlNamespace::Network, SysctlNamespace::Uts, SysctlNamespace::User];
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eno1/100.forwarding", "net/ipv4/conf/eno1.100/forwarding"),
            ("net/ipv4/conf/eno1.100/forwarding", "net/ipv4/conf/eno1.100/forwarding"),
            ("kernel.msgmax", "kernel/msgmax"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
            ("kernel.domainname", "kernel/domainname"),
            ("user.max_user_namespaces", "user/max_user_namespaces"),
        ] {
            assert_eq!(of(name, all).as_deref(), Ok(path));
        }
        for bad in [
            "vm.swappiness",
            "kernel.core_pattern",
            "net",
            "net..x",
            "net/../kernel/x",
            "/net/x",
            "",
            "net.//.kernel",
            "net.//",
            "kernel.hostname",
            "net/./x",
            "fs.mqueue",
        ] {
            assert!(of(bad, all).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_own_namespaces() {
        assert!(
            of("net.core.somaxconn", &[SysctlNamespace::Ipc]).unwrap_err().contains("host network namespace")
        );
        assert!(of("kernel.shmmax", &[SysctlNamespace::Network]).unwrap_err().contains("no ipc namespace"));
        assert!(of("net/x~/y", &[]).unwrap_err().starts_with("/linux/sysctl/net~1x~0~1y: "));
    }
}
