//! Steps into cgroups and namespaces, and steps that set up a namespace: host name, loopback, kernel parameters.

use super::slot::SlotId;
use crate::Phase;
use crate::namespace::NamespaceKind;
use nix::errno::Errno;
use std::fmt;

/// The namespaces that are joined through one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTarget {
    /// One namespace, through its file.
    One(NamespaceKind),
    /// Several namespaces of a process (`CLONE_NEW*`), through its pidfd.
    Container(u64),
}

impl JoinTarget {
    /// `CLONE_NEW*`, for setns(2).
    pub(in super::super) fn flags(self) -> u64 {
        match self {
            Self::One(kind) => kind.flag(),
            Self::Container(flags) => flags,
        }
    }
}

impl fmt::Display for JoinTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(kind) => kind.fmt(f),
            Self::Container(_) => f.write_str("container's"),
        }
    }
}

/// A step into a cgroup or a namespace, or one that sets up a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceStep {
    /// Write 0 to the files by which a process joins its cgroup: `tasks` on v1, `cgroup.procs` on v2.
    JoinCgroup {
        /// The open files.
        slots: Vec<SlotId>,
    },
    /// Write 0 to the `tasks` file of a resctrl group.
    JoinResctrl {
        /// The open files.
        slots: Vec<SlotId>,
    },
    /// setns(2).
    JoinNamespace {
        /// A namespace file, or the pidfd of a process.
        slot: SlotId,
        /// What is joined through it.
        target: JoinTarget,
    },
    /// unshare(2).
    Unshare {
        /// `CLONE_NEW*`.
        namespaces: u64,
    },
    /// setresgid(2) and setresuid(2) to 0, in a user namespace that was just entered.
    BecomeRoot,
    /// A new time namespace, which execve(2) enters, with these offsets.
    TimeNamespace {
        /// The text for `/proc/PID/timens_offsets`; empty to leave the clocks as they are.
        offsets: String,
    },
    /// Bring up `lo`.
    Loopback,
    /// sethostname(2).
    HostName(String),
    /// setdomainname(2).
    DomainName(String),
    /// A kernel parameter.
    Sysctl {
        /// Its file below /proc/sys.
        path: String,
        /// Its value.
        value: String,
    },
}

impl NamespaceStep {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::JoinCgroup { .. } | Self::JoinResctrl { .. } => Phase::Cgroup,
            Self::JoinNamespace { .. }
            | Self::Unshare { .. }
            | Self::BecomeRoot
            | Self::TimeNamespace { .. }
            | Self::Loopback
            | Self::HostName(_)
            | Self::DomainName(_)
            | Self::Sysctl { .. } => Phase::Namespace,
        }
    }

    pub(super) fn hint(&self, errno: Errno) -> Option<&'static str> {
        match self {
            Self::JoinCgroup { .. } => {
                (errno == Errno::ENOSPC).then_some("the cgroup's cpuset has no cpus or mems")
            }
            Self::BecomeRoot => {
                (errno == Errno::EINVAL).then_some("the id is not mapped into the user namespace")
            }
            Self::JoinResctrl { .. }
            | Self::JoinNamespace { .. }
            | Self::Unshare { .. }
            | Self::TimeNamespace { .. }
            | Self::Loopback
            | Self::HostName(_)
            | Self::DomainName(_)
            | Self::Sysctl { .. } => None,
        }
    }
}

impl fmt::Display for NamespaceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JoinCgroup { slots } => write!(f, "join the cgroup in {} hierarchies", slots.len()),
            Self::JoinResctrl { slots } => {
                let monitor = if slots.len() > 1 { " and its monitoring group" } else { "" };
                write!(f, "join the class of service{monitor}")
            }
            Self::JoinNamespace { target, .. } => write!(f, "join the {target} namespace"),
            Self::Unshare { namespaces: new } => write!(f, "unshare namespaces: {}", namespaces(*new)),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::TimeNamespace { offsets } => {
                write!(f, "new time namespace {}", offsets.trim_end().replace('\n', ", "))
            }
            Self::Loopback => f.write_str("bring up loopback"),
            Self::HostName(name) => write!(f, "host name {name}"),
            Self::DomainName(name) => write!(f, "domain name {name}"),
            Self::Sysctl { path, value } => write!(f, "write {value:?} to {path}"),
        }
    }
}

/// `CLONE_NEW*` flags as the runtime-spec's names.
pub(super) fn namespaces(flags: u64) -> String {
    let names: Vec<_> = (0..64)
        .map(|bit| flags & (1 << bit))
        .filter_map(NamespaceKind::from_flag)
        .map(NamespaceKind::name)
        .collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}
