//! Compiled filters.

use super::assembler::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::{Action, Arch, Flag};
use crate::sys::seccomp::Instruction;
use std::fmt;

/// A filter as the kernel takes it. Its [`Display`](fmt::Display) is a disassembly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) code: Vec<Instruction>,
    pub(super) sections: Vec<Section>,
    pub(super) flags: Option<Vec<Flag>>,
    pub(super) notifies: bool,
    pub(super) unknown_names: Vec<String>,
}

/// Which instructions belong to which architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) arch: Arch,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Program {
    /// The instructions, `struct sock_filter`.
    pub fn instructions(&self) -> &[Instruction] {
        &self.code
    }

    /// The instructions as the bytes that the kernel reads, 8 each, in this machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.code.len() * 8);
        for i in &self.code {
            bytes.extend_from_slice(&i.code.to_ne_bytes());
            bytes.extend_from_slice(&[i.jt, i.jf]);
            bytes.extend_from_slice(&i.k.to_ne_bytes());
        }
        bytes
    }

    /// The profile's flags; `None`: it leaves them to us.
    pub fn flags(&self) -> Option<&[Flag]> {
        self.flags.as_deref()
    }

    /// Whether loading it makes a listener that a supervisor must answer.
    pub fn notifies(&self) -> bool {
        self.notifies
    }

    /// Names in the profile which no architecture knows; their rules were skipped.
    pub fn unknown_names(&self) -> &[String] {
        &self.unknown_names
    }

    /// Every action the program can answer, each once.
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

impl fmt::Display for Program {
    /// One instruction a line: its place, what it does, where it goes, and what a number stands
    /// for.
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
                    write!(f, "load {}", Field(i.k, self.arch_at(at)))?;
                }
                AND => write!(f, "and {:#x}", i.k)?,
                JUMP => write!(f, "go to {}", at + 1 + i.k as usize)?,
                EQUAL => test("==")?,
                GREATER => test(">")?,
                GREATER_EQUAL => test(">=")?,
                ANY_BIT => test("&")?,
                RETURN => write!(f, "{}", Answer(Action::from_value(i.k)))?,
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

impl Program {
    /// What the constant of a comparison stands for.
    fn meaning(&self, at: usize, loaded: Option<u32>, k: u32) -> Option<&'static str> {
        match loaded? {
            4 => Arch::ALL.into_iter().find(|a| a.token() == k).map(Arch::name),
            0 => match self.arch_at(at)? {
                Arch::X86_64 if k >= super::arch::X32_BIT => Arch::X32.call_name(k),
                arch => arch.call_name(k),
            },
            _ => None,
        }
    }
}

/// A word of `struct seccomp_data`.
struct Field(u32, Option<Arch>);

impl fmt::Display for Field {
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

struct Answer(Action);

impl fmt::Display for Answer {
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
