//! The disassembly of a filter.

use super::arch::{Arch, X32_BIT};
use super::opcode::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::program::SeccompProgram;
use super::rule::Action;
use std::fmt;

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
                    write!(f, "load {}", DataWord(i.k, arch_at(self, at)))?;
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
                && let Some(meaning) = meaning(self, at, loaded, i.k)
            {
                write!(f, "  ; {meaning}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The architecture of an instruction.
fn arch_at(program: &SeccompProgram, at: usize) -> Option<Arch> {
    program.sections.iter().find(|s| (s.start..s.end).contains(&at)).map(|s| s.arch)
}

/// The meaning of a comparison's constant.
fn meaning(program: &SeccompProgram, at: usize, loaded: Option<u32>, k: u32) -> Option<&'static str> {
    match loaded? {
        4 => Arch::ALL.into_iter().find(|a| a.token() == k).map(Arch::name),
        0 => match arch_at(program, at)? {
            Arch::X86_64 if k >= X32_BIT => Arch::X32.call_name(k),
            arch => arch.call_name(k),
        },
        _ => None,
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
