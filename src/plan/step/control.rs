//! Control steps: when the stub waits, which of its processes continues, and how it becomes the program.

use super::namespace::namespaces;
use super::process::ProcessStep;
use super::slot::SlotId;
use crate::Phase;
use crate::process::capability::CapabilitySets;
use nix::errno::Errno;
use std::fmt;

/// A moment at which the stub gives the turn to the host side, by what the host side then does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTurn {
    /// Write uid_map and gid_map.
    IdMaps,
    /// Move network devices of the host into the container's network namespace.
    NetDevices,
    /// Let systemd move the process into its scope.
    Scope,
    /// Move the process into its cgroup.
    Cgroup,
    /// Run the hooks `prestart` and `createRuntime`.
    RuntimeHooks,
    /// Run the hooks `createContainer`, in the container's namespaces.
    ContainerHooks,
    /// Run the hooks `startContainer`, inside the container (`run` only: otherwise `start` runs them).
    StartHooks,
    /// Send the filter's listener, which the stub has sent, to the agent. The stub does not wait.
    Listener,
    /// Record the process. Everything that precedes `start` is done.
    Created,
    /// Record the process that becomes the program before it goes on, so that it never runs unknown to `delete`.
    Born,
    /// Open and send the next batch of mounts.
    Mounts,
    /// Receive a mount, or the context of one, that the stub has created for the host side. The stub does not wait.
    NewMount,
    /// Map the owners of a tree that the stub has copied in the container, and sent.
    Idmap,
    /// Set a scheduler that requires a capability which the process does not have.
    Scheduler,
}

impl HostTurn {
    const CODES: [(Self, u8); 14] = [
        (Self::IdMaps, b'u'),
        (Self::NetDevices, b'n'),
        (Self::Scope, b's'),
        (Self::Cgroup, b'g'),
        (Self::RuntimeHooks, b'r'),
        (Self::ContainerHooks, b'c'),
        (Self::StartHooks, b'h'),
        (Self::Listener, b'l'),
        (Self::Created, b'w'),
        (Self::Born, b'b'),
        (Self::Mounts, b'm'),
        (Self::NewMount, b'd'),
        (Self::Idmap, b'i'),
        (Self::Scheduler, b'p'),
    ];

    /// The byte that the stub sends for it.
    pub(crate) fn code(self) -> u8 {
        Self::CODES.iter().find(|(turn, _)| *turn == self).map_or(0, |(_, code)| *code)
    }

    /// The turn that a byte stands for.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::CODES.iter().find(|(_, known)| *known == code).map(|(turn, _)| *turn)
    }
}

impl fmt::Display for HostTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdMaps => "the id maps",
            Self::NetDevices => "the network devices",
            Self::Scope => "systemd's scope",
            Self::Cgroup => "the cgroup",
            Self::RuntimeHooks => "the hooks outside",
            Self::ContainerHooks => "the createContainer hooks",
            Self::StartHooks => "the startContainer hooks",
            Self::Listener => "the listener's way to the agent",
            Self::Created | Self::Born => "the record",
            Self::Mounts => "more mounts",
            Self::NewMount => "the new mount",
            Self::Idmap => "the map of a mount",
            Self::Scheduler => "the scheduler",
        })
    }
}

/// A step that controls the stub itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlStep {
    /// PR_SET_DUMPABLE 0: processes in the joined namespaces cannot trace this process or read its memory.
    Undumpable,
    /// PR_SET_DUMPABLE 1: an unprivileged host side can write this process's id maps.
    Dumpable,
    /// Clone the final process as a sibling, in these new namespaces, and exit.
    HandOver {
        /// `CLONE_NEW*`.
        namespaces: u64,
    },
    /// Give the turn to the host side, and wait for it.
    AwaitHost(HostTurn),
    /// Request a batch of mounts from the host side, and receive it.
    ReceiveMounts {
        /// The batch's number.
        batch: usize,
    },
    /// Report to the host side that everything is ready for `start`.
    Created,
    /// Wait until `start` connects.
    AwaitStart {
        /// The listening socket.
        slot: SlotId,
    },
    /// Mark all descriptors close-on-exec, except 0 to 2 and those that the program inherits.
    CloseDescriptors {
        /// How many descriptors from 3 on the program inherits.
        preserve: u32,
    },
    /// Let the program inherit these descriptors as well.
    KeepDescriptors {
        /// The descriptors.
        slots: Vec<SlotId>,
    },
    /// Stay as PID 1; the program becomes a child. The init is under the program's filter, undumpable, and under
    /// no-new-privileges.
    StayAsInit {
        /// Whether the program has the terminal.
        foreground: bool,
        /// The capabilities that the init keeps; `None` keeps all.
        sets: Option<CapabilitySets>,
        /// The filter and its flags, unless it is loaded already.
        filter: Option<(Vec<u8>, u64)>,
    },
    /// Find the program: in `PATH`, unless its name is a path.
    FindProgram {
        /// The name in the configuration.
        name: String,
        /// The paths to try, in order.
        candidates: Vec<String>,
    },
    /// execve(2).
    Execute {
        /// The arguments; the first one is the program's own name.
        args: Vec<String>,
        /// The environment, `NAME=value`.
        env: Vec<String>,
    },
    /// Fail: the configuration has no program.
    NoProgram,
    /// Report that the plan, which has no program, is done.
    Done,
    /// The same, and exit.
    Finish,
}

