//! Rules with conditions: the order in which they are tried, and their code.

use super::arch::Arch;
use super::assembler::{BpfAssembler, JumpTarget};
use super::opcode::{AND, ANY_BIT, EQUAL, GREATER, GREATER_EQUAL, LOAD};
use super::rule::{Action, Condition, Operator};
use std::cmp::Ordering;

/// Conditions that must all hold, sorted by argument, and the action of the call if they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConditionChain {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: Action,
}

/// Truncates conditions to the architecture's word size, sorts them by argument and removes those that compare no
/// bit. `None` if they can never hold.
pub(super) fn normalize(arch: Arch, conditions: &[Condition]) -> Option<Vec<Condition>> {
    let max = max_value(arch);
    let mut kept = Vec::with_capacity(conditions.len());
    for &(mut c) in conditions {
        match c.operator {
            Operator::Equal | Operator::NotEqual => c.value &= max,
            Operator::MaskedEqual => {
                c.value &= max;
                c.value_two &= c.value;
                if c.value == 0 {
                    continue;
                }
            }
            Operator::Less if c.value == 0 => return None,
            Operator::GreaterOrEqual if c.value > max => return None,
            Operator::Greater if c.value >= max => return None,
            _ => {}
        }
        kept.push(c);
    }
    kept.sort_by_key(|c| c.argument);
    Some(kept)
}

/// The largest value of an argument that is compared.
fn max_value(arch: Arch) -> u64 {
    if arch.wide() { u64::MAX } else { u64::from(u32::MAX) }
}

/// Whether an ordering comparison holds for every value.
fn always(arch: Arch, c: &Condition) -> bool {
    match c.operator {
        Operator::Less => c.value > max_value(arch),
        Operator::LessOrEqual => c.value >= max_value(arch),
        Operator::GreaterOrEqual => c.value == 0,
        _ => false,
    }
}

