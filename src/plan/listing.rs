//! A decoded blob: it is checked for everything that the stub relies on, and displayed as a listing.

use super::blob::Blob;
#[cfg(test)]
use super::blob::array;
use super::machine::{
    ANY, Insn, LISTENER_STACK, LISTENER_STACK_ALIGNMENT, Operation, REGISTERS, SIGACTION, compare, kind,
    state,
};
use super::names::call_name;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::fmt;

/// The checked instructions of a blob ([`Plan::encode`](super::Plan::encode)): operations are known, registers exist, jumps
/// lead to instructions, addresses lie in the blob's data. Its `Display` is a disassembly.
///
/// The stub checks addresses and registers when it uses them. A listing finds the same mistakes before a launch, and names
/// the instruction.
#[derive(Clone, Debug)]
pub struct Listing {
    instructions: Vec<Insn>,
    preset: Vec<i32>,
    blob: Vec<u8>,
    /// Where the data begins.
    data: usize,
}

/// What an operand must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperandRule {
    /// Any value of any kind: its meaning depends on the system call.
    Any,
    /// A number or a register, not an address.
    Value,
    /// A number that is known before the plan runs.
    Number,
    /// The address of this many bytes in the data, aligned to the second number.
    Bytes(usize, usize),
    /// An address in the data where a string begins.
    Text,
    /// The index of an instruction, or the one after the last.
    Target,
    /// A state of the control page.
    State,
    /// What a walk creates for a missing last component.
    Last,
}

/// The size of `struct sock_fprog`.
const PROGRAM: usize = 16;
/// The size of `struct msghdr`.
const MESSAGE: usize = 56;

/// What the operands of an operation must be. The others have no meaning, and must be zero.
fn operand_rules(operation: Operation, insn: &Insn) -> [Option<OperandRule>; 6] {
    let rules: &[OperandRule] = match operation {
        Operation::Call => &[OperandRule::Any; 6],
        Operation::Move | Operation::Add => &[OperandRule::Any],
        Operation::Jump => &[OperandRule::Any, OperandRule::Any, OperandRule::Target],
        Operation::Load => &[OperandRule::Bytes(insn.nr as usize, 1), OperandRule::Number],
        Operation::Store => &[OperandRule::Bytes(insn.nr as usize, 1), OperandRule::Any],
        Operation::Fail | Operation::Init => &[OperandRule::Value],
        Operation::MakePath => {
            &[OperandRule::Value, OperandRule::Text, OperandRule::Last, OperandRule::Number]
        }
        Operation::State => &[OperandRule::State],
        Operation::HandOver => &[OperandRule::Number],
        Operation::ExitHandler => &[OperandRule::Bytes(SIGACTION, 8)],
        Operation::CopyTree => &[OperandRule::Value, OperandRule::Value],
        Operation::Listener => &[
            OperandRule::Number,
            OperandRule::Bytes(PROGRAM, 8),
            OperandRule::Bytes(size_of::<i32>(), 1),
            OperandRule::Value,
            OperandRule::Bytes(MESSAGE, 8),
            OperandRule::Bytes(LISTENER_STACK, LISTENER_STACK_ALIGNMENT),
        ],
    };
    std::array::from_fn(|i| rules.get(i).copied())
}

/// Checks the number that an instruction has besides its operands.
fn check_number(operation: Operation, number: u16) -> Result<(), String> {
    match operation {
        Operation::Call if call_name(number.into()).is_none() => Err(format!("unknown system call {number}")),
        Operation::Jump if number > compare::NOT_BELOW => Err(format!("unknown comparison {number}")),
        Operation::Load | Operation::Store if !matches!(number, 1 | 2 | 4 | 8) => {
            Err(format!("an access of {number} bytes"))
        }
        Operation::Call | Operation::Jump | Operation::Load | Operation::Store => Ok(()),
        Operation::Move
        | Operation::Fail
        | Operation::MakePath
        | Operation::State
        | Operation::HandOver
        | Operation::Init
        | Operation::Add
        | Operation::CopyTree
        | Operation::ExitHandler
        | Operation::Listener => match number {
            0 => Ok(()),
            _ => Err(format!("the number {number} means nothing")),
        },
    }
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, Phase::Plan, "read a plan's blob").with_detail(what)
}

