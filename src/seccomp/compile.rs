//! From profile to program.

use super::arch::X32_BIT;
use super::assembler::{Assembler, EQUAL, LOAD, Label};
use super::chain::{self, Chain};
use super::dispatch::{self, Fate, Ranges};
use super::multiplex::Multiplexer;
use super::program::Section;
use super::table::{self, NONE, PRIVATE, SLOTS};
use super::{Action, Arch, Condition, Profile, Program};
use crate::{Error, ErrorKind, Phase, Result};

/// The kernel's BPF_MAXINSNS.
const MAX_INSTRUCTIONS: usize = 4096;
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);
/// What happens to calls of an architecture that the filter does not have.
const FOREIGN: Action = Action::KillThread;
/// Offset of `arch` in `struct seccomp_data`.
const ARCH: u32 = 4;
/// Offset of `nr`.
const NUMBER: u32 = 0;

impl Profile<'_> {
    /// Compiles for the architecture that this program was built for. Pure: no system call is made.
    pub fn compile(&self) -> Result<Program> {
        let native = Arch::native().ok_or_else(|| {
            Error::unsupported(
                Phase::Seccomp,
                "/linux/seccomp",
                "no table of system calls for this architecture",
            )
        })?;
        self.compile_for(native)
    }

    /// Compiles for a machine whose native architecture is `native`.
    pub fn compile_for(&self, native: Arch) -> Result<Program> {
        self.check()?;
        let mut asm = Assembler::new();
        let rules = Rules::new(self);
        let archs = self.with_native(native);
        let mut entries: Vec<(u32, Label)> = Vec::with_capacity(archs.len());
        let mut sections = Vec::with_capacity(archs.len());
        // Written from the end: the native architecture last, nearest to the top.
        for &arch in archs.iter().rev() {
            if arch == Arch::X32 && archs.contains(&Arch::X86_64) {
                continue;
            }
            let other = (arch == Arch::X86_64 && archs.contains(&Arch::X32)).then_some(Arch::X32);
            let end = asm.len();
            entries.push((arch.token(), TokenSection::new(self, arch, other, &rules).assemble(&mut asm)));
            sections.push(Section { arch, start: asm.len(), end });
        }
        let mut next = asm.ret(FOREIGN.value());
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
        Ok(Program {
            code: asm.finish(),
            sections,
            flags: self.flags.clone(),
            notifies: self.notifies(),
            unknown_names: rules.unknown,
        })
    }

    /// What the kernel or the runtime cannot do.
    fn check(&self) -> Result<()> {
        let refuse = |pointer: String, why: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig, Phase::Seccomp, why).with_pointer(pointer))
        };
        if self.default_action == Action::Notify {
            return refuse(
                "/linux/seccomp/defaultAction".into(),
                "SCMP_ACT_NOTIFY cannot be used as default action",
            );
        }
        for (i, rule) in self.rules.iter().enumerate() {
            if let Some(j) = rule.conditions.iter().position(|c| c.argument > 5) {
                return refuse(
                    format!("/linux/seccomp/syscalls/{i}/args/{j}/index"),
                    "a system call has arguments 0 to 5",
                );
            }
        }
        Ok(())
    }

    /// The native architecture, then the others, each once.
    fn with_native(&self, native: Arch) -> Vec<Arch> {
        let mut archs = vec![native];
        for &arch in &self.architectures {
            if !archs.contains(&arch) {
                archs.push(arch);
            }
        }
        archs
    }

    /// What numbers above the highest known one get.
    fn tail(&self) -> Action {
        if self.default_action.permissive() { self.default_action } else { ENOSYS }
    }
}

/// The rules with their names resolved, architectures aside.
struct Rules {
    /// Every known name with the index of its rule, in the profile's order.
    names: Vec<(u16, u32)>,
    lowered: Vec<Lowered>,
    unknown: Vec<String>,
}

struct Lowered {
    action: u32,
    /// The rule says what happens anyway.
    redundant: bool,
    /// One of these sets of conditions must hold.
    alternatives: Vec<Vec<Condition>>,
}

