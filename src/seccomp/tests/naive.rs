//! The definition of [`Profile`], taken literally: no ranges, no halves, no jumps.

use super::super::{Action, Arch, Condition, Operator, Profile};
use std::cmp::Reverse;
use std::collections::HashMap;

const SOCKETCALL: &str = "socket bind connect listen accept getsockname getpeername socketpair send recv sendto \
    recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// A profile for a machine of architecture `native`, with its names resolved.
pub(super) struct Naive<'p> {
    profile: &'p Profile<'p>,
    native: Arch,
    numbers: HashMap<Arch, Vec<Vec<Option<u32>>>>,
}

impl<'p> Naive<'p> {
    pub(super) fn new(profile: &'p Profile<'p>, native: Arch) -> Self {
        let of_arch = |arch: Arch| {
            profile.rules.iter().map(|r| r.names.iter().map(|n| arch.number(n)).collect()).collect()
        };
        Self { profile, native, numbers: Arch::ALL.into_iter().map(|a| (a, of_arch(a))).collect() }
    }

    /// What the profile says about a call; `token` is the architecture whose token the kernel reports.
    pub(super) fn decide(&self, token: Arch, number: u32, arguments: [u64; 6]) -> Action {
        let profile = self.profile;
        let arch = match token {
            Arch::X86_64 | Arch::X32 if number == u32::MAX && !self.has(Arch::X32) => Arch::X86_64,
            Arch::X86_64 | Arch::X32 if number >= 0x4000_0000 => Arch::X32,
            Arch::X86_64 | Arch::X32 => Arch::X86_64,
            other => other,
        };
        if !self.has(arch) {
            return Action::KillThread;
        }
        if number == u32::MAX && arch == Arch::X86_64 {
            return profile.default_action;
        }
        let passes = matches!(profile.default_action, Action::Allow | Action::Log | Action::Trace(_));
        if !passes {
            let named = self.numbers[&arch].iter().flatten().flatten();
            let highest = named.filter(|&&n| arch != Arch::Arm || n < 0xf_0000).max();
            let private = arch == Arch::Arm && number >= 0xf_0000;
            if highest.is_some_and(|&h| number > h) && !private {
                return Action::Errno(38);
            }
            if matches!(arch, Arch::S390 | Arch::S390x) && number == 0 && highest.is_some() {
                return Action::Errno(38);
            }
        }
        by_rules(profile, &self.numbers[&arch], arch, number, arguments)
    }

    fn has(&self, arch: Arch) -> bool {
        arch == self.native || self.profile.architectures.contains(&arch)
    }
}

/// The lists of conditions of which one must hold in full.
fn alternatives(conditions: &[Condition]) -> Vec<Vec<Condition>> {
    let count = |c: &Condition| conditions.iter().filter(|d| d.argument == c.argument).count();
    if conditions.iter().any(|c| count(c) > 1) {
        conditions.iter().map(|&c| vec![c]).collect()
    } else {
        vec![conditions.to_vec()]
    }
}

fn by_rules(
    profile: &Profile<'_>,
    numbers: &[Vec<Option<u32>>],
    arch: Arch,
    number: u32,
    arguments: [u64; 6],
) -> Action {
    let mut conditional: Vec<(Vec<Condition>, Action)> = Vec::new();
    let rules = || profile.rules.iter().zip(numbers).filter(|(r, _)| r.action != profile.default_action);
    for (rule, numbers) in rules() {
        for _ in numbers.iter().filter(|n| **n == Some(number)) {
            for set in alternatives(&rule.conditions) {
                let left: Vec<_> = set.into_iter().filter(|c| !always(arch, c)).collect();
                if left.is_empty() {
                    return rule.action;
                }
                conditional.push((left, rule.action));
            }
        }
    }
    for (rule, _) in rules() {
        for condition in rule.names.iter().filter_map(|name| carried(arch, name, number)) {
            for set in alternatives(&rule.conditions) {
                let others = set.into_iter().filter(|c| c.argument != 0 && !always(arch, c));
                conditional.push((std::iter::once(condition).chain(others).collect(), rule.action));
            }
        }
    }
    for (conditions, _) in &mut conditional {
        conditions.sort_by_key(|c| c.argument);
    }
    conditional.sort_by(|(a, _), (b, _)| {
        let keys = |conditions: &[Condition]| conditions.iter().map(|c| key(arch, c)).collect::<Vec<_>>();
        let (a, b) = (keys(a), keys(b));
        let shared = a.len().min(b.len());
        a[..shared].cmp(&b[..shared]).then(a.len().cmp(&b.len()))
    });
    let holds = |c: &Condition| self::holds(arch, c, arguments[usize::from(c.argument)]);
    conditional
        .iter()
        .find(|(conditions, _)| conditions.iter().all(holds))
        .map_or(profile.default_action, |(_, action)| *action)
}

fn carried(arch: Arch, name: &str, number: u32) -> Option<Condition> {
    let old =
        [Arch::X86, Arch::Mips, Arch::Mipsel, Arch::Ppc, Arch::Ppc64, Arch::Ppc64le, Arch::S390, Arch::S390x];
    if !old.contains(&arch) && ![Arch::M68k, Arch::Sh, Arch::Sheb].contains(&arch) {
        return None;
    }
    if ![102, 117, 4102, 4117].contains(&number) {
        return None;
    }
    let (mask, value) = if arch.number("socketcall") == Some(number) {
        (0xffff_ffff, SOCKETCALL.split(' ').position(|n| n == name)? as u64 + 1)
    } else if arch.number("ipc") == Some(number) {
        (0xffff, IPC.iter().find(|(n, _)| *n == name)?.1)
    } else {
        return None;
    };
    Some(Condition { argument: 0, operator: Operator::MaskedEqual, value: mask, value_two: value })
}

fn max_value(arch: Arch) -> u64 {
    if arch.wide() { u64::MAX } else { 0xffff_ffff }
}

fn always(arch: Arch, c: &Condition) -> bool {
    c.operator == Operator::MaskedEqual && c.value & max_value(arch) == 0
}

fn holds(arch: Arch, c: &Condition, argument: u64) -> bool {
    let cut = |v: u64| v & max_value(arch);
    let argument = cut(argument);
    match c.operator {
        Operator::Equal => argument == cut(c.value),
        Operator::NotEqual => argument != cut(c.value),
        Operator::MaskedEqual => argument & cut(c.value) == c.value_two & cut(c.value),
        Operator::Less => argument < c.value,
        Operator::LessOrEqual => argument <= c.value,
        Operator::Greater => argument > c.value,
        Operator::GreaterOrEqual => argument >= c.value,
    }
}

fn key(arch: Arch, c: &Condition) -> (Reverse<u8>, u8, u64) {
    let (class, value) = match c.operator {
        Operator::Equal | Operator::NotEqual => (0, !(c.value & max_value(arch))),
        Operator::MaskedEqual => (0, !(c.value_two & c.value & max_value(arch))),
        Operator::Less | Operator::LessOrEqual => (1, c.value),
        Operator::Greater | Operator::GreaterOrEqual => (2, !c.value),
    };
    (Reverse(c.argument), class, value)
}
