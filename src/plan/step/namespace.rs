//! Cgroups, namespaces and what belongs to them: host name, loopback, kernel parameters.

use super::slot::SlotId;
use crate::Phase;
use crate::namespace::NamespaceKind;
use nix::errno::Errno;
use std::fmt;

/// The namespaces that are joined through one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinTarget {
    /// The one of a kind.
    One(NamespaceKind),
    /// Those of a container, by `CLONE_NEW*`.
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

/// A step into cgroups and namespaces, or one that fills a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceStep {
    /// Write 0 to a v1 hierarchy's `tasks`.
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
    /// setresgid(0), setresuid(0) in a user namespace just entered.
    BecomeRoot,
    /// A fresh time namespace for the program, with these offsets.
    TimeNamespace {
        /// As `/proc/PID/timens_offsets` takes them; empty for none.
        offsets: String,
    },
    /// `lo` up.
    Loopback,
    /// sethostname(2).
    HostName(String),
    /// setdomainname(2).
    DomainName(String),
    /// A kernel parameter.
    Sysctl {
        /// Its file below /proc/sys.
        path: String,
        /// What is written.
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

/// `CLONE_NEW*` as the names of the runtime-spec.
pub(super) fn namespaces(flags: u64) -> String {
    let names: Vec<_> = (0..64)
        .map(|bit| flags & (1 << bit))
        .filter_map(NamespaceKind::from_flag)
        .map(NamespaceKind::name)
        .collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}
