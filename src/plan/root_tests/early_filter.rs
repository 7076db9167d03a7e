//! A filter that is loaded before a process is born lets all pass that is still to be done, whatever the lowering makes of it.

use super::plans::{bundle, host, namespace, one};
use super::*;
use crate::bundle::spec::{Rlimit, Scheduler, Seccomp, SeccompArg, Syscall};
use std::collections::BTreeSet;

/// What a plan has besides, one bit each: each is there and is not, with and without its neighbour.
const VARIANTS: [usize; 6] = [0b00000, 0b11111, 0b10101, 0b01010, 0b00110, 0b11001];

/// A configuration in a pid namespace that is there already, under a filter with one rule.
fn configuration(variant: usize, rule: Option<Syscall>) -> (Spec, Options) {
    let has = |bit: usize| variant & 1 << bit != 0;
    let mut spec = one();
    namespace(&mut spec, "pid", Some("/proc/9/ns/pid"));
    spec.linux.get_or_insert_default().seccomp = Some(Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        syscalls: rule.into_iter().collect(),
        ..Seccomp::default()
    });
    let process = spec.process.get_or_insert_default();
    process.terminal = has(0);
    process.no_new_privileges = has(1);
    if has(2) {
        process.scheduler = Some(Scheduler { policy: "SCHED_BATCH".into(), ..Scheduler::default() });
        process.rlimits = vec![Rlimit { kind: "RLIMIT_NPROC".into(), hard: 100, soft: 50 }];
    }
    if has(3) {
        let hook = Hook { path: "/bin/hook".into(), ..Hook::default() };
        spec.hooks.get_or_insert_default().start_container.push(hook);
    }
    let options = Options {
        id: "x".into(),
        console: has(0),
        wait_for_start: has(4),
        cgroup_manager: CgroupManager::Cgroupfs,
        ..Options::default()
    };
    (spec, options)
}

/// A run or create, and an exec in what it makes.
fn plans(variant: usize, rule: Option<Syscall>) -> [Plan; 2] {
    let (spec, options) = configuration(variant, rule);
    let host = host(false, true, (6, 18));
    let process = spec.process.clone().unwrap();
    let plan = compile(&bundle(spec.clone()), &host, &options).unwrap();
    let filter = super::super::Filter::of_lines(plan.lines());
    let bound = Policy::of(&spec, filter).bind(&process);
    let namespaces = Kind::Mount.flag() | Kind::Pid.flag();
    let options =
        ExecOptions { id: "x".into(), console: process.terminal, namespaces, ..ExecOptions::default() };
    [plan, compile_exec(&bound, &host, &options).unwrap()]
}

fn position(plan: &Plan, what: fn(&Step) -> bool) -> usize {
    plan.lines().iter().position(|line| what(&line.step)).unwrap()
}

fn is_early(plan: &Plan) -> bool {
    let filter = position(plan, |step| matches!(step, Step::Process(ProcessStep::Seccomp { .. })));
    let birth = position(plan, |step| matches!(step, Step::Control(ControlStep::HandOver { .. })));
    filter < birth
}

/// The system calls that the plan's instructions make behind the filter.
fn calls_behind_the_filter(plan: &Plan) -> BTreeSet<&'static str> {
    let blob = plan.encode().unwrap();
    let listing = Listing::decode(blob.as_ref()).unwrap();
    let filter = position(plan, |step| matches!(step, Step::Process(ProcessStep::Seccomp { .. })));
    let rest = listing.instructions().iter().filter(|insn| usize::from(insn.step) > filter);
    let name = |number: i64| super::super::names::call_name(number.try_into().unwrap()).unwrap();
    // Where it fails it ends.
    let mut all = BTreeSet::from([name(libc::SYS_exit_group)]);
    for insn in rest {
        match insn.op {
            op::CALL => drop(all.insert(name(number(insn.nr)))),
            op::HAND_OVER => drop(all.insert(name(libc::SYS_clone))),
            op::MOVE | op::JUMP | op::LOAD | op::STORE | op::FAIL | op::STATE | op::ADD => {}
            other => panic!("operation {other} behind a filter: {plan}"),
        }
    }
    all
}

fn forbidden(name: &str, args: Vec<SeccompArg>) -> Syscall {
    let (names, action) = (vec![name.to_owned()], "SCMP_ACT_ERRNO".to_owned());
    Syscall { names, action, args, ..Syscall::default() }
}

#[test]
fn a_filter_that_forbids_what_is_still_to_be_done_is_loaded_last() {
    for variant in VARIANTS {
        let allowing = plans(variant, None);
        for (which, plan) in allowing.iter().enumerate() {
            assert!(is_early(plan), "{variant}: {plan}");
            for name in calls_behind_the_filter(plan) {
                let plan = &plans(variant, Some(forbidden(name, Vec::new())))[which];
                assert!(!is_early(plan), "{variant}: {name} is forbidden, and called: {plan}");
            }
        }
    }
}

#[test]
fn a_filter_that_asks_for_an_argument_which_is_not_known_is_loaded_last() {
    let condition =
        |index, value, op: &str| vec![SeccompArg { index, value, value_two: None, op: op.into() }];
    let early = |name, args| is_early(&plans(0, Some(forbidden(name, args)))[1]);
    assert!(!early("close_range", condition(0, 1000, "SCMP_CMP_EQ")));
    assert!(!early("capset", condition(0, 0, "SCMP_CMP_NE")));
    // Of these it is known.
    assert!(early("prctl", condition(0, 1000, "SCMP_CMP_EQ")));
    assert!(early("clone", condition(0, 0, "SCMP_CMP_EQ")));
    assert!(!early("prctl", condition(0, libc::PR_SET_DUMPABLE as u64, "SCMP_CMP_EQ")));
}
