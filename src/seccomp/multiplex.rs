//! Calls that older ABIs have only as a part of socketcall(2) and ipc(2).

use super::rule::{Condition, Operator};
use super::table;

/// A system call that stands for several, selected by its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplexer {
    Socketcall,
    Ipc,
}

impl Multiplexer {
    pub(super) const ALL: [Self; 2] = [Self::Socketcall, Self::Ipc];

    /// The row of its name in the table.
    pub(super) fn row(self) -> Option<u16> {
        table::row(match self {
            Self::Socketcall => "socketcall",
            Self::Ipc => "ipc",
        })
    }

    /// The condition that selects the call `name`; `None` if that call is not a part of it. The kernel looks at
    /// 32 bits of socketcall's first argument, and at 16 bits of ipc's (the others are a version).
    pub(super) fn condition(self, name: &str) -> Option<Condition> {
        let (mask, number) = match self {
            Self::Socketcall => (u32::MAX.into(), SOCKETCALL.iter().position(|n| *n == name)? as u64 + 1),
            Self::Ipc => (0xffff, IPC.iter().find(|(n, _)| *n == name)?.1),
        };
        Some(Condition { argument: 0, operator: Operator::MaskedEqual, value: mask, value_two: number })
    }
}

/// linux/net.h: `SYS_SOCKET` is 1.
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// linux/ipc.h
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];
