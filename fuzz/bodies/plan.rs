//! Any bytes as a plan's blob: it is read and listed, or refused, and what is read stays within its bounds.

use orlop::plan::Listing;
use orlop::plan::machine::{BLOB, Header, Insn, MAGIC, REGISTERS, kind, op};

/// One run of the target `plan`: the bytes unchanged, and as instructions after a valid header.
pub fn run(data: &[u8]) {
    read(data);
    let header = size_of::<Header>();
    let (Some(count), true) = (data.first(), data.len() < BLOB * 16) else { return };
    let length = header + data.len() - 1;
    let mut blob = Vec::with_capacity(length);
    for word in [MAGIC, u32::from(*count), length as u32, u32::MAX] {
        blob.extend_from_slice(&word.to_ne_bytes());
    }
    blob.resize(header, 0xff);
    blob.extend_from_slice(&data[1..]);
    read(&blob);
}

fn read(blob: &[u8]) {
    let Ok(listing) = Listing::decode(blob) else { return };
    let code = listing.instructions();
    let data = size_of::<Header>() + size_of_val(code);
    for insn in code {
        assert!(usize::from(insn.dst) < REGISTERS);
        inside(insn, data, blob.len());
        if insn.op == op::JUMP {
            assert!(insn.args[2] <= code.len() as u64);
        }
    }
    assert!(listing.to_string().lines().count() > code.len());
}

fn inside(insn: &Insn, data: usize, length: usize) {
    for (kind, value) in insn.kinds.iter().zip(insn.args) {
        match *kind {
            kind::REGISTER => assert!(value < REGISTERS as u64),
            kind::DATA => assert!((data as u64..=length as u64).contains(&value)),
            other => assert_eq!(other, kind::IMMEDIATE),
        }
    }
}
