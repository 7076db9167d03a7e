//! Steps of the host side.

use super::namespace::namespaces;
use crate::Phase;
use crate::bundle::HookKind;
use std::fmt;

/// A step of the host side. If the stub needs its result, a [`ControlStep`](super::ControlStep) before it waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostStep {
    /// Create the cgroup and write its limits.
    CreateCgroup {
        /// Its directory.
        path: String,
    },
    /// Create the resctrl groups and write their schemata.
    CreateResctrl {
        /// The directory of the class of service (resctrl's control group).
        path: String,
        /// Whether the container also gets a monitoring group.
        monitor: bool,
    },
    /// Let systemd create the cgroup, as a scope around the waiting process, and write the limits that it does not know.
    StartScope {
        /// The scope's name.
        unit: String,
        /// The cgroup's directory.
        path: String,
    },
    /// Move the waiting process into its cgroup.
    MoveIntoCgroup,
    /// Spawn the stub in new namespaces.
    Spawn {
        /// `CLONE_NEW*` of the namespaces.
        namespaces: u64,
        /// Whether the stub is cloned into its cgroup (`CLONE_INTO_CGROUP`).
        into_cgroup: bool,
    },
    /// Write uid_map and gid_map.
    WriteIdMaps,
    /// Move network devices of the host into the container's network namespace.
    MoveNetDevices {
        /// For each device, its name on the host and its name in the container.
        devices: Vec<(String, String)>,
    },
    /// Run hooks.
    RunHooks {
        /// The kind of the hooks.
        kind: HookKind,
        /// The number of hooks.
        count: usize,
    },
    /// Record the state, write the pid file.
    RecordCreated,
    /// sched_setattr(2) on the process.
    SetScheduler {
        /// `struct sched_attr`.
        attr: [u8; 56],
        /// Whether the container's cgroup limits its processors.
        cpuset: bool,
    },
}

impl HostStep {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::CreateCgroup { .. }
            | Self::CreateResctrl { .. }
            | Self::StartScope { .. }
            | Self::MoveIntoCgroup => Phase::Cgroup,
            Self::Spawn { .. } => Phase::Launch,
            Self::WriteIdMaps | Self::MoveNetDevices { .. } => Phase::Namespace,
            Self::RunHooks { .. } => Phase::Hook,
            Self::RecordCreated | Self::SetScheduler { .. } => Phase::Process,
        }
    }
}

impl fmt::Display for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateCgroup { path } => write!(f, "create cgroup {path}"),
            Self::CreateResctrl { path, monitor } => {
                let monitor = if *monitor { ", with a monitoring group" } else { "" };
                write!(f, "class of service {path}{monitor}")
            }
            Self::StartScope { unit, path } => write!(f, "start systemd unit {unit}, cgroup {path}"),
            Self::MoveIntoCgroup => f.write_str("move the process into its cgroup"),
            Self::Spawn { namespaces: new, into_cgroup } => {
                let cgroup = if *into_cgroup { ", in its cgroup" } else { "" };
                write!(f, "spawn the stub{cgroup}; new namespaces: {}", namespaces(*new))
            }
            Self::WriteIdMaps => f.write_str("write the id maps"),
            Self::MoveNetDevices { devices } => {
                f.write_str("move network devices:")?;
                devices.iter().try_for_each(|(name, new)| {
                    write!(f, " {name}")?;
                    if name == new { Ok(()) } else { write!(f, " as {new}") }
                })
            }
            Self::RunHooks { kind, count } => write!(f, "run {count} {kind} hook(s)"),
            Self::RecordCreated => f.write_str("record the state, write the pid file"),
            Self::SetScheduler { .. } => f.write_str("set the scheduler of the process"),
        }
    }
}
