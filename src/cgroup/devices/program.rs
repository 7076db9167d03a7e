//! The policy as a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! Loading costs about 2 µs an instruction, so rules are ordered for few of them: consecutive rules
//! of one verdict are a set, grouped by type and major number, with one comparison a device.

use super::{Access, DeviceKind, DevicePolicy, Exception, Rule};
use crate::sys::bpf::Insn;

pub(super) const LDX_W: u8 = 0x61;
pub(super) const MOV32_X: u8 = 0xbc;
pub(super) const AND32_K: u8 = 0x54;
pub(super) const RSH32_K: u8 = 0x74;
pub(super) const MOV64_K: u8 = 0xb7;
pub(super) const JEQ_K: u8 = 0x15;
pub(super) const JNE_K: u8 = 0x55;
pub(super) const JSET_K: u8 = 0x45;
pub(super) const JA: u8 = 0x05;
pub(super) const EXIT: u8 = 0x95;

/// Holds the type, then what is still to be decided, the major and the minor number.
const TYPE: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, regs: dst | src << 4, off, imm }
}

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Allow,
    Deny,
}

struct Assembler {
    code: Vec<Insn>,
    jumps: Vec<(usize, Target)>,
}

impl Assembler {
    fn push(&mut self, i: Insn) -> usize {
        self.code.push(i);
        self.code.len() - 1
    }

    fn jump(&mut self, code: u8, register: u8, imm: i32, target: Target) {
        let at = self.push(insn(code, register, 0, 0, imm));
        self.jumps.push((at, target));
    }

    /// Lets the jump at `at` go to the next instruction that is pushed.
    fn land(&mut self, at: usize) {
        self.code[at].off = (self.code.len() - at - 1) as i16;
    }

    /// What happens to a device that `on` matches.
    fn verdict(&mut self, allow: bool, access: Access) {
        let bits = i32::from(access.bits());
        match (allow, access == Access::ALL) {
            (true, true) => self.jump(JA, 0, 0, Target::Allow),
            (false, true) => self.jump(JA, 0, 0, Target::Deny),
            (false, false) => self.jump(JSET_K, WANTED, bits, Target::Deny),
            (true, false) => {
                self.push(insn(AND32_K, WANTED, 0, 0, !bits & 7));
                self.jump(JEQ_K, WANTED, 0, Target::Allow);
            }
        }
    }

    /// The rules of one verdict on one type, sorted by major number.
    fn block(&mut self, allow: bool, rules: &[Exception]) {
        let mut rest = rules;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|e| e.major == first.major).count();
            let (group, tail) = rest.split_at(same);
            rest = tail;
            let skip = first.major.map(|n| self.push(insn(JNE_K, MAJOR, 0, 0, n as i32)));
            for e in group {
                self.one(allow, e);
            }
            if let Some(at) = skip {
                self.land(at);
            }
        }
    }

    fn one(&mut self, allow: bool, e: &Exception) {
        let Some(minor) = e.minor else { return self.verdict(allow, e.access) };
        if e.access == Access::ALL {
            let target = if allow { Target::Allow } else { Target::Deny };
            return self.jump(JEQ_K, MINOR, minor as i32, target);
        }
        let at = self.push(insn(JNE_K, MINOR, 0, 0, minor as i32));
        self.verdict(allow, e.access);
        self.land(at);
    }

    /// Ends with the two exits. `fall` is the verdict for what reaches the end.
    fn finish(mut self, fall: Target) -> Vec<Insn> {
        // r0 is 1 from the start: "allow" is a bare exit.
        if fall == Target::Deny {
            let deny = self.push(insn(MOV64_K, 0, 0, 0, 0));
            let allow = self.push(insn(EXIT, 0, 0, 0, 0));
            return self.patch(allow, deny);
        }
        let over = self.push(insn(JA, 0, 0, 1, 0));
        let deny = self.push(insn(MOV64_K, 0, 0, 0, 0));
        let allow = self.push(insn(EXIT, 0, 0, 0, 0));
        self.code[over].off = (allow - over - 1) as i16;
        if !self.jumps.iter().any(|(_, t)| *t == Target::Deny) {
            self.code.drain(over..allow);
            return self.patch(over, over);
        }
        self.patch(allow, deny)
    }

    fn patch(mut self, allow: usize, deny: usize) -> Vec<Insn> {
        for &(at, target) in &self.jumps {
            let to = if target == Target::Allow { allow } else { deny };
            self.code[at].off = (to - at - 1) as i16;
        }
        self.code
    }
}

impl DevicePolicy {
    /// The policy as a program.
    pub(super) fn program(&self) -> Vec<Insn> {
        let mut a = Assembler { code: Vec::with_capacity(64), jumps: Vec::new() };
        a.push(insn(LDX_W, TYPE, 1, 0, 0));
        a.push(insn(MOV32_X, WANTED, TYPE, 0, 0));
        a.push(insn(AND32_K, TYPE, 0, 0, 0xffff));
        a.push(insn(RSH32_K, WANTED, 0, 0, 16));
        a.push(insn(LDX_W, MAJOR, 1, 4, 0));
        a.push(insn(LDX_W, MINOR, 1, 8, 0));
        a.push(insn(MOV64_K, 0, 0, 0, 1));
        let mut rest = self.rules.as_slice();
        while let Some(last) = rest.last() {
            let same = rest.iter().rev().take_while(|r| r.allow == last.allow).count();
            let (before, set) = rest.split_at(rest.len() - same);
            rest = before;
            if emit_set(&mut a, last.allow, set) {
                return a.finish(if last.allow { Target::Allow } else { Target::Deny });
            }
        }
        a.finish(if self.allow_by_default { Target::Allow } else { Target::Deny })
    }
}

/// Rules of one verdict: their order does not matter. Whether they decide about everything, so that
/// nothing may follow (the verifier refuses instructions which nothing reaches).
fn emit_set(a: &mut Assembler, allow: bool, rules: &[Rule]) -> bool {
    let mut set: Vec<Exception> = Vec::with_capacity(rules.len());
    for rule in rules {
        match set.iter_mut().find(|e| e.same_devices(&rule.on)) {
            Some(known) => known.access = known.access.or(rule.on.access),
            None => set.push(rule.on),
        }
    }
    let all = set.clone();
    set.retain(|e| {
        !all.iter().any(|w| !w.same_devices(e) && w.covers(e) && e.access.without(w.access).is_empty())
    });
    // A rule on all of both types needs no look at the type.
    let wide = |e: &Exception| e.major.is_none() && e.minor.is_none();
    let of = |kind| set.iter().find(|e| wide(e) && e.kind == kind).map_or(Access::NONE, |e| e.access);
    let both = of(DeviceKind::Char).and(of(DeviceKind::Block));
    if both == Access::ALL {
        return true;
    }
    if !both.is_empty() {
        a.verdict(allow, both);
        for e in set.iter_mut().filter(|e| wide(e)) {
            e.access = e.access.without(both);
        }
        set.retain(|e| !e.access.is_empty());
    }
    set.sort_unstable();
    for kind in [DeviceKind::Char, DeviceKind::Block] {
        let of_kind: Vec<Exception> = set.iter().filter(|e| e.kind == kind).copied().collect();
        if of_kind.is_empty() {
            continue;
        }
        let at = a.push(insn(JNE_K, TYPE, 0, 0, i32::from(kind.number())));
        a.block(allow, &of_kind);
        a.land(at);
    }
    false
}
