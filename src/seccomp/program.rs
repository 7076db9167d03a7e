//! Compiled filters, and their disassembly.

use super::arch::{Arch, X32_BIT};
use super::opcode::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::profile::{Action, Flag};
use crate::sys::seccomp::Instruction;
use std::fmt;

/// A filter as seccomp(2) takes it. It is displayed as a disassembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompProgram {
    pub(super) code: Vec<Instruction>,
    pub(super) sections: Vec<ArchSection>,
    pub(super) flags: Option<Vec<Flag>>,
    pub(super) notifies: bool,
    pub(super) unknown_names: Vec<String>,
}

/// The instructions of one architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ArchSection {
    pub(super) arch: Arch,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl SeccompProgram {
    /// The instructions, `struct sock_filter`.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code
    }

    /// The instructions as the kernel reads them: 8 bytes each, in this machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.code.len() * 8);
        for i in &self.code {
            bytes.extend_from_slice(&i.code.to_ne_bytes());
            bytes.extend_from_slice(&[i.jt, i.jf]);
            bytes.extend_from_slice(&i.k.to_ne_bytes());
        }
        bytes
    }

    /// The profile's flags; `None` if it leaves them to this library.
    pub fn flags(&self) -> Option<&[Flag]> {
        self.flags.as_deref()
    }

    /// Whether loading it creates a listener whose notifications a supervisor must answer.
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Names in the profile that no architecture has. They are skipped.
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown_names
    }

    /// Every action that the program can return, each once.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for action in self.code.iter().filter(|i| i.code == RETURN).map(|i| Action::from_value(i.k)) {
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        actions
    }

    fn arch_at(&self, at: usize) -> Option<Arch> {
        self.sections.iter().find(|s| (s.start..s.end).contains(&at)).map(|s| s.arch)
    }
}

impl fmt::Display for SeccompProgram {
    /// One instruction per line: its index, what it does, where it jumps to, and what its constant means.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut loaded = None;
        for (at, i) in self.code.iter().enumerate() {
            if let Some(section) = self.sections.iter().find(|s| s.start == at) {
                writeln!(f, "{}:", section.arch.name())?;
            }
            write!(f, "{at:5}  ")?;
            let (yes, no) = (at + 1 + usize::from(i.jt), at + 1 + usize::from(i.jf));
            let mut test = |how: &str| write!(f, "if {how} {:#x} then {yes} else {no}", i.k);
            match i.code {
                LOAD => {
                    loaded = Some(i.k);
                    write!(f, "load {}", DataWord(i.k, self.arch_at(at)))?;
                }
                AND => write!(f, "and {:#x}", i.k)?,
                JUMP => write!(f, "go to {}", at + 1 + i.k as usize)?,
                EQUAL => test("==")?,
                GREATER => test(">")?,
                GREATER_EQUAL => test(">=")?,
                ANY_BIT => test("&")?,
                RETURN => write!(f, "{}", ActionText(Action::from_value(i.k)))?,
                _ => write!(f, "{:#06x} {:#x}", i.code, i.k)?,
            }
            if matches!(i.code, EQUAL | GREATER_EQUAL)
                && let Some(meaning) = self.meaning(at, loaded, i.k)
            {
                write!(f, "  ; {meaning}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl SeccompProgram {
    /// The meaning of a comparison's constant.
    fn meaning(&self, at: usize, loaded: Option<u32>, k: u32) -> Option<&'static str> {
        match loaded? {
            4 => Arch::ALL.into_iter().find(|a| a.token() == k).map(Arch::name),
            0 => match self.arch_at(at)? {
                Arch::X86_64 if k >= X32_BIT => Arch::X32.call_name(k),
                arch => arch.call_name(k),
            },
            _ => None,
        }
    }
}

/// A word of `struct seccomp_data`, in the byte order of the architecture.
struct DataWord(u32, Option<Arch>);

impl fmt::Display for DataWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("number"),
            4 => f.write_str("architecture"),
            k => {
                let second = k % 8 == 4;
                let high = second == self.1.is_none_or(Arch::little_endian);
                write!(
                    f,
                    "argument {} ({} half)",
                    k.saturating_sub(16) / 8,
                    if high { "upper" } else { "lower" }
                )
            }
        }
    }
}

struct ActionText(Action);

impl fmt::Display for ActionText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Action::KillThread => "kill thread",
            Action::KillProcess => "kill process",
            Action::Trap => "trap",
            Action::Log => "log",
            Action::Allow => "allow",
            Action::Notify => "notify",
            Action::Errno(n) => {
                return write!(f, "errno {n} ({:?})", nix::errno::Errno::from_raw(n.into()));
            }
            Action::Trace(n) => return write!(f, "trace {n}"),
        })
    }
}
