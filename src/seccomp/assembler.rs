//! Assembles a program backwards, from its last instruction to its first.
//!
//! Jumps of classic BPF only go forward. The target of a jump has therefore been written before the jump,
//! and its distance is known. An 8-bit jump that cannot reach its target gets a nearer copy of the `ret`
//! there, or a nearer long jump to it. No instruction is patched later.

use super::opcode::{JUMP, RETURN};
use crate::sys::seccomp::Instruction;

/// The largest distance of an 8-bit jump.
const REACH: usize = 255;

/// An instruction that can be jumped to, counted from the end of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JumpTarget(usize);

/// The part of the program that has been written, last instruction first.
pub(super) struct BpfAssembler {
    code: Vec<Instruction>,
    /// The most recently written `ret` of each value.
    returns: Vec<(u32, JumpTarget)>,
}

impl BpfAssembler {
    pub(super) fn new() -> Self {
        Self { code: Vec::with_capacity(384), returns: Vec::with_capacity(8) }
    }

    /// The number of instructions.
    pub(super) fn len(&self) -> usize {
        self.code.len()
    }

    /// The program in the kernel's order.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.code.reverse();
        self.code
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> JumpTarget {
        self.code.push(Instruction { code, jt, jf, k });
        JumpTarget(self.code.len() - 1)
    }

    /// The number of instructions that a jump written next would skip to reach `target`.
    fn distance(&self, target: JumpTarget) -> usize {
        self.code.len() - target.0 - 1
    }

    /// A `ret` of `value` within reach of the next instruction, written if there is none.
    pub(super) fn ret(&mut self, value: u32) -> JumpTarget {
        let known = self.returns.iter().position(|&(v, _)| v == value);
        if let Some(i) = known {
            let target = self.returns[i].1;
            if self.distance(target) <= REACH {
                return target;
            }
        }
        let target = self.push(RETURN, 0, 0, value);
        match known {
            Some(i) => self.returns[i].1 = target,
            None => self.returns.push((value, target)),
        }
        target
    }

    /// An instruction within reach that does the same as the one at `target`.
    fn near(&mut self, target: JumpTarget) -> JumpTarget {
        let instruction = self.code[target.0];
        if instruction.code == RETURN {
            self.ret(instruction.k)
        } else {
            let skip = self.distance(target) as u32;
            self.push(JUMP, 0, 0, skip)
        }
    }

    /// A test of the accumulator; nothing is written if both outcomes are the same.
    pub(super) fn test(&mut self, code: u16, k: u32, mut yes: JumpTarget, mut no: JumpTarget) -> JumpTarget {
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

    /// An instruction that continues at `next`.
    pub(super) fn before(&mut self, code: u16, k: u32, next: JumpTarget) -> JumpTarget {
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
    use crate::seccomp::opcode::{EQUAL, LOAD};

    #[test]
    fn targets_beyond_reach_get_nearer_copies() {
        let mut asm = BpfAssembler::new();
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
    fn a_test_with_one_outcome_writes_nothing() {
        let mut asm = BpfAssembler::new();
        let ret = asm.ret(7);
        assert_eq!(asm.test(EQUAL, 1, ret, ret), ret);
        assert_eq!(asm.len(), 1);
    }
}
