//! The policy as a BPF program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! Loading takes about 2 µs per instruction. To save instructions, consecutive rules with the same verdict are treated as
//! a set, and grouped by type and major number, with one comparison per device.

use super::access::{DeviceAccess, DeviceException, DeviceKind};
use super::policy::{AccessRule, DevicePolicy};
use crate::sys::bpf::EbpfInsn;

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

/// Registers: the type, the accesses that are still undecided, the major and the minor number.
const TYPE: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> EbpfInsn {
    EbpfInsn { code, regs: dst | src << 4, off, imm }
}

/// The target of a jump.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Deny,
}

struct DeviceProgram {
    code: Vec<EbpfInsn>,
    jumps: Vec<(usize, Verdict)>,
}

impl DeviceProgram {
    fn push(&mut self, i: EbpfInsn) -> usize {
        self.code.push(i);
        self.code.len() - 1
    }

    fn jump(&mut self, code: u8, register: u8, imm: i32, target: Verdict) {
        let at = self.push(insn(code, register, 0, 0, imm));
        self.jumps.push((at, target));
    }

    /// Makes the jump at `at` go to the next instruction.
    fn land(&mut self, at: usize) {
        self.code[at].off = (self.code.len() - at - 1) as i16;
    }

    /// Decides about accesses to a device that matches.
    fn verdict(&mut self, allow: bool, access: DeviceAccess) {
        let bits = i32::from(access.bits());
        match (allow, access == DeviceAccess::ALL) {
            (true, true) => self.jump(JA, 0, 0, Verdict::Allow),
            (false, true) => self.jump(JA, 0, 0, Verdict::Deny),
            (false, false) => self.jump(JSET_K, UNDECIDED, bits, Verdict::Deny),
            (true, false) => {
                self.push(insn(AND32_K, UNDECIDED, 0, 0, !bits & 7));
                self.jump(JEQ_K, UNDECIDED, 0, Verdict::Allow);
            }
        }
    }

    /// Rules with the same verdict for one device type, sorted by major number.
    fn rules_of_type(&mut self, allow: bool, rules: &[DeviceException]) {
        let mut rest = rules;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|e| e.major == first.major).count();
            let (group, tail) = rest.split_at(same);
            rest = tail;
            let skip = first.major.map(|n| self.push(insn(JNE_K, MAJOR, 0, 0, n as i32)));
            for e in group {
                self.rule(allow, e);
            }
            if let Some(at) = skip {
                self.land(at);
            }
        }
    }

    /// A rule whose major number matches.
    fn rule(&mut self, allow: bool, e: &DeviceException) {
        let Some(minor) = e.minor else { return self.verdict(allow, e.access) };
        if e.access == DeviceAccess::ALL {
            let target = if allow { Verdict::Allow } else { Verdict::Deny };
            return self.jump(JEQ_K, MINOR, minor as i32, target);
        }
        let at = self.push(insn(JNE_K, MINOR, 0, 0, minor as i32));
        self.verdict(allow, e.access);
        self.land(at);
    }

    /// Appends the exits. `default` is the verdict if no jump was taken.
    fn finish(mut self, default: Verdict) -> Vec<EbpfInsn> {
        // r0 is already 1, so that "allow" only exits.
        if default == Verdict::Deny {
            let deny = self.push(insn(MOV64_K, 0, 0, 0, 0));
            let allow = self.push(insn(EXIT, 0, 0, 0, 0));
            return self.patch(allow, deny);
        }
        let over = self.push(insn(JA, 0, 0, 1, 0));
        let deny = self.push(insn(MOV64_K, 0, 0, 0, 0));
        let allow = self.push(insn(EXIT, 0, 0, 0, 0));
        self.code[over].off = (allow - over - 1) as i16;
        if !self.jumps.iter().any(|(_, t)| *t == Verdict::Deny) {
            self.code.drain(over..allow);
            return self.patch(over, over);
        }
        self.patch(allow, deny)
    }

    /// Sets the targets of all jumps.
    fn patch(mut self, allow: usize, deny: usize) -> Vec<EbpfInsn> {
        for &(at, target) in &self.jumps {
            let to = if target == Verdict::Allow { allow } else { deny };
            self.code[at].off = (to - at - 1) as i16;
        }
        self.code
    }
}

/// Compiles the policy.
pub(super) fn compile(policy: &DevicePolicy) -> Vec<EbpfInsn> {
    let mut a = DeviceProgram { code: Vec::with_capacity(64), jumps: Vec::new() };
    a.push(insn(LDX_W, TYPE, 1, 0, 0));
    a.push(insn(MOV32_X, UNDECIDED, TYPE, 0, 0));
    a.push(insn(AND32_K, TYPE, 0, 0, 0xffff));
    a.push(insn(RSH32_K, UNDECIDED, 0, 0, 16));
    a.push(insn(LDX_W, MAJOR, 1, 4, 0));
    a.push(insn(LDX_W, MINOR, 1, 8, 0));
    a.push(insn(MOV64_K, 0, 0, 0, 1));
    let mut rest = policy.rules.as_slice();
    while let Some(last) = rest.last() {
        let same = rest.iter().rev().take_while(|r| r.allow == last.allow).count();
        let (before, set) = rest.split_at(rest.len() - same);
        rest = before;
        if emit_rules(&mut a, last.allow, set) {
            return a.finish(if last.allow { Verdict::Allow } else { Verdict::Deny });
        }
    }
    a.finish(if policy.allow_by_default { Verdict::Allow } else { Verdict::Deny })
}

/// Emits rules with the same verdict, whose order does not matter. Returns whether they decide about everything: nothing
/// may follow then, since the verifier rejects unreachable instructions.
fn emit_rules(a: &mut DeviceProgram, allow: bool, rules: &[AccessRule]) -> bool {
    let mut set: Vec<DeviceException> = Vec::with_capacity(rules.len());
    for rule in rules {
        match set.iter_mut().find(|e| e.same_devices(&rule.exception)) {
            Some(known) => known.access = known.access.or(rule.exception.access),
            None => set.push(rule.exception),
        }
    }
    let all = set.clone();
    set.retain(|e| {
        !all.iter().any(|w| !w.same_devices(e) && w.covers(e) && e.access.without(w.access).is_empty())
    });
    // What applies to all devices of both types does not depend on the type.
    let wide = |e: &DeviceException| e.major.is_none() && e.minor.is_none();
    let of = |kind| set.iter().find(|e| wide(e) && e.kind == kind).map_or(DeviceAccess::NONE, |e| e.access);
    let both = of(DeviceKind::Char).and(of(DeviceKind::Block));
    if both == DeviceAccess::ALL {
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
        let of_kind: Vec<DeviceException> = set.iter().filter(|e| e.kind == kind).copied().collect();
        if of_kind.is_empty() {
            continue;
        }
        let at = a.push(insn(JNE_K, TYPE, 0, 0, i32::from(kind.number())));
        a.rules_of_type(allow, &of_kind);
        a.land(at);
    }
    false
}
