//! The compiler: from rules to the instructions of a filter.

use super::arch::{Arch, X32_BIT};
use super::assembler::{BpfAssembler, JumpTarget};
use super::chain::{self, ConditionChain};
use super::dispatch::{self, NumberRanges, Outcome};
use super::multiplex::Multiplexer;
use super::opcode::{EQUAL, LOAD};
use super::program::ArchSection;
use super::rule::{Action, Condition, SyscallRule};
use super::table::{self, LIMIT, NONE, PRIVATE};
use crate::sys::seccomp::Instruction;
use crate::{Error, Phase, Result};

/// The kernel's BPF_MAXINSNS.
const MAX_INSTRUCTIONS: usize = 4096;
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);
/// What happens to calls of an architecture that is not in the filter.
const OTHER_ARCHITECTURE: Action = Action::KillThread;
/// Offset of `arch` in `struct seccomp_data`.
const ARCH: u32 = 4;
/// Offset of `nr`.
const NUMBER: u32 = 0;

/// Compiled rules.
pub(super) struct CompiledRules {
    pub(super) code: Vec<Instruction>,
    pub(super) sections: Vec<ArchSection>,
    /// Names in the rules that no architecture has.
    pub(super) unknown_names: Vec<String>,
}

/// Compiles rules for these architectures, of which the first one is the native one.
///
/// # Errors
/// If the filter is longer than the kernel accepts.
pub(super) fn compile_rules(
    rules: &[SyscallRule<'_>],
    default: Action,
    archs: &[Arch],
) -> Result<CompiledRules> {
    let mut asm = BpfAssembler::new();
    let rules = ResolvedRules::new(rules, default);
    let mut entries: Vec<(u32, JumpTarget)> = Vec::with_capacity(archs.len());
    let mut sections = Vec::with_capacity(archs.len());
    // The program is written backwards: the native architecture comes last, so it is checked first.
    for &arch in archs.iter().rev() {
        if arch == Arch::X32 && archs.contains(&Arch::X86_64) {
            continue;
        }
        let other = (arch == Arch::X86_64 && archs.contains(&Arch::X32)).then_some(Arch::X32);
        let end = asm.len();
        entries.push((arch.token(), TokenSection::new(default, arch, other, &rules).assemble(&mut asm)));
        sections.push(ArchSection { arch, start: asm.len(), end });
    }
    let mut next = asm.ret(OTHER_ARCHITECTURE.value());
    for &(token, entry) in &entries {
        next = asm.test(EQUAL, token, entry, next);
    }
    asm.before(LOAD, ARCH, next);
    let length = asm.len();
    if length > MAX_INSTRUCTIONS {
        let why = format!("the filter needs {length} instructions, the kernel takes {MAX_INSTRUCTIONS}");
        return Err(Error::unsupported(Phase::Seccomp, "/linux/seccomp", why));
    }
    sections.reverse();
    for section in &mut sections {
        (section.start, section.end) = (length - section.start, length - section.end);
    }
    Ok(CompiledRules { code: asm.finish(), sections, unknown_names: rules.unknown })
}

/// What happens to calls above the highest number that the rules name.
fn above_highest(default: Action) -> Action {
    if default.permissive() { default } else { ENOSYS }
}

/// The rules with their names resolved, before any architecture.
struct ResolvedRules {
    /// The row of each known name and the index of its rule, in the profile's order.
    names: Vec<(u16, u32)>,
    rules: Vec<ResolvedRule>,
    unknown: Vec<String>,
}

struct ResolvedRule {
    action: Action,
    /// The rule has the default action, and therefore no effect.
    redundant: bool,
    /// At least one of these lists of conditions must hold in full.
    alternatives: Vec<Vec<Condition>>,
}

impl ResolvedRules {
    fn new(rules: &[SyscallRule<'_>], default: Action) -> Self {
        let mut names = Vec::with_capacity(rules.iter().map(|r| r.names.len()).sum());
        let mut unknown = Vec::new();
        let mut resolved = Vec::with_capacity(rules.len());
        for (i, rule) in rules.iter().enumerate() {
            for name in &rule.names {
                match table::row(name) {
                    Some(row) => names.push((row, i as u32)),
                    None => unknown.push(name.to_string()),
                }
            }
            let conditions = &rule.conditions;
            let twice = conditions
                .iter()
                .enumerate()
                .any(|(i, c)| conditions[..i].iter().any(|d| d.argument == c.argument));
            resolved.push(ResolvedRule {
                action: rule.action,
                redundant: rule.action == default,
                alternatives: if twice {
                    conditions.iter().map(|&c| vec![c]).collect()
                } else {
                    vec![conditions.clone()]
                },
            });
        }
        Self { names, rules: resolved, unknown }
    }
}

/// A rule on one architecture.
enum ArchRule {
    NoEffect,
    Unconditional,
    Chains(Vec<ConditionChain>),
}

impl ArchRule {
    fn new(arch: Arch, rule: &ResolvedRule) -> Self {
        let mut chains = Vec::new();
        if rule.redundant {
            return Self::NoEffect;
        }
        for conditions in &rule.alternatives {
            match chain::normalize(arch, conditions) {
                None => {}
                Some(conditions) if conditions.is_empty() => return Self::Unconditional,
                Some(conditions) => chains.push(ConditionChain { conditions, action: rule.action }),
            }
        }
        if chains.is_empty() { Self::NoEffect } else { Self::Chains(chains) }
    }
}

/// The code of an outcome.
#[derive(PartialEq)]
enum OutcomeCode {
    Return(Action),
    Chains(Arch, Vec<ConditionChain>),
}

/// The calls under one architecture token: one architecture, or x86_64 together with x32.
struct TokenSection {
    outcomes: Vec<OutcomeCode>,
    ranges: NumberRanges,
    default: Action,
}

impl TokenSection {
    fn new(default: Action, arch: Arch, other: Option<Arch>, rules: &ResolvedRules) -> Self {
        let mut section = Self { outcomes: Vec::with_capacity(16), ranges: NumberRanges::default(), default };
        section.ranges.0.reserve(256);
        let (otherwise, other_architecture) =
            (section.constant(default), section.constant(OTHER_ARCHITECTURE));
        if arch == Arch::X32 {
            section.ranges.push(0, other_architecture);
        }
        section.column(arch, rules);
        match other {
            Some(other) => section.column(other, rules),
            None if arch == Arch::X86_64 => {
                section.ranges.push(X32_BIT, other_architecture);
                // A tracer skips a call by setting its number to -1; the kernel then runs the filter again.
                section.ranges.push(u32::MAX, otherwise);
            }
            None => {}
        }
        section
    }

    fn constant(&mut self, action: Action) -> Outcome {
        self.intern(OutcomeCode::Return(action))
    }

    fn intern(&mut self, code: OutcomeCode) -> Outcome {
        let at = self.outcomes.iter().position(|c| *c == code).unwrap_or_else(|| {
            self.outcomes.push(code);
            self.outcomes.len() - 1
        });
        at as Outcome
    }

    /// Appends the numbers of one architecture.
    fn column(&mut self, arch: Arch, rules: &ResolvedRules) {
        let otherwise = self.constant(self.default);
        let (outcomes, highest) = self.outcomes_of(arch, rules);
        if self.ranges.0.is_empty() && arch.base() > 0 {
            self.ranges.push(0, otherwise);
        }
        let tail = match highest {
            Some(_) => self.constant(above_highest(self.default)),
            None => otherwise,
        };
        let known = highest.map_or(0, |h| h + 1);
        for (compact, &outcome) in outcomes[..usize::from(known)].iter().enumerate() {
            self.ranges.push(arch.base() + compact as u32, outcome);
        }
        self.ranges.push(arch.base() + u32::from(known), tail);
        if arch == Arch::Arm {
            for compact in PRIVATE..LIMIT as u16 {
                self.ranges.push(arch.expand(compact), outcomes[usize::from(compact)]);
            }
            self.ranges.push(arch.expand(LIMIT as u16), otherwise);
        }
    }

    /// The outcome of every compact number, and the highest one that the rules name (not counting private ones).
    fn outcomes_of(&mut self, arch: Arch, rules: &ResolvedRules) -> ([Outcome; LIMIT], Option<u16>) {
        let otherwise = self.constant(self.default);
        let column = arch.column();
        let local: Vec<ArchRule> = rules.rules.iter().map(|r| ArchRule::new(arch, r)).collect();
        let mut calls =
            NumberRules { outcomes: [otherwise; LIMIT], fixed: [false; LIMIT], conditional: Vec::new() };
        let mut highest = None;
        for &(row, rule) in &rules.names {
            let compact = column[usize::from(row)];
            if compact == NONE {
                continue;
            }
            if compact < PRIVATE {
                highest = highest.max(Some(compact));
            }
            match &local[rule as usize] {
                ArchRule::NoEffect => {}
                ArchRule::Unconditional => {
                    let outcome = self.constant(rules.rules[rule as usize].action);
                    calls.fix(compact, outcome);
                }
                ArchRule::Chains(chains) => calls.add(compact, chains),
            }
        }
        if arch.multiplexed() {
            calls.multiplex(arch, rules);
        }
        let NumberRules { mut outcomes, fixed, conditional } = calls;
        for (compact, mut chains) in conditional {
            if !fixed[usize::from(compact)] {
                chains.sort_by(chain::order);
                outcomes[usize::from(compact)] = self.intern(OutcomeCode::Chains(arch, chains));
            }
        }
        // On s390 a number above 255 is passed in a register, and an unknown one is reported as number 0.
        if matches!(arch, Arch::S390 | Arch::S390x) && highest.is_some() {
            outcomes[0] = match self.outcomes[usize::from(otherwise)] {
                OutcomeCode::Return(action) if !action.permissive() => self.constant(ENOSYS),
                _ => outcomes[0],
            };
        }
        (outcomes, highest)
    }

    fn assemble(&self, asm: &mut BpfAssembler) -> JumpTarget {
        let mut labels: Vec<Option<JumpTarget>> = vec![None; self.outcomes.len()];
        let entry = dispatch::assemble(asm, &self.ranges, &mut |asm, outcome| {
            let at = usize::from(outcome);
            match &self.outcomes[at] {
                OutcomeCode::Return(action) => asm.ret(action.value()),
                OutcomeCode::Chains(arch, chains) => {
                    *labels[at].get_or_insert_with(|| chain::assemble(asm, *arch, chains, self.default))
                }
            }
        });
        asm.before(LOAD, NUMBER, entry)
    }
}

/// The rules of each call of an architecture, by its compact number, while they are collected.
struct NumberRules {
    outcomes: [Outcome; LIMIT],
    /// Whether the call has an unconditional rule.
    fixed: [bool; LIMIT],
    conditional: Vec<(u16, Vec<ConditionChain>)>,
}

impl NumberRules {
    fn fix(&mut self, compact: u16, outcome: Outcome) {
        let at = usize::from(compact);
        if !self.fixed[at] {
            self.fixed[at] = true;
            self.outcomes[at] = outcome;
        }
    }

    fn add(&mut self, compact: u16, chains: &[ConditionChain]) {
        if self.fixed[usize::from(compact)] {
            return;
        }
        match self.conditional.iter_mut().find(|(known, _)| *known == compact) {
            Some((_, known)) => known.extend_from_slice(chains),
            None => self.conditional.push((compact, chains.to_vec())),
        }
    }

    /// Adds the rules of multiplexed calls to their multiplexers.
    fn multiplex(&mut self, arch: Arch, rules: &ResolvedRules) {
        let column = arch.column();
        for multiplexer in Multiplexer::ALL {
            let compact = multiplexer.row().map_or(NONE, |row| column[usize::from(row)]);
            if compact == NONE || self.fixed[usize::from(compact)] {
                continue;
            }
            for &(row, rule) in &rules.names {
                let rule = &rules.rules[rule as usize];
                let Some(condition) = multiplexer.condition(table::name(row)).filter(|_| !rule.redundant)
                else {
                    continue;
                };
                for alternative in &rule.alternatives {
                    let others = alternative.iter().filter(|c| c.argument != 0);
                    let conditions: Vec<Condition> = others.copied().chain([condition]).collect();
                    if let Some(conditions) = chain::normalize(arch, &conditions) {
                        self.add(compact, &[ConditionChain { conditions, action: rule.action }]);
                    }
                }
            }
        }
    }
}