impl ControlStep {
    /// The step for the init of a program with these capabilities, under this filter.
    ///
    /// `uid` is the program's user. A user other than root has only the ambient capabilities after execve(2), so its init
    /// keeps no others.
    pub(crate) fn stay_as_init(
        foreground: bool,
        uid: Option<u32>,
        sets: Option<CapabilitySets>,
        filter: Option<&ProcessStep>,
    ) -> Self {
        let sets = match uid {
            Some(uid) if uid != 0 => {
                let sets = sets.unwrap_or_default();
                let ambient = sets.ambient;
                Some(CapabilitySets { permitted: ambient, effective: ambient, inheritable: ambient, ..sets })
            }
            _ => sets,
        };
        let filter = match filter {
            Some(ProcessStep::Seccomp { filter, flags, listener: None }) => Some((filter.clone(), *flags)),
            _ => None,
        };
        Self::StayAsInit { foreground, sets, filter }
    }

    pub(super) fn turn(&self) -> Option<HostTurn> {
        match self {
            Self::AwaitHost(turn) => Some(*turn),
            Self::ReceiveMounts { .. } => Some(HostTurn::Mounts),
            Self::Created => Some(HostTurn::Created),
            Self::Undumpable
            | Self::Dumpable
            | Self::HandOver { .. }
            | Self::AwaitStart { .. }
            | Self::CloseDescriptors { .. }
            | Self::KeepDescriptors { .. }
            | Self::StayAsInit { .. }
            | Self::FindProgram { .. }
            | Self::Execute { .. }
            | Self::NoProgram
            | Self::Done
            | Self::Finish => None,
        }
    }

    pub(super) fn hint(&self, errno: Errno) -> Option<&'static str> {
        let processes = "two processes are needed at once: is pids.limit too small, or RLIMIT_NPROC?";
        match self {
            Self::HandOver { .. } | Self::StayAsInit { .. } => (errno == Errno::EAGAIN).then_some(processes),
            // Errors about the program have their own messages.
            Self::Undumpable
            | Self::Dumpable
            | Self::AwaitHost(_)
            | Self::ReceiveMounts { .. }
            | Self::Created
            | Self::AwaitStart { .. }
            | Self::CloseDescriptors { .. }
            | Self::KeepDescriptors { .. }
            | Self::FindProgram { .. }
            | Self::Execute { .. }
            | Self::NoProgram
            | Self::Done
            | Self::Finish => None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Undumpable | Self::HandOver { .. } | Self::AwaitHost(_) => Phase::Launch,
            Self::ReceiveMounts { .. } => Phase::Mount,
            Self::FindProgram { .. } | Self::Execute { .. } | Self::NoProgram => Phase::Exec,
            Self::Dumpable
            | Self::Created
            | Self::AwaitStart { .. }
            | Self::CloseDescriptors { .. }
            | Self::KeepDescriptors { .. }
            | Self::StayAsInit { .. }
            | Self::Done
            | Self::Finish => Phase::Process,
        }
    }
}

impl fmt::Display for ControlStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undumpable => f.write_str("become undumpable"),
            Self::Dumpable => f.write_str("become dumpable"),
            Self::HandOver { namespaces: new } => {
                write!(f, "clone the final process; new namespaces: {}", namespaces(*new))
            }
            Self::AwaitHost(turn) => write!(f, "wait for {turn}"),
            Self::ReceiveMounts { .. } => f.write_str("take more mounts, opened by the host"),
            Self::Created => f.write_str("report: created"),
            Self::AwaitStart { .. } => f.write_str("wait for start"),
            Self::CloseDescriptors { preserve } => {
                write!(f, "close all descriptors but 0 to {}", preserve.saturating_add(2))
            }
            Self::KeepDescriptors { slots } => write!(f, "but keep {} descriptor(s)", slots.len()),
            Self::StayAsInit { .. } => f.write_str("stay as PID 1; the program is a child"),
            Self::FindProgram { name, candidates } => {
                write!(f, "find {name}")?;
                if candidates.len() > 1 { write!(f, " in {} places", candidates.len()) } else { Ok(()) }
            }
            Self::Execute { args, .. } => write!(f, "execute {args:?}"),
            Self::NoProgram => f.write_str("there is no program: start fails"),
            Self::Done => f.write_str("done"),
            Self::Finish => f.write_str("exit"),
        }
    }
}
