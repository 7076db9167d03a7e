//! Decisions compared with those of the crate `seccompiler`, for profiles that both can express: one architecture,
//! one action for matches.

use super::*;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;

fn operator(c: &Condition) -> SeccompCmpOp {
    match c.operator {
        Operator::Equal => SeccompCmpOp::Eq,
        Operator::NotEqual => SeccompCmpOp::Ne,
        Operator::Less => SeccompCmpOp::Lt,
        Operator::LessOrEqual => SeccompCmpOp::Le,
        Operator::Greater => SeccompCmpOp::Gt,
        Operator::GreaterOrEqual => SeccompCmpOp::Ge,
        Operator::MaskedEqual => SeccompCmpOp::MaskedEq(c.value),
    }
}

fn rule(conditions: &[Condition]) -> SeccompRule {
    let conditions = conditions.iter().map(|c| {
        let value = if c.operator == Operator::MaskedEqual { c.value_two & c.value } else { c.value };
        SeccompCondition::new(c.argument, SeccompCmpArgLen::Qword, operator(c), value).unwrap()
    });
    SeccompRule::new(conditions.collect()).unwrap()
}

/// The programs of both compilers run in the same interpreter.
fn run(code: &BpfProgram, number: u32, arguments: [u64; 6]) -> Action {
    let code = code
        .iter()
        .map(|i| crate::sys::seccomp::Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
        .collect();
    let program =
        SeccompProgram { code, sections: vec![], flags: None, notifies: false, unknown_names: vec![] };
    program.evaluate(Arch::X86_64, number, arguments)
}

#[test]
fn decisions_agree_with_seccompiler() {
    let names = ["read", "socket", "clone", "personality", "ioctl", "openat2"];
    let mut random = Random(4);
    for _ in 0..150 {
        let mut profile = Profile::new(Action::Allow);
        let mut theirs: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for name in names {
            let number = i64::from(Arch::X86_64.number(name).unwrap());
            let mut rules = Vec::new();
            for _ in 0..random.below(4) {
                let mut conditions: Vec<Condition> =
                    (0..=random.below(3)).map(|_| random.condition()).collect();
                conditions.sort_by_key(|c| c.argument);
                conditions.dedup_by_key(|c| c.argument);
                rules.push(rule(&conditions));
                profile.rules.push(SyscallRule {
                    names: vec![name.into()],
                    action: Action::Errno(9),
                    conditions,
                });
            }
            if !rules.is_empty() {
                theirs.insert(number, rules);
            }
        }
        let filter =
            SeccompFilter::new(theirs, SeccompAction::Allow, SeccompAction::Errno(9), TargetArch::x86_64)
                .unwrap();
        let theirs: BpfProgram = filter.try_into().unwrap();
        let ours = profile.compile_for(Arch::X86_64).unwrap();
        let hints = hints(&profile);
        for name in names {
            let number = Arch::X86_64.number(name).unwrap();
            for _ in 0..40 {
                let arguments = random.arguments(&hints);
                let expected = run(&theirs, number, arguments);
                assert_eq!(
                    ours.evaluate(Arch::X86_64, number, arguments),
                    expected,
                    "{name} {arguments:x?}\n{ours}"
                );
            }
        }
    }
}
