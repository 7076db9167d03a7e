//! How long it takes to compile a profile, and the length of its program: this crate, and `seccompiler` for the
//! part of the profile that it can express (one architecture, one action).
//!
//! `cargo bench --bench seccomp`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use orlop::bundle::spec::Seccomp;
use orlop::seccomp::{Action, Arch, LoadOptions, Operator, Profile};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2000;

fn main() {
    for (name, json) in [
        ("Docker 28", include_str!("../src/seccomp/tests/profiles/docker28.json")),
        ("containerd 2.4", include_str!("../src/seccomp/tests/profiles/containerd24.json")),
        ("podman 5.8", include_str!("../src/seccomp/tests/profiles/podman58.json")),
    ] {
        let spec = Seccomp::from_json(json.as_bytes()).unwrap();
        let mut one = spec.clone();
        one.architectures.clear();
        for (what, spec) in [("all architectures", &spec), ("x86_64 only", &one)] {
            let program = Profile::try_from(spec).unwrap().compile_for(Arch::X86_64).unwrap();
            let took = median(ROUNDS, || {
                black_box(Profile::try_from(spec).unwrap().compile_for(Arch::X86_64).unwrap());
            });
            let load = median(100, || program.load(LoadOptions { no_new_privs: true }).expect("load"));
            line(name, what, program.instructions().len(), took, load);
        }
        let theirs = seccompiler_program(&one);
        let took = median(ROUNDS, || {
            black_box(seccompiler_program(&one));
        });
        let load = median(100, || seccompiler::apply_filter(&theirs).expect("load"));
        line(name, "x86_64, seccompiler", theirs.len(), took, load);
    }
}

fn line(profile: &str, what: &str, length: usize, compile: Duration, load: Duration) {
    let us = |d: Duration| d.as_secs_f64() * 1e6;
    println!(
        "{profile:15} {what:20} {length:5} instructions  compile {:7.1} µs  load {:7.1} µs",
        us(compile),
        us(load)
    );
}

/// The median of `rounds` runs, each in a thread of its own if it leaves a filter.
fn median(rounds: usize, f: impl Fn() + Sync) -> Duration {
    let mut times: Vec<Duration> = if rounds > 100 {
        (0..rounds).map(|_| time(&f)).collect()
    } else {
        (0..rounds).map(|_| std::thread::scope(|s| s.spawn(|| time(&f)).join().unwrap())).collect()
    };
    times.sort();
    times[times.len() / 2]
}

fn time(f: &impl Fn()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// What `seccompiler` can express of a profile: the rules that allow.
fn seccompiler_program(spec: &Seccomp) -> BpfProgram {
    let profile = Profile::try_from(spec).unwrap();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in profile.rules.iter().filter(|r| r.action == Action::Allow) {
        for number in rule.names.iter().filter_map(|n| Arch::X86_64.number(n)) {
            let list = rules.entry(number.into()).or_default();
            if rule.conditions.is_empty() {
                continue;
            }
            let conditions = rule.conditions.iter().map(|c| {
                let (operator, value) = match c.operator {
                    Operator::Equal => (SeccompCmpOp::Eq, c.value),
                    Operator::NotEqual => (SeccompCmpOp::Ne, c.value),
                    Operator::Less => (SeccompCmpOp::Lt, c.value),
                    Operator::LessOrEqual => (SeccompCmpOp::Le, c.value),
                    Operator::Greater => (SeccompCmpOp::Gt, c.value),
                    Operator::GreaterOrEqual => (SeccompCmpOp::Ge, c.value),
                    Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(c.value), c.value_two),
                };
                SeccompCondition::new(c.argument, SeccompCmpArgLen::Qword, operator, value).unwrap()
            });
            list.push(SeccompRule::new(conditions.collect()).unwrap());
        }
    }
    let filter =
        SeccompFilter::new(rules, SeccompAction::Errno(1), SeccompAction::Allow, TargetArch::x86_64).unwrap();
    filter.try_into().unwrap()
}
