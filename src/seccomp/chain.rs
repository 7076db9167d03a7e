//! Rules with conditions: their order and their code.

use super::assembler::{AND, ANY_BIT, Assembler, EQUAL, GREATER, GREATER_EQUAL, LOAD, Label};
use super::{Arch, Condition, Operator};
use std::cmp::Ordering;

/// Conditions which must all hold, sorted by argument, and the kernel's word for what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// Cuts conditions to the architecture's word, sorts them by argument and removes those that compare no
/// bit; `None` where they can never hold.
pub(super) fn fold(arch: Arch, conditions: &[Condition]) -> Option<Vec<Condition>> {
    let most = most(arch);
    let mut left = Vec::with_capacity(conditions.len());
    for &(mut c) in conditions {
        match c.operator {
            Operator::Equal | Operator::NotEqual => c.value &= most,
            Operator::MaskedEqual => {
                c.value &= most;
                c.value_two &= c.value;
                if c.value == 0 {
                    continue;
                }
            }
            Operator::Less if c.value == 0 => return None,
            Operator::GreaterOrEqual if c.value > most => return None,
            Operator::Greater if c.value >= most => return None,
            _ => {}
        }
        left.push(c);
    }
    left.sort_by_key(|c| c.argument);
    Some(left)
}

fn most(arch: Arch) -> u64 {
    if arch.wide() { u64::MAX } else { u64::from(u32::MAX) }
}

/// Whether an ordering holds of every value.
fn always(arch: Arch, c: &Condition) -> bool {
    match c.operator {
        Operator::Less => c.value > most(arch),
        Operator::LessOrEqual => c.value >= most(arch),
        Operator::GreaterOrEqual => c.value == 0,
        _ => false,
    }
}

/// The order in which two chains are tried (see [`Profile`](super::Profile)).
pub(super) fn order(a: &Chain, b: &Chain) -> Ordering {
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

/// The code of chains in the order given: the first which holds decides, else `otherwise`.
pub(super) fn assemble(asm: &mut Assembler, arch: Arch, chains: &[Chain], otherwise: u32) -> Label {
    let mut next = asm.ret(otherwise);
    let mut end = chains.len();
    while end > 0 {
        let alike = equal_run(arch, &chains[..end]);
        next = if alike > 1 {
            assemble_equal_run(asm, arch, &chains[end - alike..end], next)
        } else {
            let chain = &chains[end - 1];
            let mut yes = asm.ret(chain.action);
            for condition in chain.conditions.iter().rev() {
                yes = assemble_one(asm, arch, condition, yes, next);
            }
            yes
        };
        end -= alike.max(1);
    }
    next
}

/// How many of the last chains compare one argument for equality, with the same upper half.
fn equal_run(arch: Arch, chains: &[Chain]) -> usize {
    let single = |chain: &Chain| match chain.conditions[..] {
        [c] if c.operator == Operator::Equal => {
            Some((c.argument, if arch.wide() { c.value >> 32 } else { 0 }))
        }
        _ => None,
    };
    let Some(first) = chains.last().and_then(single) else { return 0 };
    chains.iter().rev().take_while(|chain| single(chain) == Some(first)).count()
}

/// One load of each half for all the values of an argument.
fn assemble_equal_run(asm: &mut Assembler, arch: Arch, run: &[Chain], miss: Label) -> Label {
    let mut next = miss;
    for chain in run.iter().rev() {
        let yes = asm.ret(chain.action);
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

/// Where half an argument is in `struct seccomp_data`.
fn offset(arch: Arch, argument: u8, half: Half) -> u32 {
    let second = (half == Half::High) == arch.little_endian();
    16 + 8 * u32::from(argument) + if second { 4 } else { 0 }
}

/// Loads half an argument and tests it.
fn half(
    asm: &mut Assembler,
    arch: Arch,
    argument: u8,
    which: Half,
    (code, k): (u16, u32),
    yes: Label,
    no: Label,
) -> Label {
    let test = asm.test(code, k, yes, no);
    asm.before(LOAD, offset(arch, argument, which), test)
}

fn assemble_one(asm: &mut Assembler, arch: Arch, c: &Condition, yes: Label, no: Label) -> Label {
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

fn equal(asm: &mut Assembler, arch: Arch, c: &Condition, yes: Label, no: Label) -> Label {
    let low = half(asm, arch, c.argument, Half::Low, (EQUAL, c.value as u32), yes, no);
    if arch.wide() {
        half(asm, arch, c.argument, Half::High, (EQUAL, (c.value >> 32) as u32), low, no)
    } else {
        low
    }
}

/// `argument > value` or `argument >= value`, as `code` says for the low half.
fn above(
    asm: &mut Assembler,
    arch: Arch,
    argument: u8,
    (code, low, high): (u16, u32, u32),
    yes: Label,
    no: Label,
) -> Label {
    let below = half(asm, arch, argument, Half::Low, (code, low), yes, no);
    if !arch.wide() {
        return below;
    }
    // Upper halves equal: the lower ones decide. Otherwise the greater one is greater; none is
    // less than 0.
    let differs = if high == 0 { yes } else { asm.test(GREATER, high, yes, no) };
    let test = asm.test(EQUAL, high, below, differs);
    asm.before(LOAD, offset(arch, argument, Half::High), test)
}

fn masked(
    asm: &mut Assembler,
    arch: Arch,
    (argument, which): (u8, Half),
    (mask, want): (u32, u32),
    yes: Label,
    no: Label,
) -> Label {
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