impl Listing {
    /// Reads a blob.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] with what is wrong, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let blob = Blob::from_bytes(bytes)?;
        let instructions: Vec<Insn> = blob.instructions().collect();
        let (preset, data) = (blob.presets().to_vec(), blob.data());
        let listing = Self { instructions, preset, blob: bytes.to_vec(), data };
        let mut step = 0;
        for (at, insn) in listing.instructions.iter().enumerate() {
            listing.check(insn).map_err(|what| corrupt(format!("instruction {at}: {what}")))?;
            if insn.step < step {
                return Err(corrupt(format!("instruction {at}: step {} after step {step}", insn.step)));
            }
            step = insn.step;
        }
        Ok(listing)
    }

    /// The instructions, in order.
    pub fn instructions(&self) -> &[Insn] {
        &self.instructions
    }

    /// The first values of the registers: descriptors, or -1.
    pub fn preset(&self) -> &[i32] {
        &self.preset
    }

    /// What is wrong with an instruction.
    fn check(&self, insn: &Insn) -> Result<(), String> {
        let Some(operation) = Operation::of(insn.op) else {
            return Err(format!("unknown operation {}", insn.op));
        };
        if usize::from(insn.dst) >= REGISTERS {
            return Err(format!("there is no register {}", insn.dst));
        }
        check_number(operation, insn.nr)?;
        let operands = insn.kinds.iter().zip(insn.args).zip(operand_rules(operation, insn));
        for (i, ((kind, value), rule)) in operands.enumerate() {
            self.check_operand(*kind, value).map_err(|what| format!("operand {i}: {what}"))?;
            match rule {
                Some(rule) => {
                    self.check_rule(rule, *kind, value).map_err(|what| format!("operand {i}: {what}"))?;
                }
                None if (*kind, value) == (kind::IMMEDIATE, 0) => {}
                None => return Err(format!("operand {i} means nothing")),
            }
        }
        if operation != Operation::Call && insn.tolerate != [0; 2] {
            return Err("only a system call has errnos to tolerate".into());
        }
        Ok(())
    }

    fn check_operand(&self, kind: u8, value: u64) -> Result<(), String> {
        match kind {
            kind::IMMEDIATE => Ok(()),
            kind::REGISTER if value < REGISTERS as u64 => Ok(()),
            kind::REGISTER => Err(format!("there is no register {value}")),
            // An empty thing may lie at the very end.
            kind::DATA if (self.data as u64..=self.blob.len() as u64).contains(&value) => Ok(()),
            kind::DATA => Err(format!("{value} lies outside of the data")),
            _ => Err(format!("unknown kind {kind}")),
        }
    }

    /// What is wrong with an operand of a known kind.
    fn check_rule(&self, rule: OperandRule, kind: u8, value: u64) -> Result<(), String> {
        let number = kind == kind::IMMEDIATE;
        match rule {
            OperandRule::Any => Ok(()),
            OperandRule::Value if kind != kind::DATA => Ok(()),
            OperandRule::Value => Err("it is an address".into()),
            OperandRule::Number if number => Ok(()),
            OperandRule::Number => Err("it is not a number".into()),
            OperandRule::Bytes(length, alignment) => {
                let end = value.checked_add(length as u64);
                if kind != kind::DATA || end.is_none_or(|end| end > self.blob.len() as u64) {
                    return Err(format!("{length} bytes of it are not in the data"));
                }
                match value % alignment as u64 {
                    0 => Ok(()),
                    _ => Err(format!("{value} is not a multiple of {alignment}")),
                }
            }
            OperandRule::Text if kind == kind::DATA && self.text(value).is_some() => Ok(()),
            OperandRule::Text => Err("it is not a string".into()),
            OperandRule::Target if number && value <= self.instructions.len() as u64 => Ok(()),
            OperandRule::Target => Err(format!("there is no instruction {value}")),
            OperandRule::State if number && state_name(value).is_some() => Ok(()),
            OperandRule::State => Err("unknown state".into()),
            // A register: whether it is a directory is known only when the plan runs.
            OperandRule::Last
                if kind == kind::REGISTER || number && value <= super::machine::last::NOTHING =>
            {
                Ok(())
            }
            OperandRule::Last => Err(format!("unknown sort of file {value}")),
        }
    }

    /// The 64-bit words at an address.
    #[cfg(test)]
    pub(super) fn words<const N: usize>(&self, at: u64) -> Option<[u64; N]> {
        let bytes = self.blob.get(at as usize..)?.get(..8 * N)?;
        Some(std::array::from_fn(|i| u64::from_ne_bytes(array(bytes, 8 * i))))
    }

    /// The bytes before the zero byte.
    pub(super) fn text(&self, at: u64) -> Option<&[u8]> {
        let rest = self.blob.get(at as usize..)?;
        rest.iter().position(|b| *b == 0).map(|end| &rest[..end])
    }
}

