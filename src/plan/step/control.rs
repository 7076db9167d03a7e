//! The stub's own course: what it shows of itself, when it waits, and how it becomes the program.

use super::super::explain::namespaces;
use crate::Phase;
use std::fmt;

/// Why the stub gives the turn to the host side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// uid_map and gid_map are to be written.
    IdMaps,
    /// Network devices of the host are to be moved into the container's network namespace.
    NetDevices,
    /// Systemd is to move the process into its scope.
    Scope,
    /// Hooks `prestart` and `createRuntime` are to run.
    RuntimeHooks,
    /// Hooks `createContainer` are to run, in the container's namespaces.
    ContainerHooks,
    /// Hooks `startContainer` are to run, inside the container (`run` only: otherwise `start` does).
    StartHooks,
    /// The listener of the filter has come, and goes to the agent; nobody waits for an answer.
    Listener,
    /// Everything is done but what `start` asks for: the process is to be recorded.
    Created,
}

impl Turn {
    const CODES: [(Self, u8); 8] = [
        (Self::IdMaps, b'u'),
        (Self::NetDevices, b'n'),
        (Self::Scope, b's'),
        (Self::RuntimeHooks, b'r'),
        (Self::ContainerHooks, b'c'),
        (Self::StartHooks, b'h'),
        (Self::Listener, b'l'),
        (Self::Created, b'w'),
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

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IdMaps => "the id maps",
            Self::NetDevices => "the network devices",
            Self::Scope => "systemd's scope",
            Self::RuntimeHooks => "the hooks outside",
            Self::ContainerHooks => "the createContainer hooks",
            Self::StartHooks => "the startContainer hooks",
            Self::Listener => "the listener's way to the agent",
            Self::Created => "the record",
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
    AwaitHost(Turn),
    /// Everything is ready; tell the host side.
    Created,
    /// Wait for `start` to call.
    AwaitStart {
        /// The listening socket.
        slot: usize,
    },
    /// Only these stay open in the program.
    CloseDescriptors {
        /// How many from 3 on.
        preserve: u32,
    },
    /// So do these.
    KeepDescriptors {
        /// The descriptors.
        slots: Vec<usize>,
    },
    /// Stay as PID 1, the program becomes a child.
    StayAsInit {
        /// The program has the terminal.
        foreground: bool,
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
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Undumpable | Self::HandOver { .. } | Self::AwaitHost(_) => Phase::Launch,
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
            Self::Dumpable => f.write_str("let its user look into it until its ids are mapped"),
            Self::HandOver { namespaces: new } => {
                write!(f, "clone the final process; new namespaces: {}", namespaces(*new))
            }
            Self::AwaitHost(turn) => write!(f, "wait for {turn}"),
            Self::Created => f.write_str("created"),
            Self::AwaitStart { .. } => f.write_str("wait for start"),
            Self::CloseDescriptors { preserve } => {
                write!(f, "close all descriptors but 0 to {}", 2 + preserve)
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
            Self::Finish => f.write_str("end"),
        }
    }
}
