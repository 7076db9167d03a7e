//! The stub's own course: what it shows of itself, when it waits, and how it becomes the program.

use super::namespace::namespaces;
use super::process::ProcessStep;
use super::slot::SlotId;
use crate::Phase;
use crate::process::capability::CapabilitySets;
use nix::errno::Errno;
use std::fmt;

/// Why the stub gives the turn to the host side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTurn {
    /// uid_map and gid_map are to be written.
    IdMaps,
    /// Network devices of the host are to be moved into the container's network namespace.
    NetDevices,
    /// Systemd is to move the process into its scope.
    Scope,
    /// The process is to be moved into its cgroup.
    Cgroup,
    /// Hooks `prestart` and `createRuntime` are to run.
    RuntimeHooks,
    /// Hooks `createContainer` are to run, in the container's namespaces.
    ContainerHooks,
    /// Hooks `startContainer` are to run, inside the container (`run` only: otherwise `start` does).
    StartHooks,
    /// The listener of the filter has come, and goes to the agent; the stub waits for no answer.
    Listener,
    /// Everything is done but what `start` asks for: the process is to be recorded.
    Created,
    /// The process that becomes the program is to be recorded before it goes on, so that it never runs unknown to `delete`.
    Born,
    /// The next batch of mounts is to be opened and sent.
    Mounts,
    /// A mount has come that the stub has made for the host side.
    Made,
    /// The process is to get a scheduler that takes a capability which it has not.
    Scheduler,
}

impl HostTurn {
    const CODES: [(Self, u8); 13] = [
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
        (Self::Made, b'd'),
        (Self::Scheduler, b'p'),
    ];

    /// The byte by which the stub says whose turn it is.
    pub(crate) fn code(self) -> u8 {
        Self::CODES.iter().find(|(turn, _)| *turn == self).map_or(0, |(_, code)| *code)
    }

    /// The turn of a byte.
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
            Self::Made => "the mount to be taken",
            Self::Scheduler => "the scheduler",
        })
    }
}

/// A step of the stub's own course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlStep {
    /// PR_SET_DUMPABLE 0: others in the joined namespaces may not look into this process.
    Undumpable,
    /// PR_SET_DUMPABLE 1: an unprivileged host side may write this process's id maps.
    Dumpable,
    /// Clone the final process as a sibling, with these new namespaces, and end.
    HandOver {
        /// `CLONE_NEW*`.
        namespaces: u64,
    },
    /// Wait for the host side.
    AwaitHost(HostTurn),
    /// Ask the host side for a batch of mounts, and take them.
    ReceiveMounts {
        /// Its number.
        batch: usize,
    },
    /// Everything is ready; tell the host side.
    Created,
    /// Wait for `start` to call.
    AwaitStart {
        /// The listening socket.
        slot: SlotId,
    },
    /// Only these stay open in the program.
    CloseDescriptors {
        /// How many from 3 on.
        preserve: u32,
    },
    /// So do these.
    KeepDescriptors {
        /// The descriptors.
        slots: Vec<SlotId>,
    },
    /// Stay as PID 1, the program becomes a child. It is under what the program is under, cannot be looked into, and
    /// gets no new privileges.
    StayAsInit {
        /// The program has the terminal.
        foreground: bool,
        /// The capabilities that it keeps; all that it has if they are not named.
        sets: Option<CapabilitySets>,
        /// The filter and its flags, if it is not loaded yet.
        filter: Option<(Vec<u8>, u64)>,
    },
    /// Find the program in PATH.
    FindProgram {
        /// As the configuration names it.
        name: String,
        /// The paths at which it may be, in order.
        candidates: Vec<String>,
    },
    /// execve(2).
    Execute {
        /// The arguments, the first being the program's name.
        args: Vec<String>,
        /// The environment, `NAME=value`.
        env: Vec<String>,
    },
    /// There is no program to execute.
    NoProgram,
    /// Everything is done, and no program comes after it.
    Done,
    /// Nothing is left to do: the process ends.
    Finish,
}

impl ControlStep {
    /// The init of a program with these capabilities, under this filter.
    ///
    /// `uid` is the program's user: execve(2) leaves one that is not root its ambient capabilities alone.
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
            // Failures of the program have texts of their own.
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
