//! Blobs from few bytes, so that most changes of a fuzzer are meaningful.

use super::stub::arch::nr;
use super::stub::machine::{ANY, Header, Insn, LISTENER_STACK, MAGIC, REGISTERS, kind, op};

/// Instructions and data after a valid header, whose count is the first byte.
pub(super) fn headed(bytes: &[u8]) -> Vec<u8> {
    let Some((count, rest)) = bytes.split_first() else { return Vec::new() };
    with_header((*count).into(), rest)
}

fn with_header(count: u32, rest: &[u8]) -> Vec<u8> {
    let length = (size_of::<Header>() + rest.len()) / 8 * 8;
    let mut blob = Vec::with_capacity(length);
    for word in [MAGIC, count, length as u32, u32::MAX] {
        blob.extend_from_slice(&word.to_ne_bytes());
    }
    for register in 0..REGISTERS {
        blob.extend_from_slice(&(if register < 8 { register as i32 } else { -1 }).to_ne_bytes());
    }
    blob.extend_from_slice(rest);
    blob.truncate(length);
    blob
}

/// The bytes from which a blob is built.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn half(&mut self) -> u64 {
        u16::from_ne_bytes([self.byte(), self.byte()]).into()
    }

    fn word(&mut self) -> u64 {
        u64::from_ne_bytes(std::array::from_fn(|_| self.byte()))
    }
}

/// The number of operands of each operation; the last operation is unknown to the machine.
const OPERANDS: [usize; 14] = [6, 1, 3, 2, 2, 2, 4, 1, 1, 1, 1, 2, 6, 1];

/// A few instructions of few bytes each, and data.
pub(super) fn blob(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes(bytes.iter());
    let (count, roomy) = (bytes.byte() % 32, bytes.byte() & 1 == 1);
    let data = size_of::<Header>() + usize::from(count) * size_of::<Insn>();
    let insns: Vec<Insn> = (0..count).map(|i| insn(&mut bytes, u16::from(i), data as u64)).collect();
    let mut rest: Vec<u8> = insns.iter().flat_map(to_bytes).collect();
    rest.extend(bytes.0);
    // A possible place of a thread's stack.
    rest.resize(rest.len() + if roomy { LISTENER_STACK } else { 0 }, 0);
    with_header(count.into(), &rest)
}

fn insn(bytes: &mut Bytes<'_>, at: u16, data: u64) -> Insn {
    let code = bytes.byte() % 14;
    let number = bytes.byte();
    let (kinds, args): (Vec<u8>, Vec<u64>) =
        (0..OPERANDS[usize::from(code)]).map(|_| operand(bytes, data)).unzip();
    Insn {
        op: if code == 13 { bytes.byte() } else { code },
        dst: bytes.byte() % 100,
        kinds: std::array::from_fn(|i| kinds.get(i).copied().unwrap_or(0)),
        nr: if code == op::CALL { call(number) } else { u16::from(number % 10) },
        step: at / 2,
        tolerate: match number % 4 {
            0 => [0, 0],
            1 => [ANY, 0],
            2 => [2, 17],
            _ => [0, ANY],
        },
        args: std::array::from_fn(|i| args.get(i).copied().unwrap_or(0)),
    }
}

fn call(number: u8) -> u16 {
    const CALLS: [u64; 6] = [nr::OPENAT2, nr::OPENAT, nr::CLOSE, nr::READLINKAT, nr::EXIT_GROUP, nr::SENDMSG];
    CALLS.get(usize::from(number)).map_or(u16::from(number), |number| *number as u16)
}

fn operand(bytes: &mut Bytes<'_>, data: u64) -> (u8, u64) {
    match bytes.byte() % 16 {
        0..4 => (kind::IMMEDIATE, i64::from(bytes.byte() as i8).cast_unsigned()),
        4 => (kind::IMMEDIATE, bytes.word()),
        5..9 => (kind::DATA, data + bytes.half()),
        9 => (kind::DATA, bytes.half()),
        10 => (kind::DATA, bytes.word()),
        11..14 => (kind::REGISTER, (bytes.byte() % 100).into()),
        14 => (kind::REGISTER, bytes.word()),
        _ => (bytes.byte(), bytes.half()),
    }
}

fn to_bytes(insn: &Insn) -> [u8; size_of::<Insn>()] {
    let mut out = [0; size_of::<Insn>()];
    out[0] = insn.op;
    out[1] = insn.dst;
    out[2..8].copy_from_slice(&insn.kinds);
    for (i, half) in [insn.nr, insn.step, insn.tolerate[0], insn.tolerate[1]].iter().enumerate() {
        out[8 + 2 * i..10 + 2 * i].copy_from_slice(&half.to_ne_bytes());
    }
    for (i, word) in insn.args.iter().enumerate() {
        out[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_ne_bytes());
    }
    out
}
