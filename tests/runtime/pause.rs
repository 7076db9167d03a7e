//! `pause` and `resume` with the freezer that the container has.

use kit::{Case, Container, Test};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_paused_container_uses_no_processor_time,
        a_created_container_can_be_paused,
        pausing_or_resuming_twice_is_refused,
        stopped_and_unknown_containers_are_refused,
        kill_reaches_a_paused_container,
        a_signal_other_than_kill_does_not_thaw,
        delete_force_removes_a_paused_container,
        exec_in_a_paused_container_is_refused,
        a_container_with_many_processes_can_be_paused,
        kill_during_a_pause_wins,
    ]
}

/// Clock ticks of processor time that a process has used.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// A container whose process never sleeps.
fn busy(t: &Test) -> Container<'_> {
    t.needs_freezer();
    t.bundle().probe("burn 600000").start()
}

fn a_paused_container_uses_no_processor_time(t: &Test) {
    let container = busy(t);
    container.command("pause", &[]).output().success();
    assert_eq!(container.status(), "paused");
    let before = ticks(container.pid());
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(ticks(container.pid()), before, "it still runs");
    container.command("resume", &[]).output().success();
    assert_eq!(container.status(), "running");
    t.wait_for("the process to run again", || ticks(container.pid()) > before);
}

fn a_created_container_can_be_paused(t: &Test) {
    t.needs_freezer();
    let container = t.bundle().create();
    container.command("pause", &[]).output().success();
    assert_eq!(container.status(), "paused");
    container.command("resume", &[]).output().success();
    assert_eq!(container.status(), "created");
    container.start();
    assert_eq!(container.wait(), 0);
}

fn pausing_or_resuming_twice_is_refused(t: &Test) {
    let container = busy(t);
    container.command("resume", &[]).output().refused(&["container not paused"]);
    container.command("pause", &[]).output().success();
    container.command("pause", &[]).output().refused(&["paused"]);
    assert_eq!(container.status(), "paused");
}

fn stopped_and_unknown_containers_are_refused(t: &Test) {
    t.needs_freezer();
    let container = t.bundle().start();
    container.wait();
    container.command("pause", &[]).output().refused(&["container not running"]);
    container.command("resume", &[]).output().refused(&["container not paused"]);
    for command in ["pause", "resume"] {
        t.runtime([command, "no-such-container"]).output().refused(&["container does not exist"]);
        t.runtime([command]).output().refused(&[command, "exactly 1 argument"]);
    }
}

fn kill_reaches_a_paused_container(t: &Test) {
    let container = busy(t);
    container.command("pause", &[]).output().success();
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
}

fn a_signal_other_than_kill_does_not_thaw(t: &Test) {
    t.needs_freezer();
    let container = t.bundle().without_namespace("pid").probe("sleep 600").start();
    container.command("pause", &[]).output().success();
    container.kill("TERM");
    // On cgroup v2 a frozen process dies of a signal that it does not handle.
    if t.has_v1("freezer") {
        assert_eq!(container.status(), "paused", "only KILL thaws");
        container.command("resume", &[]).output().success();
    }
    assert_eq!(container.wait(), 143);
}

fn delete_force_removes_a_paused_container(t: &Test) {
    let container = busy(t);
    container.command("pause", &[]).output().success();
    container.command("delete", &[]).output().refused(&["not stopped", "paused"]);
    container.command("delete", &["--force"]).output().success();
    assert_eq!(t.leaks_of(container.id()), Vec::<String>::new());
}

fn exec_in_a_paused_container_is_refused(t: &Test) {
    let container = busy(t);
    container.command("pause", &[]).output().success();
    container.exec("report").fails_with(255, &["cannot exec in a paused container"]);
}

fn a_container_with_many_processes_can_be_paused(t: &Test) {
    t.needs_freezer();
    let words = ["spawn sleep"; 40].join(" , ");
    let container = t.bundle().probe(&format!("{words} , burn 600000")).start();
    for _ in 0..5 {
        container.command("pause", &[]).output().success();
        container.command("resume", &[]).output().success();
    }
    assert_eq!(container.status(), "running");
}

/// In either order: a killed process does not stay in the freezer.
fn kill_during_a_pause_wins(t: &Test) {
    t.needs_freezer();
    for _ in 0..5 {
        let container = t.bundle().probe("burn 600000").start();
        let pause = container.command("pause", &[]).spawn();
        container.kill("KILL");
        pause.wait();
        assert_eq!(container.wait(), 137);
    }
}