impl Rules {
    fn new(profile: &Profile<'_>) -> Self {
        let mut names = Vec::with_capacity(profile.rules.iter().map(|r| r.names.len()).sum());
        let mut unknown = Vec::new();
        let mut lowered = Vec::with_capacity(profile.rules.len());
        for (i, rule) in profile.rules.iter().enumerate() {
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
            lowered.push(Lowered {
                action: rule.action.value(),
                redundant: rule.action == profile.default_action,
                alternatives: if twice {
                    conditions.iter().map(|&c| vec![c]).collect()
                } else {
                    vec![conditions.clone()]
                },
            });
        }
        Self { names, lowered, unknown }
    }
}

/// A rule on one architecture.
enum Local {
    Nothing,
    Unconditional,
    Chains(Vec<Chain>),
}

impl Local {
    fn new(arch: Arch, rule: &Lowered) -> Self {
        let mut chains = Vec::new();
        if rule.redundant {
            return Self::Nothing;
        }
        for conditions in &rule.alternatives {
            match chain::fold(arch, conditions) {
                None => {}
                Some(conditions) if conditions.is_empty() => return Self::Unconditional,
                Some(conditions) => chains.push(Chain { conditions, action: rule.action }),
            }
        }
        if chains.is_empty() { Self::Nothing } else { Self::Chains(chains) }
    }
}

/// What a fate is made of.
#[derive(PartialEq)]
enum Code {
    Return(u32),
    Chains(Arch, Vec<Chain>),
}

/// The calls of one kernel token: an architecture, or x86_64 together with x32.
struct TokenSection {
    fates: Vec<Code>,
    ranges: Ranges,
    default: u32,
}

impl TokenSection {
    fn new(profile: &Profile<'_>, arch: Arch, other: Option<Arch>, rules: &Rules) -> Self {
        let default = profile.default_action.value();
        let mut section = Self { fates: Vec::with_capacity(16), ranges: Ranges::default(), default };
        section.ranges.0.reserve(256);
        let (otherwise, foreign) = (section.constant(default), section.constant(FOREIGN.value()));
        if arch == Arch::X32 {
            section.ranges.from(0, foreign);
        }
        section.column(profile, arch, rules);
        match other {
            Some(other) => section.column(profile, other, rules),
            None if arch == Arch::X86_64 => {
                section.ranges.from(X32_BIT, foreign);
                // A tracer which wants a call skipped sets its number to -1; the kernel asks the filter once more.
                section.ranges.from(u32::MAX, otherwise);
            }
            None => {}
        }
        section
    }

    fn constant(&mut self, value: u32) -> Fate {
        self.intern(Code::Return(value))
    }

    fn intern(&mut self, code: Code) -> Fate {
        let at = self.fates.iter().position(|c| *c == code).unwrap_or_else(|| {
            self.fates.push(code);
            self.fates.len() - 1
        });
        at as Fate
    }

    /// Appends the numbers of one ABI.
    fn column(&mut self, profile: &Profile<'_>, arch: Arch, rules: &Rules) {
        let otherwise = self.constant(self.default);
        let (slots, highest) = self.slots(arch, rules);
        if self.ranges.0.is_empty() && arch.base() > 0 {
            self.ranges.from(0, otherwise);
        }
        let tail = match highest {
            Some(_) => self.constant(profile.tail().value()),
            None => otherwise,
        };
        let known = highest.map_or(0, |h| h + 1);
        for (slot, &fate) in slots[..usize::from(known)].iter().enumerate() {
            self.ranges.from(arch.base() + slot as u32, fate);
        }
        self.ranges.from(arch.base() + u32::from(known), tail);
        if arch == Arch::Arm {
            for slot in PRIVATE..SLOTS as u16 {
                self.ranges.from(arch.number_of_slot(slot), slots[usize::from(slot)]);
            }
            self.ranges.from(arch.number_of_slot(SLOTS as u16), otherwise);
        }
    }

