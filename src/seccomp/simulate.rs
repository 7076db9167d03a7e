//! What a program decides, without loading it.

use super::assembler::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::{Action, Arch, Profile, Program, Rule};
use crate::sys::seccomp::Instruction;

/// A native system call's number, and its arguments as far as they are known.
pub(crate) type Call = (libc::c_long, [Option<u64>; 6]);

impl Program {
    /// What the kernel would do with a call: `number` as the architecture has it (with x32's bit).
    pub fn evaluate(&self, arch: Arch, number: u32, arguments: [u64; 6]) -> Action {
        self.trace(arch, number, arguments).0
    }

    /// Whether the native system call of this name passes whatever its arguments are.
    pub(crate) fn lets_pass(&self, profile: &Profile<'_>, name: &str) -> bool {
        let conditional =
            |rule: &&Rule<'_>| !rule.conditions.is_empty() && rule.names.iter().any(|n| n == name);
        let Some((arch, number)) = Arch::native().and_then(|arch| Some((arch, arch.number(name)?))) else {
            return false;
        };
        profile.rules.iter().find(conditional).is_none()
            && matches!(self.evaluate(arch, number, [0; 6]), Action::Allow | Action::Log)
    }

    /// Whether a filter, as the bytes that the kernel reads, lets all these native system calls pass, whatever the
    /// arguments are that are not known.
    pub(crate) fn passes(filter: &[u8], calls: &[Call]) -> bool {
        let code = filter.chunks_exact(8).map(|bytes| Instruction {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        });
        let (sections, unknown_names) = (Vec::new(), Vec::new());
        let program = Self { code: code.collect(), sections, flags: None, notifies: false, unknown_names };
        Arch::native().is_some_and(|arch| {
            calls.iter().all(|(number, arguments)| {
                let decided = program.decide(arch, *number as u32, *arguments);
                matches!(decided, Some((Action::Allow | Action::Log, _)))
            })
        })
    }

    /// The same, and how many instructions it takes.
    pub(super) fn trace(&self, arch: Arch, number: u32, arguments: [u64; 6]) -> (Action, usize) {
        // The kernel does not take programs which run over their end; this compiler makes none.
        self.decide(arch, number, arguments.map(Some)).unwrap_or((Action::KillProcess, self.code.len()))
    }

    /// The same; `None` if it depends on an argument that is not known.
    fn decide(&self, arch: Arch, number: u32, arguments: [Option<u64>; 6]) -> Option<(Action, usize)> {
        let load = |offset: u32| match offset {
            0 => Some(number),
            4 => Some(arch.token()),
            // The instruction pointer, which no profile asks about.
            8 | 12 => Some(0),
            _ => {
                let argument = arguments[(offset as usize - 16) / 8 % 6]?;
                let second = offset % 8 == 4;
                Some(if second == arch.little_endian() { (argument >> 32) as u32 } else { argument as u32 })
            }
        };
        let (mut accumulator, mut at, mut steps) = (0, 0, 0);
        while let Some(i) = self.code.get(at) {
            steps += 1;
            let holds = match i.code {
                RETURN => return Some((Action::from_value(i.k), steps)),
                LOAD => {
                    accumulator = load(i.k)?;
                    at += 1;
                    continue;
                }
                AND => {
                    accumulator &= i.k;
                    at += 1;
                    continue;
                }
                JUMP => {
                    at += 1 + i.k as usize;
                    continue;
                }
                EQUAL => accumulator == i.k,
                GREATER => accumulator > i.k,
                GREATER_EQUAL => accumulator >= i.k,
                ANY_BIT => accumulator & i.k != 0,
                _ => break,
            };
            at += 1 + usize::from(if holds { i.jt } else { i.jf });
        }
        None
    }
}
