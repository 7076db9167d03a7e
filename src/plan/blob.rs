//! An encoded plan: a header, instructions, and the data they point at. Nothing else on the host side knows how the
//! header and an instruction lie in memory.

use super::machine::{CONTROL, FIRST_SLOT, Header, Insn, MAGIC, MEMORY, REGISTERS};
use crate::{Error, ErrorKind, Phase, Result};
use std::os::fd::RawFd;

/// Length of the header in bytes.
pub(super) const HEADER: usize = size_of::<Header>();
/// Length of an instruction in bytes.
pub(super) const INSN: usize = size_of::<Insn>();

/// Offsets of the header's fields.
mod field {
    pub(super) const MAGIC: usize = 0;
    pub(super) const COUNT: usize = 4;
    pub(super) const LENGTH: usize = 8;
    pub(super) const FAULT: usize = 12;
    pub(super) const PRESET: usize = 16;
}

/// What the init stub executes: see [`machine`](super::machine).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, Phase::Plan, "read a plan's blob").with_detail(what)
}

impl Blob {
    /// A blob without preset registers.
    pub(super) fn new(instructions: impl ExactSizeIterator<Item = Insn>, data: &[u8]) -> Self {
        let count = instructions.len();
        let length = HEADER + count * INSN + data.len();
        let header = Header {
            magic: MAGIC,
            count: count as u32,
            length: length as u32,
            fault: u32::MAX,
            preset: [-1; REGISTERS],
        };
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&encode_header(&header));
        for insn in instructions {
            bytes.extend_from_slice(&encode_insn(&insn));
        }
        bytes.extend_from_slice(data);
        Self { bytes }
    }

    /// Bytes as a blob. Only the header is checked, not the instructions.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < HEADER {
            return Err(corrupt(format!("{} bytes are less than a header", bytes.len())));
        }
        let blob = Self { bytes: bytes.to_vec() };
        let magic = blob.word(field::MAGIC);
        if magic != MAGIC {
            return Err(corrupt(format!("it begins with {magic:#x}, not with {MAGIC:#x}")));
        }
        let length = blob.word(field::LENGTH);
        if length as usize != bytes.len() {
            return Err(corrupt(format!("it has {} bytes and says {length}", bytes.len())));
        }
        let count = blob.count();
        if count > (bytes.len() - HEADER) / INSN {
            return Err(corrupt(format!("{count} instructions do not fit into {length} bytes")));
        }
        if let Some(register) = blob.presets().iter().position(|fd| *fd < -1) {
            return Err(corrupt(format!("register {register} begins as no descriptor")));
        }
        Ok(blob)
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_ne_bytes(bytes.unwrap_or_default())
    }

    fn set_word(&mut self, at: usize, value: u32) {
        if let Some(place) = self.bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_ne_bytes());
        }
    }

    fn count(&self) -> usize {
        self.word(field::COUNT) as usize
    }

    /// Where the data begins.
    pub(super) fn data(&self) -> usize {
        HEADER + self.count() * INSN
    }

    /// The instructions, in order.
    pub(super) fn instructions(&self) -> impl Iterator<Item = Insn> {
        self.bytes.get(HEADER..self.data()).unwrap_or_default().chunks_exact(INSN).map(decode_insn)
    }

    /// The first values of the registers: descriptors, or -1.
    pub(super) fn presets(&self) -> [i32; REGISTERS] {
        std::array::from_fn(|i| self.word(field::PRESET + 4 * i) as i32)
    }

    /// Makes a step fail with `EIO` instead of running, for tests.
    pub(crate) fn set_fault(&mut self, step: u16) {
        self.set_word(field::FAULT, step.into());
    }

    /// Sets the descriptors that the registers begin with: the control socket, the memory, the slots.
    ///
    /// # Errors
    /// If there are more descriptors than registers.
    pub(crate) fn set_presets(&mut self, control: RawFd, memory: RawFd, slots: &[RawFd]) -> Result<()> {
        if FIRST_SLOT + slots.len() > REGISTERS {
            let what = "a plan begins with more descriptors than the init stub has registers";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Launch, what));
        }
        let fixed = [(CONTROL, control), (MEMORY, memory)];
        let all = fixed.into_iter().chain((FIRST_SLOT..).zip(slots.iter().copied()));
        for (register, fd) in all {
            self.set_word(field::PRESET + 4 * register, fd.cast_unsigned());
        }
        Ok(())
    }
}

fn encode_header(header: &Header) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    let words = [header.magic, header.count, header.length, header.fault];
    let all = words.into_iter().chain(header.preset.into_iter().map(i32::cast_unsigned));
    for (place, word) in out.chunks_exact_mut(4).zip(all) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    out
}

fn encode_insn(insn: &Insn) -> [u8; INSN] {
    let mut out = [0; INSN];
    out[0] = insn.op;
    out[1] = insn.dst;
    out[2..8].copy_from_slice(&insn.kinds);
    out[8..10].copy_from_slice(&insn.nr.to_ne_bytes());
    out[10..12].copy_from_slice(&insn.step.to_ne_bytes());
    out[12..14].copy_from_slice(&insn.tolerate[0].to_ne_bytes());
    out[14..16].copy_from_slice(&insn.tolerate[1].to_ne_bytes());
    for (place, arg) in out[16..].chunks_exact_mut(8).zip(insn.args) {
        place.copy_from_slice(&arg.to_ne_bytes());
    }
    out
}

/// The inverse of [`encode_insn`], for [`INSN`] bytes.
fn decode_insn(bytes: &[u8]) -> Insn {
    let half = |at| u16::from_ne_bytes(array(bytes, at));
    let [op, dst] = array(bytes, 0);
    Insn {
        op,
        dst,
        kinds: array(bytes, 2),
        nr: half(8),
        step: half(10),
        tolerate: [half(12), half(14)],
        args: std::array::from_fn(|i| u64::from_ne_bytes(array(bytes, 16 + 8 * i))),
    }
}

/// The `N` bytes at `at`; zeros if there are fewer.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_header_is_the_one_that_the_stub_reads() {
        for (ours, stubs) in [
            (field::MAGIC, offset_of!(Header, magic)),
            (field::COUNT, offset_of!(Header, count)),
            (field::LENGTH, offset_of!(Header, length)),
            (field::FAULT, offset_of!(Header, fault)),
            (field::PRESET, offset_of!(Header, preset)),
        ] {
            assert_eq!(ours, stubs);
        }
    }

    #[test]
    fn there_are_as_many_presets_as_registers() {
        let mut blob = Blob::new(std::iter::empty(), &[7]);
        blob.set_presets(3, 4, &[9; REGISTERS - FIRST_SLOT]).unwrap();
        assert_eq!(blob.presets()[..3], [3, 4, 9]);
        assert_eq!((blob.presets()[REGISTERS - 1], blob.bytes[HEADER]), (9, 7));
        assert!(blob.set_presets(3, 4, &[9; REGISTERS - FIRST_SLOT + 1]).is_err());
        assert_eq!(blob.bytes[HEADER], 7);
        assert_eq!(Blob::from_bytes(blob.as_ref()).unwrap(), blob);
    }
}
