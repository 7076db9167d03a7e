//! A filter that is loaded before a process is born lets all pass that is still to be done, whatever the lowering makes of it.

use super::super::made_up::bundle;
use super::plans::{host, namespace, one};
use super::*;
use crate::Error;
use crate::bundle::spec::{Rlimit, Scheduler, Seccomp, SeccompArg, Syscall};
use crate::plan::{HostStep, HostTurn};
use std::collections::BTreeSet;

/// What a plan has besides, one bit each: each is there and is not, with and without its neighbour.
const VARIANTS: [usize; 8] =
    [0b00_0000, 0b11_1111, 0b01_0101, 0b00_1010, 0b10_0110, 0b01_1001, 0b10_0001, 0b11_1000];

/// A configuration in a pid namespace that is there already, under a filter with some rules.
fn configuration(variant: usize, rules: &[Syscall]) -> (Spec, Options) {
    let has = |bit: usize| variant & 1 << bit != 0;
    let mut spec = one();
    namespace(&mut spec, "pid", Some("/proc/9/ns/pid"));
    spec.linux.get_or_insert_default().seccomp = Some(Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        listener_path: rules.iter().any(|rule| rule.action == NOTIFY).then(|| "/run/agent".to_owned()),
        syscalls: rules.to_vec(),
        ..Seccomp::default()
    });
    let process = spec.process.get_or_insert_default();
    process.terminal = has(0);
    process.no_new_privileges = has(1);
    if has(2) {
        let flags = vec!["SCHED_FLAG_RESET_ON_FORK".into()];
        process.scheduler = Some(Scheduler { policy: "SCHED_BATCH".into(), flags, ..Scheduler::default() });
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
        init: has(5),
        cgroup_manager: CgroupManager::Cgroupfs,
        ..Options::default()
    };
    (spec, options)
}

/// A plan of a configuration: a run or create, and an exec in what that makes.
type Compiles = fn(&Spec, &Options) -> Result<Plan, Error>;
const BOTH: [Compiles; 2] = [made, executed];

fn made(spec: &Spec, options: &Options) -> Result<Plan, Error> {
    compile(&bundle(spec.clone()), &host(false, true, (6, 18)), options)
}

fn executed(spec: &Spec, _: &Options) -> Result<Plan, Error> {
    let process = spec.process.clone().unwrap();
    let bound = Policy::of(spec, None).bind(&process);
    let namespaces = NamespaceKind::Mount.flag() | NamespaceKind::Pid.flag();
    let options = Options { id: "x".into(), console: process.terminal, ..Options::default() };
    let joined = JoinedContainer { namespaces, ..JoinedContainer::default() };
    compile_exec(&bound, &host(false, true, (6, 18)), &options, &joined)
}

fn compiled(compiles: Compiles, variant: usize, rules: &[Syscall]) -> Result<Plan, Error> {
    let (spec, options) = configuration(variant, rules);
    compiles(&spec, &options)
}

fn position(plan: &Plan, what: fn(&Step) -> bool) -> usize {
    plan.lines().iter().position(|line| what(&line.step)).unwrap()
}

/// Before others can see the process, or be executed beside it.
fn is_early(plan: &Plan) -> bool {
    let seen = |step: &Step| {
        matches!(
            step,
            Step::Control(
                ControlStep::HandOver { .. }
                    | ControlStep::Created
                    | ControlStep::AwaitHost(HostTurn::StartHooks)
                    | ControlStep::Execute { .. }
            )
        )
    };
    let first = position(plan, seen);
    let program = matches!(plan.lines()[first].step, Step::Control(ControlStep::Execute { .. }));
    position(plan, loads) < first && !program
}

/// The names of the system calls that the instructions of some of the plan's steps make.
fn calls_of(plan: &Plan, steps: std::ops::Range<usize>) -> BTreeSet<&'static str> {
    let blob = plan.encode().unwrap();
    let listing = Listing::decode(blob.as_ref()).unwrap();
    let name = |number: i64| super::super::names::call_name(number.try_into().unwrap()).unwrap();
    let mut all = BTreeSet::new();
    for insn in listing.instructions().iter().filter(|insn| steps.contains(&usize::from(insn.step))) {
        match insn.op {
            op::CALL => drop(all.insert(name(number(insn.nr)))),
            op::HAND_OVER => drop(all.insert(name(libc::SYS_clone))),
            // The init's loop is under the filter in any case.
            op::MOVE | op::JUMP | op::LOAD | op::STORE | op::FAIL | op::STATE | op::ADD | op::INIT => {}
            other => panic!("operation {other} behind a filter: {plan}"),
        }
    }
    all
}