impl fmt::Display for Listing {
    /// A heading, then for each step its number and its instructions, one per line with their indices.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, data) = (self.instructions.len(), self.blob.len() - self.data);
        writeln!(f, "{count} instructions, {data} bytes of data")?;
        let mut step = None;
        for (at, insn) in self.instructions.iter().enumerate() {
            if step != Some(insn.step) {
                step = Some(insn.step);
                writeln!(f, "step {}", insn.step)?;
            }
            write!(f, "{at:5}  ")?;
            self.instruction(f, insn)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Listing {
    fn instruction(&self, f: &mut fmt::Formatter<'_>, insn: &Insn) -> fmt::Result {
        let arg = |i: usize| Operand(self, insn.kinds[i], insn.args[i]);
        let (a, b, dst) = (arg(0), arg(1), insn.dst);
        let Some(operation) = Operation::of(insn.op) else {
            return write!(f, "unknown operation {}", insn.op);
        };
        match operation {
            Operation::Call => self.call(f, insn),
            Operation::Move => write!(f, "r{dst} = {a}"),
            Operation::Add => write!(f, "r{dst} = r{dst} + {a}"),
            Operation::Listener => {
                write!(f, "seccomp flags {a}, program {b}; a thread sends the listener to {}", arg(3))
            }
            Operation::CopyTree => write!(f, "copy the tree {a} to {b}"),
            Operation::Jump => {
                let how = match insn.nr {
                    compare::ALWAYS => return write!(f, "go to {}", insn.args[2]),
                    compare::EQUAL => "==",
                    compare::NOT_EQUAL => "!=",
                    compare::LESS => "<",
                    compare::GREATER_EQUAL => ">=",
                    _ => "not below",
                };
                write!(f, "if {a} {how} {b} go to {}", insn.args[2])
            }
            Operation::Load => {
                write!(f, "r{dst} = load {} at data+{:#x}", insn.nr, insn.args[0] - self.data as u64)?;
                if insn.args[1] == u64::MAX { Ok(()) } else { write!(f, " & {b}") }
            }
            Operation::Store => {
                write!(f, "store {} at data+{:#x} = {b}", insn.nr, insn.args[0] - self.data as u64)
            }
            Operation::Fail => write!(f, "fail with {a}"),
            Operation::MakePath => {
                write!(f, "r{dst} = make path {b} below {a}, as {}, mode {:#o}", arg(2), insn.args[3])
            }
            Operation::State => write!(f, "state {}", state_name(insn.args[0]).unwrap_or_default()),
            Operation::HandOver => write!(f, "hand over {a}"),
            Operation::ExitHandler => write!(f, "{a} = a handler that exits"),
            Operation::Init => write!(f, "stay as init of {a}"),
        }
    }

    fn call(&self, f: &mut fmt::Formatter<'_>, insn: &Insn) -> fmt::Result {
        if insn.dst != super::assemble::NOWHERE.0 {
            write!(f, "r{} = ", insn.dst)?;
        }
        write!(f, "{}(", call_name(insn.nr.into()).unwrap_or("system call"))?;
        let none = |i: &usize| insn.kinds[*i] != kind::IMMEDIATE || insn.args[*i] != 0;
        let used = (0..6).rev().find(none).map_or(0, |last| last + 1);
        for i in 0..used {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Operand(self, insn.kinds[i], insn.args[i]))?;
        }
        f.write_str(")")?;
        for errno in insn.tolerate.iter().filter(|errno| **errno != 0) {
            match *errno {
                ANY => f.write_str(" or any errno")?,
                errno => write!(f, " or {:?}", Errno::from_raw(errno.into()))?,
            }
        }
        Ok(())
    }
}

/// The name of a state that a plan may set.
fn state_name(state: u64) -> Option<&'static str> {
    match u32::try_from(state) {
        Ok(state::CREATED) => Some("created"),
        Ok(state::EXECUTING) => Some("executing"),
        _ => None,
    }
}

