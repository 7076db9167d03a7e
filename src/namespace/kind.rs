//! The eight types of namespaces; namespaces(7).

use std::fmt;
use std::path::Path;

/// A type of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceKind {
    /// Root directory of cgroups; cgroup_namespaces(7).
    Cgroup,
    /// System V IPC and POSIX message queues; ipc_namespaces(7).
    Ipc,
    /// Mounts; mount_namespaces(7).
    Mount,
    /// Network; network_namespaces(7).
    Network,
    /// Process ids; pid_namespaces(7).
    Pid,
    /// Monotonic and boot time clocks; time_namespaces(7).
    Time,
    /// User and group ids, capabilities; user_namespaces(7).
    User,
    /// Host and domain name; uts_namespaces(7).
    Uts,
}

impl NamespaceKind {
    /// All types, sorted by name.
    pub const ALL: [Self; 8] =
        [Self::Cgroup, Self::Ipc, Self::Mount, Self::Network, Self::Pid, Self::Time, Self::User, Self::Uts];

    /// The name in the runtime-spec (`config-linux.md#namespaces`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    /// The type with this name in the runtime-spec.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its `CLONE_NEW*` flag.
    pub const fn flag(self) -> u64 {
        match self {
            Self::Cgroup => libc::CLONE_NEWCGROUP as u64,
            Self::Ipc => libc::CLONE_NEWIPC as u64,
            Self::Mount => libc::CLONE_NEWNS as u64,
            Self::Network => libc::CLONE_NEWNET as u64,
            Self::Pid => libc::CLONE_NEWPID as u64,
            Self::Time => 0x80,
            Self::User => libc::CLONE_NEWUSER as u64,
            Self::Uts => libc::CLONE_NEWUTS as u64,
        }
    }

    /// The type with this `CLONE_NEW*` flag.
    pub fn from_flag(flag: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.flag() == flag)
    }

    /// Its file in `/proc/<pid>/ns`, which is the namespace that the process is in.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Network => "net",
            other => other.name(),
        }
    }

    /// The indefinite article of its name.
    pub(super) const fn article(self) -> &'static str {
        if matches!(self, Self::Ipc) { "an" } else { "a" }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The types that the running kernel has.
pub fn supported() -> Vec<NamespaceKind> {
    NamespaceKind::ALL
        .into_iter()
        .filter(|kind| Path::new("/proc/self/ns").join(kind.file()).exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_flag_and_file() {
        assert!(NamespaceKind::ALL.is_sorted_by_key(|kind| kind.name()));
        for kind in NamespaceKind::ALL {
            assert_eq!(NamespaceKind::from_name(kind.name()), Some(kind));
            assert_eq!(NamespaceKind::from_flag(kind.flag()), Some(kind));
        }
        assert_eq!(NamespaceKind::from_name("mnt"), None);
        assert!(supported().contains(&NamespaceKind::Mount));
        for kind in supported() {
            let fd = std::fs::File::open(Path::new("/proc/self/ns").join(kind.file())).unwrap();
            assert_eq!(crate::sys::userns::namespace_type(&fd).unwrap() as u64, kind.flag());
        }
    }
}