/// Those behind the filter.
fn calls_behind(plan: &Plan) -> BTreeSet<&'static str> {
    calls_of(plan, position(plan, loads) + 1..plan.lines().len())
}

fn loads(step: &Step) -> bool {
    matches!(step, Step::Process(ProcessStep::Seccomp { .. }))
}

fn rule(action: &str, name: &str, args: Vec<SeccompArg>) -> Syscall {
    Syscall { names: vec![name.to_owned()], action: action.to_owned(), args, ..Syscall::default() }
}

const ERRNO: &str = "SCMP_ACT_ERRNO";
const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// What is to become of a plan: without no-new-privileges it must not be one that loads its filter in sight.
fn not_early(plan: Result<Plan, Error>, variant: usize, name: &str) {
    match plan {
        Ok(plan) => assert!(variant & 2 != 0 && !is_early(&plan), "{variant}: {name}: {plan}"),
        Err(e) => {
            assert_eq!((e.pointer(), variant & 2), (Some("/linux/seccomp"), 0), "{variant}: {e}");
            let said = e.to_string();
            assert!(said.contains(&format!("to be done then: {name}")), "{variant}: {name}: {said}");
            assert!(e.hint().is_some_and(|hint| hint.contains("/process/noNewPrivileges")), "{said}");
        }
    }
}

#[test]
fn a_filter_that_forbids_what_is_still_to_be_done_is_loaded_late_or_refused() {
    for variant in VARIANTS {
        for compiles in BOTH {
            let plan = compiled(compiles, variant, &[]).unwrap();
            assert!(is_early(&plan), "{variant}: {plan}");
            for name in calls_behind(&plan) {
                let plan = compiled(compiles, variant, &[rule(ERRNO, name, Vec::new())]);
                // The one is the program's own; without the other a process ends by force.
                if matches!(name, "execve" | "exit_group") {
                    assert!(is_early(&plan.unwrap()), "{variant}: {name}");
                } else {
                    not_early(plan, variant, name);
                }
            }
        }
    }
}

/// In a pid namespace of its own, where others are executed while it waits.
#[test]
fn a_process_that_waits_does_so_under_its_filter() {
    for variant in VARIANTS {
        let compiles = |rules: &[Syscall], traces: bool| {
            let (mut spec, options) = configuration(variant, rules);
            namespace(&mut spec, "pid", None);
            if traces {
                let process = spec.process.get_or_insert_default();
                process.capabilities.get_or_insert_default().bounding.push("CAP_SYS_PTRACE".into());
            }
            made(&spec, &options)
        };
        let plan = compiles(&[], false).unwrap();
        // Under no-new-privileges there is nothing to give up.
        let (hooks, waits) = (variant & 0b00_1000 != 0, variant & 0b01_1000 != 0);
        assert_eq!(is_early(&plan), waits && variant & 2 == 0, "{variant}: {plan}");
        if !is_early(&plan) {
            continue;
        }
        for name in calls_behind(&plan) {
            let rules = [rule(ERRNO, name, Vec::new())];
            let own = matches!(name, "execve" | "exit_group");
            assert_eq!(is_early(&compiles(&rules, false).unwrap()), own, "{variant}: {name}");
            // Hooks are programs of the image.
            assert_eq!(compiles(&rules, true).is_err(), hooks && !own, "{variant}: {name}");
        }
        let asked = [rule(NOTIFY, "mkdirat", Vec::new())];
        assert!(is_early(&compiles(&asked, false).unwrap()), "{variant}");
    }
}

/// The final process sends the listener, from the place and in the order in which it does so otherwise.
#[test]
fn a_filter_that_notifies_is_loaded_early_if_nobody_has_to_answer_before_the_agent_can() {
    let asked = rule(NOTIFY, "mkdirat", Vec::new());
    for variant in VARIANTS {
        for compiles in BOTH {
            let plan = compiled(compiles, variant, std::slice::from_ref(&asked)).unwrap();
            assert!(is_early(&plan), "{variant}: {plan}");
            let turns: Vec<HostTurn> = plan.lines().iter().filter_map(Line::turn).collect();
            assert_eq!(turns.iter().filter(|turn| **turn == HostTurn::Listener).count(), 1, "{plan}");
            assert!(turns.ends_with(&[HostTurn::Listener]), "{plan}");
            let before = calls_between(&plan);
            for name in calls_behind(&plan) {
                let rules = [asked.clone(), rule(NOTIFY, name, Vec::new())];
                let plan = compiled(compiles, variant, &rules);
                if before.contains(name) {
                    not_early(plan, variant, name);
                } else {
                    assert!(is_early(&plan.unwrap()), "{variant}: {name}");
                }
            }
        }
    }
}

