//! The runtime is killed at many moments of each command; `delete --force` cleans up after it. (The sweep kills it
//! at every system call: `tests/sweep`.)

use kit::{Bundle, Case, Running, Test};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_killed_create_is_cleaned_up,
        a_killed_run_is_cleaned_up,
        a_killed_start_is_cleaned_up,
        a_killed_delete_is_cleaned_up,
        a_killed_exec_is_cleaned_up,
        a_created_container_outlives_its_manager,
    ]
}

/// The number of moments that are tried for a command.
const POINTS: u32 = 24;

/// Starts the command below a guard process that kills it, and waits for that; the guard lives until the last
/// process of the command has exited.
fn killed(call: kit::Runtime<'_>, after: Duration) -> Running<'_> {
    let guard = call.wrap(&format!("guard={}", after.as_micros().max(1))).spawn();
    guard.wait_for("guard:");
    guard
}

/// The duration of the command, and its guard.
fn measured(call: kit::Runtime<'_>) -> (Duration, Running<'_>) {
    let guard = call.wrap("guard=0").spawn();
    guard.wait_for("guard:");
    let words = guard.stdout();
    let time = words.split("guard: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    (Duration::from_micros(time), guard)
}

/// After `delete --force` nothing is left, and every process that the runtime created has exited.
fn clean(t: &Test, bundle: &Bundle<'_>, guards: Vec<Running<'_>>, after: Duration) {
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    let left = t.leaks_of(bundle.id());
    assert!(left.is_empty(), "killed after {after:?}: {left:#?}");
    for guard in guards {
        guard.wait().success();
    }
    t.runtime(["state", bundle.id()]).output().refused(&["does not exist"]);
}

fn points(measured: Duration) -> impl Iterator<Item = Duration> {
    (0..POINTS).map(move |n| measured * n / (POINTS - 2))
}

fn a_killed_create_is_cleaned_up(t: &Test) {
    t.only_orlop("it does not clean up its first steps");
    let bundle = t.bundle().probe("sleep");
    let (time, guard) = measured(bundle.command("create", &[]));
    clean(t, &bundle, vec![guard], time);
    for after in points(time) {
        let bundle = t.bundle().probe("sleep");
        let guard = killed(bundle.command("create", &[]), after);
        clean(t, &bundle, vec![guard], after);
    }
}

fn a_killed_run_is_cleaned_up(t: &Test) {
    t.only_orlop("it does not clean up its first steps");
    let bundle = t.bundle().probe("exit 0");
    let (time, guard) = measured(bundle.command("run", &[]));
    guard.wait().success();
    for after in points(time) {
        let bundle = t.bundle().probe("sleep");
        let guard = killed(bundle.command("run", &[]), after);
        clean(t, &bundle, vec![guard], after);
    }
}

fn a_killed_start_is_cleaned_up(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let created = bundle.create();
    let (time, guard) = measured(created.command("start", &[]));
    guard.wait().success();
    for after in points(time) {
        let bundle = t.bundle().probe("sleep");
        let created = bundle.create();
        let guard = killed(created.command("start", &[]), after);
        let status = created.status();
        assert!(["created", "running", "stopped"].contains(&status.as_str()), "{status}");
        // The init process is a child of the test, which reaps it.
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        created.wait();
        clean(t, &bundle, vec![guard], after);
    }
}

fn a_killed_delete_is_cleaned_up(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let created = bundle.start();
    let (time, guard) = measured(created.command("delete", &["--force"]));
    guard.wait().success();
    created.wait();
    for after in points(time) {
        let bundle = t.bundle().probe("sleep");
        let created = bundle.start();
        let guard = killed(created.command("delete", &["--force"]), after);
        clean(t, &bundle, vec![guard], after);
        created.wait();
    }
}

fn a_killed_exec_is_cleaned_up(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    let (time, guard) = measured(container.command("exec", &["/probe", "exit", "0"]));
    let mut guards = vec![guard];
    for after in points(time) {
        guards.push(killed(container.command("exec", &["/probe", "sleep"]), after));
        // The container is unharmed.
        assert_eq!(container.status(), "running", "{after:?}");
    }
    container.exec("exit 0").success();
    clean(t, &bundle, guards, time);
    assert_eq!(container.wait(), 137);
}

/// The container waits on after its creator has exited; another caller starts or deletes it.
fn a_created_container_outlives_its_manager(t: &Test) {
    for start in [true, false] {
        let bundle = t.bundle().probe("sleep");
        let pid_file = t.dir().join("pid");
        let call = bundle.command("create", &["--pid-file", pid_file.to_str().unwrap()]);
        let manager = call.wrap("guard=0").spawn();
        manager.wait_for("guard:");
        manager.signal(libc::SIGKILL);
        manager.wait().exits(137);
        let state = || t.runtime(["state", bundle.id()]).output().success().document()["status"].clone();
        assert_eq!(state(), "created");
        if start {
            t.runtime(["start", bundle.id()]).output().success();
            assert_eq!(state(), "running");
        }
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
        let pid = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
        assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(137));
    }
}
