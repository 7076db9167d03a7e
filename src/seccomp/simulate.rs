//! What a filter returns for a call, without loading it.

use super::arch::Arch;
use super::opcode::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, JUMP, LOAD, RETURN};
use super::rule::Action;
use crate::sys::seccomp::Instruction;

/// A native system call that will be made under a filter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Its number.
    pub(crate) number: libc::c_long,
    /// Its arguments, if they are known.
    pub(crate) arguments: [Option<u64>; 6],
    /// What the filter must decide.
    pub(crate) demand: Demand,
}

/// What a filter must decide about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// The call is allowed.
    Passes,
    /// The call is allowed, or notifies an agent that has the listener by then.
    PassesOrNotifies,
    /// The process exits, by this call or by the filter, without waiting for another process.
    Exits,
}

impl Demand {
    fn is_met(self, action: Action) -> bool {
        match (self, action) {
            (_, Action::Allow | Action::Log) => true,
            (Self::Passes, _) => false,
            (Self::PassesOrNotifies, action) => action == Action::Notify,
            (Self::Exits, action) => !matches!(action, Action::Notify | Action::Trace(_)),
        }
    }
}

impl Call {
    /// A call that must be allowed, whatever its arguments are.
    pub(crate) fn passes(number: libc::c_long) -> Self {
        Self { number, arguments: [None; 6], demand: Demand::Passes }
    }

    /// The call with a known argument.
    pub(crate) fn with(mut self, index: usize, value: u64) -> Self {
        if let Some(argument) = self.arguments.get_mut(index) {
            *argument = Some(value);
        }
        self
    }

    /// The call with another demand.
    pub(crate) fn demanding(self, demand: Demand) -> Self {
        Self { demand, ..self }
    }

    /// Its name, for messages.
    pub(crate) fn name(&self) -> &'static str {
        Arch::native().and_then(|arch| arch.call_name(self.number as u32)).unwrap_or("?")
    }
}

/// The calls whose demand a filter does not meet for every value of their unknown arguments. The filter is given as the
/// bytes that the kernel reads.
pub(crate) fn calls_stopped<'a>(filter: &[u8], calls: &'a [Call]) -> Vec<&'a Call> {
    let code: Vec<Instruction> = filter.chunks_exact(8).map(instruction).collect();
    let is_met = |call: &&Call| {
        let decided = Arch::native().and_then(|arch| decide(&code, arch, call.number as u32, call.arguments));
        decided.is_some_and(|(action, _)| call.demand.is_met(action))
    };
    calls.iter().filter(|call| !is_met(call)).collect()
}

/// An instruction of its eight bytes.
fn instruction(bytes: &[u8]) -> Instruction {
    Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        jt: bytes[2],
        jf: bytes[3],
        k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    }
}

/// What a filter returns for a call, and after how many instructions; `None` if that depends on an unknown argument, or
/// if the filter runs past its end, which the kernel does not accept.
pub(super) fn decide(
    code: &[Instruction],
    arch: Arch,
    number: u32,
    arguments: [Option<u64>; 6],
) -> Option<(Action, usize)> {
    let load = |offset: u32| match offset {
        0 => Some(number),
        4 => Some(arch.token()),
        // The instruction pointer, which no profile compares.
        8 | 12 => Some(0),
        _ => {
            let argument = arguments[(offset as usize - 16) / 8 % 6]?;
            let second = offset % 8 == 4;
            Some(if second == arch.little_endian() { (argument >> 32) as u32 } else { argument as u32 })
        }
    };
    let (mut accumulator, mut at, mut steps) = (0, 0, 0);
    while let Some(i) = code.get(at) {
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