/// The system calls from the filter to the listener's way, and of the process that ends when it has made the final one.
fn calls_between(plan: &Plan) -> BTreeSet<&'static str> {
    let last = position(plan, |step| matches!(step, Step::Process(ProcessStep::SendListener)));
    calls_of(plan, position(plan, loads) + 1..last + 1).into_iter().chain(["exit_group"]).collect()
}

#[test]
fn a_filter_that_asks_for_an_argument_which_is_not_known_is_loaded_late_or_refused() {
    let condition =
        |index, value, op: &str| vec![SeccompArg { index, value, value_two: None, op: op.into() }];
    // With a terminal.
    let plan = |name, args| compiled(executed, 0b1, &[rule(ERRNO, name, args)]);
    let early = |name, args| plan(name, args).is_ok_and(|plan| is_early(&plan));
    assert!(!early("rt_sigaction", condition(0, 1000, "SCMP_CMP_EQ")));
    assert!(!early("capset", condition(0, 0, "SCMP_CMP_NE")));
    // Of these it is known.
    assert!(early("ioctl", condition(1, 1000, "SCMP_CMP_EQ")));
    assert!(early("clone", condition(0, 0, "SCMP_CMP_EQ")));
    assert!(!early("ioctl", condition(1, libc::TIOCSCTTY, "SCMP_CMP_EQ")));
}

/// A process that has to be seen with CAP_SYS_ADMIN is refused only if others would gain by it.
#[test]
fn what_nobody_could_gain_by_is_not_refused() {
    type Change = fn(&mut Spec);
    let own: Change = |spec| namespace(spec, "pid", None);
    let trace: Change = |spec| {
        let process = spec.process.get_or_insert_default();
        process.capabilities.get_or_insert_default().bounding.push("CAP_SYS_PTRACE".into());
    };
    let owner: Change = |spec| namespace(spec, "user", Some("/proc/9/ns/user"));
    let admin: Change = |spec| {
        let process = spec.process.get_or_insert_default();
        let capabilities = process.capabilities.get_or_insert_default();
        for set in [&mut capabilities.bounding, &mut capabilities.permitted, &mut capabilities.effective] {
            set.push("CAP_SYS_ADMIN".into());
        }
    };
    let hosts: Change = |spec| {
        spec.linux.get_or_insert_default().namespaces.retain(|namespace| namespace.kind != "pid");
    };
    let cases: [(&str, Compiles, &[Change], bool); 10] = [
        ("create", made, &[], true),
        ("create, may trace", made, &[trace], true),
        ("create with a user namespace", made, &[owner], false),
        ("create with CAP_SYS_ADMIN", made, &[admin], false),
        ("exec in a joined pid namespace", executed, &[], true),
        ("exec in one of its own", executed, &[own], false),
        ("exec in one of its own, may trace", executed, &[own, trace], true),
        ("exec in the host's, may trace", executed, &[hosts, trace], false),
        ("exec with a user namespace", executed, &[own, trace, owner], false),
        ("exec with CAP_SYS_ADMIN", executed, &[own, trace, admin], false),
    ];
    for (name, compiles, changes, refused) in cases {
        let (mut spec, options) = configuration(0, &[rule(ERRNO, "setsid", Vec::new())]);
        for change in changes {
            change(&mut spec);
        }
        let plan = compiles(&spec, &options);
        assert_eq!(plan.is_err(), refused, "{name}: {plan:?}");
        assert!(plan.is_err_and(|e| e.pointer() == Some("/linux/seccomp")) || !refused, "{name}");
    }
}