    /// The fate of every slot, and the highest one that the profile names (private ones aside).
    fn slots(&mut self, arch: Arch, rules: &Rules) -> ([Fate; SLOTS], Option<u16>) {
        let otherwise = self.constant(self.default);
        let column = table::column(arch);
        let local: Vec<Local> = rules.lowered.iter().map(|r| Local::new(arch, r)).collect();
        let mut calls = Calls { slots: [otherwise; SLOTS], fixed: [false; SLOTS], conditional: Vec::new() };
        let mut highest = None;
        for &(row, rule) in &rules.names {
            let slot = column[usize::from(row)];
            if slot == NONE {
                continue;
            }
            if slot < PRIVATE {
                highest = highest.max(Some(slot));
            }
            match &local[rule as usize] {
                Local::Nothing => {}
                Local::Unconditional => {
                    let fate = self.constant(rules.lowered[rule as usize].action);
                    calls.fix(slot, fate);
                }
                Local::Chains(chains) => calls.add(slot, chains),
            }
        }
        if arch.multiplexed() {
            calls.multiplex(arch, rules);
        }
        let Calls { mut slots, fixed, conditional } = calls;
        for (slot, mut chains) in conditional {
            if !fixed[usize::from(slot)] {
                chains.sort_by(chain::order);
                slots[usize::from(slot)] = self.intern(Code::Chains(arch, chains));
            }
        }
        // "Large" numbers arrive in a register on s390 and leave the number 0 where the kernel does not
        // know them.
        if matches!(arch, Arch::S390 | Arch::S390x) && highest.is_some() {
            slots[0] = match self.fates[usize::from(otherwise)] {
                Code::Return(v) if !Action::from_value(v).permissive() => self.constant(ENOSYS.value()),
                _ => slots[0],
            };
        }
        (slots, highest)
    }

    fn assemble(&self, asm: &mut Assembler) -> Label {
        let mut labels: Vec<Option<Label>> = vec![None; self.fates.len()];
        let entry = dispatch::assemble(asm, &self.ranges, &mut |asm, fate| {
            let at = usize::from(fate);
            match &self.fates[at] {
                Code::Return(value) => asm.ret(*value),
                Code::Chains(arch, chains) => {
                    *labels[at].get_or_insert_with(|| chain::assemble(asm, *arch, chains, self.default))
                }
            }
        });
        asm.before(LOAD, NUMBER, entry)
    }
}

/// The rules of each slot while they are collected.
struct Calls {
    slots: [Fate; SLOTS],
    /// Slots with an unconditional rule.
    fixed: [bool; SLOTS],
    conditional: Vec<(u16, Vec<Chain>)>,
}

impl Calls {
    fn fix(&mut self, slot: u16, fate: Fate) {
        let at = usize::from(slot);
        if !self.fixed[at] {
            self.fixed[at] = true;
            self.slots[at] = fate;
        }
    }

    fn add(&mut self, slot: u16, chains: &[Chain]) {
        if self.fixed[usize::from(slot)] {
            return;
        }
        match self.conditional.iter_mut().find(|(s, _)| *s == slot) {
            Some((_, known)) => known.extend_from_slice(chains),
            None => self.conditional.push((slot, chains.to_vec())),
        }
    }

    /// Gives the rules of multiplexed calls to their multiplexers.
    fn multiplex(&mut self, arch: Arch, rules: &Rules) {
        let column = table::column(arch);
        for multiplexer in Multiplexer::ALL {
            let slot = multiplexer.row().map_or(NONE, |row| column[usize::from(row)]);
            if slot == NONE || self.fixed[usize::from(slot)] {
                continue;
            }
            for &(row, rule) in &rules.names {
                let rule = &rules.lowered[rule as usize];
                let Some(condition) = multiplexer.condition(table::name(row)).filter(|_| !rule.redundant)
                else {
                    continue;
                };
                for alternative in &rule.alternatives {
                    let others = alternative.iter().filter(|c| c.argument != 0);
                    let conditions: Vec<Condition> = others.copied().chain([condition]).collect();
                    if let Some(conditions) = chain::fold(arch, &conditions) {
                        self.add(slot, &[Chain { conditions, action: rule.action }]);
                    }
                }
            }
        }
    }
}
