//! Writes a program from its end to its beginning.
//!
//! All jumps of classic BPF go forward, so whatever an instruction may jump to has been written
//! already and its distance is known: an 8-bit jump which would be too far gets a nearer copy of
//! the `ret` it aims at, or a long jump to stand on. Nothing is ever patched.

use crate::sys::seccomp::Instruction;

/// `A = data[k]`
pub(super) const LOAD: u16 = 0x20;
/// `A &= k`
pub(super) const AND: u16 = 0x54;
/// Skip `k` instructions.
pub(super) const JUMP: u16 = 0x05;
/// `A == k`
pub(super) const EQUAL: u16 = 0x15;
/// `A > k`
pub(super) const GREATER: u16 = 0x25;
/// `A >= k`
pub(super) const GREATER_EQUAL: u16 = 0x35;
/// `A & k != 0`
pub(super) const ANY_BIT: u16 = 0x45;
/// Answer `k`.
pub(super) const RETURN: u16 = 0x06;

/// What an 8-bit jump can skip.
const REACH: usize = 255;

/// A place in the program, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// The part of the program written so far, last instruction first.
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// The most recently written `ret` of each value.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self { code: Vec::with_capacity(384), returns: Vec::with_capacity(8) }
    }

    /// How many instructions there are.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    /// The program in the kernel's order.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.code.reverse();
        self.code
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.code.push(Instruction { code, jt, jf, k });
        Label(self.code.len() - 1)
    }

    /// How many instructions a jump written now would skip on its way to `label`.
    fn distance(&self, label: Label) -> usize {
        self.code.len() - label.0 - 1
    }

    /// A `ret` of `value` within reach of the next instruction.
    pub(super) fn ret(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|&(v, _)| v == value);
        if let Some(i) = known {
            let label = self.returns[i].1;
            if self.distance(label) <= REACH {
                return label;
            }
        }
        let label = self.push(RETURN, 0, 0, value);
        match known {
            Some(i) => self.returns[i].1 = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    /// Something within reach which does what `label` does.
    fn near(&mut self, label: Label) -> Label {
        let target = self.code[label.0];
        if target.code == RETURN {
            self.ret(target.k)
        } else {
            let skip = self.distance(label) as u32;
            self.push(JUMP, 0, 0, skip)
        }
    }

    /// A test of the accumulator.
    pub(super) fn test(&mut self, code: u16, k: u32, mut yes: Label, mut no: Label) -> Label {
        if yes == no {
            return yes;
        }
        loop {
            if self.distance(yes) > REACH {
                yes = self.near(yes);
            } else if self.distance(no) > REACH {
                no = self.near(no);
            } else {
                break;
            }
        }
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(code, jt, jf, k)
    }

    /// An instruction which goes on with `next`.
    pub(super) fn before(&mut self, code: u16, k: u32, next: Label) -> Label {
        let distance = self.distance(next);
        if distance > 0 {
            self.push(JUMP, 0, 0, distance as u32);
        }
        self.push(code, 0, 0, k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_targets_are_brought_near() {
        let mut asm = Assembler::new();
        let allow = asm.ret(1);
        let deny = asm.ret(2);
        let leaf = asm.before(LOAD, 16, deny);
        let mut tail = deny;
        for k in 0..600 {
            tail = asm.test(EQUAL, k, allow, tail);
        }
        let top = asm.test(EQUAL, 1000, leaf, tail);
        assert_eq!(asm.distance(top), 0);
        let code = asm.finish();
        for (i, insn) in code.iter().enumerate() {
            let last = match insn.code {
                EQUAL => usize::from(insn.jt.max(insn.jf)),
                JUMP => insn.k as usize,
                _ => 0,
            };
            assert!(
                i + last + usize::from(insn.code != RETURN) < code.len() + usize::from(insn.code == RETURN)
            );
        }
        // 600 comparisons need at most a `ret` of each value per 255 instructions.
        assert!(code.len() < 620, "{}", code.len());
    }

    #[test]
    fn a_test_with_one_outcome_is_none() {
        let mut asm = Assembler::new();
        let ret = asm.ret(7);
        assert_eq!(asm.test(EQUAL, 1, ret, ret), ret);
        assert_eq!(asm.len(), 1);
    }
}
