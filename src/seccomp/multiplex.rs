//! Calls that older ABIs carry in socketcall(2) and ipc(2).

use super::{Condition, Operator, table};

/// A system call which is many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Multiplexer {
    Socketcall,
    Ipc,
}

impl Multiplexer {
    pub(super) const ALL: [Self; 2] = [Self::Socketcall, Self::Ipc];

    /// The row of its own name.
    pub(super) fn row(self) -> Option<u16> {
        table::row(match self {
            Self::Socketcall => "socketcall",
            Self::Ipc => "ipc",
        })
    }

    /// The condition which picks a call out of it; `None` where it does not carry that call. The
    /// kernel looks at 32 bits of socketcall's first argument and at 16 of ipc's, whose rest is a
    /// version.
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