/// The order in which two chains are tried; see [`Profile`](super::Profile).
pub(super) fn order(a: &ConditionChain, b: &ConditionChain) -> Ordering {
    let class = |c: &Condition| match c.operator {
        Operator::Equal | Operator::NotEqual | Operator::MaskedEqual => 0,
        Operator::Less | Operator::LessOrEqual => 1,
        Operator::Greater | Operator::GreaterOrEqual => 2,
    };
    let datum = |c: &Condition| match c.operator {
        Operator::MaskedEqual => u64::MAX - c.value_two,
        Operator::Less | Operator::LessOrEqual => c.value,
        _ => u64::MAX - c.value,
    };
    for (x, y) in a.conditions.iter().zip(&b.conditions) {
        let ordering = y
            .argument
            .cmp(&x.argument)
            .then_with(|| class(x).cmp(&class(y)))
            .then_with(|| datum(x).cmp(&datum(y)));
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    a.conditions.len().cmp(&b.conditions.len())
}

/// The code of chains in the order given: the first one that holds decides; if none does, `otherwise`
/// applies.
pub(super) fn assemble(
    asm: &mut BpfAssembler,
    arch: Arch,
    chains: &[ConditionChain],
    otherwise: Action,
) -> JumpTarget {
    let mut next = asm.ret(otherwise.value());
    let mut end = chains.len();
    while end > 0 {
        let alike = equal_run(arch, &chains[..end]);
        next = if alike > 1 {
            assemble_equal_run(asm, arch, &chains[end - alike..end], next)
        } else {
            let chain = &chains[end - 1];
            let mut yes = asm.ret(chain.action.value());
            for condition in chain.conditions.iter().rev() {
                yes = assemble_one(asm, arch, condition, yes, next);
            }
            yes
        };
        end -= alike.max(1);
    }
    next
}

/// How many of the last chains compare the same argument for equality, with the same upper half.
fn equal_run(arch: Arch, chains: &[ConditionChain]) -> usize {
    let single = |chain: &ConditionChain| match chain.conditions[..] {
        [c] if c.operator == Operator::Equal => {
            Some((c.argument, if arch.wide() { c.value >> 32 } else { 0 }))
        }
        _ => None,
    };
    let Some(first) = chains.last().and_then(single) else { return 0 };
    chains.iter().rev().take_while(|chain| single(chain) == Some(first)).count()
}

/// One load of each half for all values of an argument.
fn assemble_equal_run(
    asm: &mut BpfAssembler,
    arch: Arch,
    run: &[ConditionChain],
    miss: JumpTarget,
) -> JumpTarget {
    let mut next = miss;
    for chain in run.iter().rev() {
        let yes = asm.ret(chain.action.value());
        next = asm.test(EQUAL, chain.conditions[0].value as u32, yes, next);
    }
    let c = run[0].conditions[0];
    let low = asm.before(LOAD, offset(arch, c.argument, Half::Low), next);
    if arch.wide() {
        half(asm, arch, c.argument, Half::High, (EQUAL, (c.value >> 32) as u32), low, miss)
    } else {
        low
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Half {
    Low,
    High,
}

/// The offset of half an argument in `struct seccomp_data`.
fn offset(arch: Arch, argument: u8, half: Half) -> u32 {
    let second = (half == Half::High) == arch.little_endian();
    16 + 8 * u32::from(argument) + if second { 4 } else { 0 }
}

/// Loads half of an argument and tests it.
fn half(
    asm: &mut BpfAssembler,
    arch: Arch,
    argument: u8,
    which: Half,
    (code, k): (u16, u32),
    yes: JumpTarget,
    no: JumpTarget,
) -> JumpTarget {
    let test = asm.test(code, k, yes, no);
    asm.before(LOAD, offset(arch, argument, which), test)
}

fn assemble_one(
    asm: &mut BpfAssembler,
    arch: Arch,
    c: &Condition,
    yes: JumpTarget,
    no: JumpTarget,
) -> JumpTarget {
    if yes == no || always(arch, c) {
        return yes;
    }
    let (low, high) = (c.value as u32, (c.value >> 32) as u32);
    match c.operator {
        Operator::Equal => equal(asm, arch, c, yes, no),
        Operator::NotEqual => equal(asm, arch, c, no, yes),
        Operator::Greater => above(asm, arch, c.argument, (GREATER, low, high), yes, no),
        Operator::GreaterOrEqual => above(asm, arch, c.argument, (GREATER_EQUAL, low, high), yes, no),
        Operator::Less => above(asm, arch, c.argument, (GREATER_EQUAL, low, high), no, yes),
        Operator::LessOrEqual => above(asm, arch, c.argument, (GREATER, low, high), no, yes),
        Operator::MaskedEqual => {
            let (want, want_high) = (c.value_two as u32, (c.value_two >> 32) as u32);
            let mut next = yes;
            if low != 0 {
                next = masked(asm, arch, (c.argument, Half::Low), (low, want), next, no);
            }
            if high != 0 {
                next = masked(asm, arch, (c.argument, Half::High), (high, want_high), next, no);
            }
            next
        }
    }
}

fn equal(asm: &mut BpfAssembler, arch: Arch, c: &Condition, yes: JumpTarget, no: JumpTarget) -> JumpTarget {
    let low = half(asm, arch, c.argument, Half::Low, (EQUAL, c.value as u32), yes, no);
    if arch.wide() {
        half(asm, arch, c.argument, Half::High, (EQUAL, (c.value >> 32) as u32), low, no)
    } else {
        low
    }
}

/// `argument > value` or `argument >= value`; `code` says which, for the lower half.
fn above(
    asm: &mut BpfAssembler,
    arch: Arch,
    argument: u8,
    (code, low, high): (u16, u32, u32),
    yes: JumpTarget,
    no: JumpTarget,
) -> JumpTarget {
    let below = half(asm, arch, argument, Half::Low, (code, low), yes, no);
    if !arch.wide() {
        return below;
    }
    // If the upper halves are equal, the lower halves decide; otherwise the upper halves do. No half is
    // less than 0, so that comparison is left out.
    let differs = if high == 0 { yes } else { asm.test(GREATER, high, yes, no) };
    let test = asm.test(EQUAL, high, below, differs);
    asm.before(LOAD, offset(arch, argument, Half::High), test)
}

fn masked(
    asm: &mut BpfAssembler,
    arch: Arch,
    (argument, which): (u8, Half),
    (mask, want): (u32, u32),
    yes: JumpTarget,
    no: JumpTarget,
) -> JumpTarget {
    if mask == u32::MAX {
        half(asm, arch, argument, which, (EQUAL, want), yes, no)
    } else if want == 0 {
        half(asm, arch, argument, which, (ANY_BIT, mask), no, yes)
    } else if want == mask && mask.is_power_of_two() {
        half(asm, arch, argument, which, (ANY_BIT, mask), yes, no)
    } else {
        let test = asm.test(EQUAL, want, yes, no);
        let and = asm.before(AND, mask, test);
        asm.before(LOAD, offset(arch, argument, which), and)
    }
}
