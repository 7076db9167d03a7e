//! Kernel parameters that belong to a namespace, and therefore to a container; sysctl(8), proc_sys(5).

use crate::Problem;
use crate::bundle::sysctl::{sysctl_namespace, sysctl_path};
use std::collections::BTreeMap;

const SECTION: &str = "config-linux.md#sysctl";

/// The namespace that a parameter belongs to. It must not be the host's.
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

    fn from_name(name: &str) -> Option<Self> {
        [Self::Ipc, Self::Network, Self::Uts, Self::User].into_iter().find(|one| one.name() == name)
    }
}

/// A parameter to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Path below `/proc/sys`, without a leading slash.
    pub path: String,
    /// The text to write.
    pub value: String,
    /// The namespace it belongs to.
    pub namespace: SysctlNamespace,
    /// Its JSON pointer in `config.json`.
    pub pointer: String,
}

/// Reads the parameters. `own` says whether the container has a namespace of this type that is not the host's.
///
/// # Errors
/// If a name is not a path below `/proc/sys`, or the parameter belongs to no namespace or to one of the host; also
/// for `kernel.hostname`, because the spec has the field `hostname`.
pub fn parse(
    sysctl: &BTreeMap<String, String>,
    own: impl Fn(SysctlNamespace) -> bool,
    at: &str,
) -> Result<Vec<Sysctl>, Vec<Problem>> {
    let (mut result, mut problems) = (Vec::with_capacity(sysctl.len()), Vec::new());
    for (name, value) in sysctl {
        let pointer = format!("{at}/sysctl/{}", name.replace('~', "~0").replace('/', "~1"));
        match check(name, &own) {
            Ok((path, namespace)) => result.push(Sysctl { path, value: value.clone(), namespace, pointer }),
            Err(message) => problems.push(Problem::new(pointer, message, SECTION)),
        }
    }
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

fn check(name: &str, own: &impl Fn(SysctlNamespace) -> bool) -> Result<(String, SysctlNamespace), String> {
    let path = sysctl_path(name).ok_or_else(|| format!("sysctl {name:?} is not a name below /proc/sys"))?;
    let namespace = sysctl_namespace(&path)
        .and_then(SysctlNamespace::from_name)
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
    fn names_become_paths_of_their_namespace() {
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
    fn parameters_of_the_hosts_namespaces_are_refused() {
        assert!(
            of("net.core.somaxconn", &[SysctlNamespace::Ipc]).unwrap_err().contains("host network namespace")
        );
        assert!(of("kernel.shmmax", &[SysctlNamespace::Network]).unwrap_err().contains("no ipc namespace"));
        assert!(of("net/x~/y", &[]).unwrap_err().starts_with("/linux/sysctl/net~1x~0~1y: "));
    }
}