/// The text of an operand.
struct Operand<'a>(&'a Listing, u8, u64);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(listing, kind, value) = *self;
        match kind {
            kind::REGISTER => write!(f, "r{value}"),
            kind::DATA => match listing.text(value).map(std::str::from_utf8) {
                Some(Ok(text)) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => {
                    write!(f, "{text:?}")
                }
                _ => write!(f, "data+{:#x}", value - listing.data as u64),
            },
            _ if (value as i64) < 10 => write!(f, "{}", value as i64),
            _ => write!(f, "{value:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::assemble::Assembler;
    use super::super::blob::{HEADER, INSN};
    use super::*;

    fn small() -> Vec<u8> {
        let mut asm = Assembler::new(2);
        asm.begin(3);
        let path = asm.text(c"/etc");
        let end = asm.label();
        asm.tolerating(&[Errno::ENOENT]);
        let fd = asm.call_to(libc::SYS_openat, &[libc::AT_FDCWD.into(), path, libc::O_PATH.into()]);
        asm.jump_if_failed(fd, end);
        let made = asm.make_path(fd, path, 0u64, 0o755);
        let at = asm.words(&[1, 2]);
        let loaded = asm.load(4, at, 0xff);
        asm.store(8, at.plus(8), loaded);
        asm.begin(4);
        asm.close(made);
        asm.state(2);
        asm.pointers(&[path]);
        asm.place(end);
        asm.encode().unwrap().as_ref().to_vec()
    }

    #[test]
    fn a_listing() {
        let text = Listing::decode(&small()).unwrap().to_string();
        assert_eq!(
            text,
            "8 instructions, 40 bytes of data\n\
             step 0\n    0  store 8 at data+0x18 = \"/etc\"\n\
             step 3\n    1  r2 = openat(-100, \"/etc\", 0x200000) or ENOENT\n\
             \x20   2  if r2 < 0 go to 8\n    3  r3 = make path \"/etc\" below r2, as 0, mode 0o755\n\
             \x20   4  r4 = load 4 at data+0x8 & 0xff\n    5  store 8 at data+0x10 = r4\n\
             step 4\n    6  close(r3)\n    7  state executing\n"
        );
    }

    fn put(blob: &mut [u8], at: usize, value: u64) {
        blob[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn is_refused(mut blob: Vec<u8>, what: &str, change: &dyn Fn(&mut Vec<u8>)) {
        change(&mut blob);
        let error = Listing::decode(&blob).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(what), "{what}: {error}");
    }

    /// A blob whose last instruction sends a listener, with sixteen bytes of data after the thread's stack.
    fn listener() -> Vec<u8> {
        let mut asm = Assembler::new(2);
        asm.begin(1);
        let (program, header) = (asm.bytes(&[0; PROGRAM]), asm.bytes(&[0; MESSAGE]));
        let (place, socket) = (asm.scratch(8), asm.register());
        asm.listener(8, program, place, socket, header);
        asm.scratch(16);
        asm.encode().unwrap().as_ref().to_vec()
    }

    /// The addresses that the machine itself writes to are checked as the stub checks them.
    #[test]
    fn every_address_of_a_listener_has_enough_data() {
        let (good, end) = (listener(), listener().len() as u64);
        let operand = |i: usize| HEADER + 16 + 8 * i;
        let stack = u64::from_ne_bytes(good[operand(5)..operand(5) + 8].try_into().unwrap());
        assert!(Listing::decode(&good).is_ok());
        let refused = |i: usize, value: u64, what: &str| {
            is_refused(listener(), &format!("operand {i}: {what}"), &|b| put(b, operand(i), value));
        };
        refused(1, end - PROGRAM as u64 + 8, "16 bytes");
        refused(2, end, "4 bytes");
        refused(2, end - 3, "4 bytes");
        refused(4, end - MESSAGE as u64 + 8, "56 bytes");
        refused(5, stack + 24, "4096 bytes");
        refused(5, stack + 4, &format!("{} is not a multiple of 8", stack + 4));
        for i in [1, 2, 4, 5] {
            let what = "bytes of it are not in the data";
            is_refused(listener(), what, &|b| b[HEADER + 2 + i] = kind::IMMEDIATE);
        }
        is_refused(listener(), "operand 3: it is an address", &|b| {
            b[HEADER + 2 + 3] = kind::DATA;
            put(b, operand(3), stack);
        });
        is_refused(listener(), "operand 0: it is not a number", &|b| b[HEADER + 2] = kind::REGISTER);
        is_refused(listener(), "the number 7 means nothing", &|b| b[HEADER + 8] = 7);
    }

    /// Each of these is one change to a good blob.
    #[test]
    fn a_blob_that_would_mislead_the_stub_is_refused() {
        let refused = |what: &str, change: &dyn Fn(&mut Vec<u8>)| is_refused(small(), what, change);
        let insn = |n: usize, at: usize| HEADER + n * INSN + at;
        let word = |n: usize, i: usize| insn(n, 16 + 8 * i);
        let end = small().len() as u64;
        refused("less than a header", &|b| b.truncate(HEADER - 1));
        refused("not with", &|b| b[0] ^= 1);
        refused("and says", &|b| b.push(0));
        refused("do not fit", &|b| b[4..8].copy_from_slice(&u32::MAX.to_ne_bytes()));
        refused("no descriptor", &|b| b[16..20].copy_from_slice(&i32::MIN.to_ne_bytes()));
        refused("unknown operation", &|b| b[insn(1, 0)] = 200);
        refused("no register 96", &|b| b[insn(1, 1)] = 96);
        refused("unknown kind", &|b| b[insn(1, 2)] = 3);
        refused("unknown system call", &|b| b[insn(1, 8)..insn(1, 10)].copy_from_slice(&[255; 2]));
        refused("no register 96", &|b| put(b, word(2, 0), 96));
        refused("outside of the data", &|b| put(b, word(1, 1), end + 1));
        refused("outside of the data", &|b| put(b, word(1, 1), HEADER as u64));
        refused("no instruction 9", &|b| put(b, word(2, 2), 9));
        refused("unknown comparison", &|b| b[insn(2, 8)] = 6);
        refused("an access of 3", &|b| b[insn(4, 8)] = 3);
        refused("4 bytes of it are not", &|b| put(b, word(4, 0), end - 3));
        refused("unknown sort", &|b| put(b, word(3, 2), 3));
        refused("operand 3 means nothing", &|b| put(b, word(5, 3), 1));
        refused("errnos", &|b| b[insn(7, 12)] = 1);
        refused("unknown state", &|b| put(b, word(7, 0), 5));
        refused("step 1 after step 3", &|b| b[insn(3, 10)] = 1);
    }
}