/// The capabilities that an exec is given are not those of the container.
#[test]
fn who_may_trace_is_the_containers_to_say() {
    let (mut spec, _) = configuration(0, &[rule(ERRNO, "setsid", Vec::new())]);
    namespace(&mut spec, "pid", None);
    let capabilities = crate::bundle::spec::Capabilities {
        bounding: vec!["CAP_SYS_PTRACE".into()],
        ..crate::bundle::spec::Capabilities::default()
    };
    let given = crate::bundle::spec::Process {
        capabilities: Some(capabilities),
        ..spec.process.clone().unwrap_or_default()
    };
    let exec = |bound: &super::super::Bound| {
        compile_exec(bound, &host(false, true, (6, 18)), &Options::default(), &JoinedContainer::default())
    };
    exec(&Policy::of(&spec, None).bind(&given)).unwrap();
    let own = spec.process.clone().unwrap_or_default();
    spec.process = Some(given);
    exec(&Policy::of(&spec, None).bind(&own)).unwrap_err();
}

/// The default profiles of Docker and containerd, and Docker's with calls that are notified.
#[test]
fn the_profiles_of_engines_are_loaded_early() {
    for name in ["docker28-run", "ctr24-seccomp", "cri21w-start", "podman58-run"] {
        let path = format!("{}/tests/fixtures/managers/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let mut spec = Spec::from_json(&std::fs::read(path).unwrap()).unwrap();
        for notifies in [false, true] {
            let profile = spec.linux.get_or_insert_default().seccomp.as_mut().unwrap();
            if notifies {
                profile.listener_path = Some("/run/agent".into());
                profile.syscalls.push(rule(NOTIFY, "mount", Vec::new()));
            }
            let seccomp = Some(profile.clone());
            for variant in [0b00_1000, 0b01_1101, 0b10_1101] {
                let (mut changed, options) = configuration(variant, &[]);
                changed.linux.get_or_insert_default().seccomp = seccomp.clone();
                for compiles in BOTH {
                    let plan =
                        compiles(&changed, &options).unwrap_or_else(|e| panic!("{name}, {variant}: {e}"));
                    assert!(is_early(&plan), "{name}, {variant}: {plan}");
                }
            }
        }
    }
}

/// What a process does not get from the one that makes it, it sets without a capability, or the host side does.
#[test]
fn no_process_is_born_with_a_capability_for_its_scheduler() {
    let deadline = Scheduler {
        policy: "SCHED_DEADLINE".into(),
        runtime: Some(10_000_000),
        deadline: Some(20_000_000),
        period: Some(20_000_000),
        ..Scheduler::default()
    };
    let fifo = Scheduler { policy: "SCHED_FIFO".into(), priority: Some(5), ..Scheduler::default() };
    let reset = Scheduler { flags: vec!["SCHED_FLAG_RESET_ON_FORK".into()], ..fifo.clone() };
    let attr = |step: &Step| match step {
        Step::Process(ProcessStep::Scheduler { attr, .. }) => Some((attr[4], attr[8])),
        Step::Host(HostStep::SetScheduler { attr, .. }) => Some((attr[4] + 100, attr[8])),
        _ => None,
    };
    for (scheduler, before, behind) in [
        (fifo, &[(1, 0)][..], &[][..]),
        (reset, &[(1, 0)][..], &[(1, 1)][..]),
        (deadline, &[][..], &[(106, 0)][..]),
    ] {
        for init in [false, true] {
            for compiles in BOTH {
                let (mut spec, options) = configuration(if init { 0b10_0000 } else { 0 }, &[]);
                spec.linux.get_or_insert_default().seccomp = None;
                spec.process.get_or_insert_default().scheduler = Some(scheduler.clone());
                let plan = compiles(&spec, &options);
                // An exec has no init.
                let plan = match plan {
                    Err(e) if init && before.is_empty() => {
                        assert_eq!(e.pointer(), Some("/process/scheduler"));
                        continue;
                    }
                    plan => plan.unwrap(),
                };
                let birth =
                    position(&plan, |step| matches!(step, Step::Control(ControlStep::HandOver { .. })));
                let (first, second) = plan.lines().split_at(birth);
                let all =
                    |lines: &[Line]| lines.iter().filter_map(|line| attr(&line.step)).collect::<Vec<_>>();
                assert_eq!((&all(first)[..], &all(second)[..]), (before, behind), "{plan}");
                let kept = first.iter().find_map(|line| match line.step {
                    Step::Process(ProcessStep::Capabilities { extra, .. }) => Some(extra),
                    _ => None,
                });
                assert_eq!(kept, Some(0), "{plan}");
            }
        }
    }
}
