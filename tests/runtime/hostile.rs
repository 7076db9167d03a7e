//! `delete --force` and `kill` win within a second, no matter what the container does.

use crate::force::{LIMIT, deleted, exits_soon, promptly, stop};
use kit::{Bundle, Case, Output, Test};
use std::fs;
use std::time::Instant;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_fork_bomb_without_a_pid_namespace_is_killed,
        more_processes_than_descriptors_are_killed,
        frozen_and_stopped_processes_are_killed,
        frozen_and_stopped_processes_are_killed_on_cgroup2,
        a_container_that_freezes_itself_is_killed,
        a_process_created_in_a_frozen_cgroup_is_killed,
        a_container_below_a_frozen_cgroup_is_killed,
        an_init_that_waits_for_a_process_of_exec_is_deleted,
    ]
}

/// It forks as fast as it is killed, and no namespace kills all processes together.
fn a_fork_bomb_without_a_pid_namespace_is_killed(t: &Test) {
    t.needs_limits("pids");
    for by in ["delete", "kill"] {
        let bundle = t.bundle().without_namespace("pid").probe("bomb").set("/linux/resources/pids/limit", 60);
        let container = bundle.start();
        let directory = t.v1_or_v2("pids", container.id());
        let count =
            || fs::read_to_string(directory.join("pids.current")).map_or(0, |n| n.trim().parse().unwrap());
        t.wait_for("the limit", || count() >= 50);
        if by == "kill" {
            promptly("kill", || container.command("kill", &["KILL"]).output());
            t.wait_for("every process to exit", || t.processes(container.id()).is_empty());
        }
        deleted(t, container.id());
        assert_eq!(container.wait(), 137);
    }
}

/// A pidfd for each process would be too many.
fn more_processes_than_descriptors_are_killed(t: &Test) {
    t.needs_limits("pids");
    let words = ["spawn sleep"; 60].join(" , ");
    for all in [true, false] {
        let bundle = t.bundle().without_namespace("pid").probe(&format!("{words} , say done , sleep"));
        let container = bundle.start();
        t.wait_for("all of them", || container.stdout().contains("done"));
        if all {
            let kill = container.command("kill", &["--all", "KILL"]).wrap("nofile=40");
            promptly("kill --all", || kill.output());
        }
        let delete = container.command("delete", &["--force"]).wrap("nofile=40");
        promptly("delete --force", || delete.output());
        assert_eq!(t.leaks_of(container.id()), Vec::<String>::new());
        assert_eq!(container.wait(), 137);
    }
}

fn frozen_and_stopped_processes_are_killed(t: &Test) {
    t.needs_freezer();
    for own in [true, false] {
        for by in ["delete", "kill"] {
            let bundle = t.bundle().probe("spawn sleep , say done , sleep");
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let container = bundle.start();
            t.wait_for("both", || container.stdout().contains("done"));
            for pid in t.processes(container.id()) {
                stop(pid);
            }
            container.command("pause", &[]).output().success();
            if by == "kill" {
                promptly("kill", || container.command("kill", &["KILL"]).output());
                assert_eq!(container.wait(), 137);
                deleted(t, container.id());
            } else {
                deleted(t, container.id());
                assert_eq!(container.wait(), 137);
            }
        }
    }
}

/// A container that may write to its cgroup moves its processes into a child cgroup and freezes that.
fn a_container_that_freezes_itself_is_killed(t: &Test) {
    for own in [true, false] {
        for init in [true, false] {
            let bundle = t.bundle().probe("spawn sleep , say done , sleep");
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let container = bundle.start();
            let below = t.v1_or_v2("freezer", container.id()).join("deep").join("deeper");
            t.wait_for("both", || container.stdout().contains("done"));
            fs::create_dir_all(&below).unwrap();
            for pid in t.processes(container.id()).into_iter().filter(|pid| init || *pid != container.pid()) {
                fs::write(below.join("cgroup.procs"), pid.to_string()).unwrap();
            }
            let (file, frozen) =
                if t.has_v1("freezer") { ("freezer.state", "FROZEN") } else { ("cgroup.freeze", "1") };
            fs::write(below.join(file), frozen).unwrap();
            if init {
                promptly("kill", || container.command("kill", &["KILL"]).output());
                assert_eq!(container.wait(), 137);
                deleted(t, container.id());
            } else {
                deleted(t, container.id());
                assert_eq!(container.wait(), 137);
            }
        }
    }
}

/// A container whose caller sees cgroup2 alone; returns the pid of its first process.
fn on_cgroup2(t: &Test, bundle: &Bundle<'_>, verb: &str, flags: &[&str]) -> i32 {
    let file = t.dir().join(format!("{}.pid", bundle.id()));
    let flags = [flags, &["--pid-file", file.to_str().unwrap()]].concat();
    bundle.command(verb, &flags).wrap("cgroup2").output().success();
    fs::read_to_string(file).unwrap().parse().unwrap()
}

fn command(t: &Test, words: &[&str]) -> Output {
    t.runtime(words.iter().copied()).wrap("cgroup2").output()
}

fn frozen_and_stopped_processes_are_killed_on_cgroup2(t: &Test) {
    t.v2("");
    for own in [true, false] {
        for by in ["delete", "kill"] {
            let bundle = t.bundle().namespace("cgroup").probe("spawn sleep , sleep");
            let bundle = if own { bundle } else { bundle.without_namespace("pid") };
            let pid = on_cgroup2(t, &bundle, "run", &["--detach"]);
            t.wait_for("both", || t.processes(bundle.id()).len() == 2);
            for pid in t.processes(bundle.id()) {
                stop(pid);
            }
            command(t, &["pause", bundle.id()]).success();
            if by == "kill" {
                promptly("kill", || command(t, &["kill", bundle.id(), "KILL"]));
                assert!(exits_soon(pid));
            }
            promptly("delete --force", || command(t, &["delete", "--force", bundle.id()]));
            assert!(by == "kill" || exits_soon(pid));
            assert_eq!(t.leaks_of(bundle.id()), Vec::<String>::new());
        }
    }
}

/// A cgroup2 directory in which the container's cgroup is created, and a bundle for that.
fn below(t: &Test) -> (std::path::PathBuf, Bundle<'_>) {
    let bundle = t.bundle().namespace("cgroup").probe("sleep");
    let parent = t.v2(bundle.id());
    fs::create_dir(&parent).unwrap();
    let path = format!("/{}/inner", bundle.id());
    (parent, bundle.set("/linux/cgroupsPath", path))
}

/// The first process never runs, and `create` waits for it in the kernel.
fn a_process_created_in_a_frozen_cgroup_is_killed(t: &Test) {
    t.only_orlop("it does not record which process holds its lock");
    let (parent, bundle) = below(t);
    fs::write(parent.join("cgroup.freeze"), "1").unwrap();
    let mut create = bundle.command("create", &[]).wrap("cgroup2").spawn();
    let procs = parent.join("inner/cgroup.procs");
    t.wait_for("the process", || fs::read_to_string(&procs).is_ok_and(|text| !text.is_empty()));
    assert!(!create.has_ended());
    promptly("delete --force", || command(t, &["delete", "--force", bundle.id()]));
    create.wait();
    assert!(!parent.join("inner").exists());
    fs::remove_dir(parent).unwrap();
    assert_eq!(t.leaks_of(bundle.id()), Vec::<String>::new());
}

/// The container stays frozen, no matter what is written to its own cgroup.
fn a_container_below_a_frozen_cgroup_is_killed(t: &Test) {
    for by in ["delete", "kill"] {
        let (parent, bundle) = below(t);
        let pid = on_cgroup2(t, &bundle, "run", &["--detach"]);
        fs::write(parent.join("cgroup.freeze"), "1").unwrap();
        if by == "kill" {
            let begun = Instant::now();
            command(t, &["kill", bundle.id(), "KILL"]).success();
            assert!(begun.elapsed() < kit::within(LIMIT), "{:?}", begun.elapsed());
            assert!(exits_soon(pid));
        }
        promptly("delete --force", || command(t, &["delete", "--force", bundle.id()]));
        assert!(by == "kill" || exits_soon(pid));
        fs::remove_dir(parent).unwrap();
        assert_eq!(t.leaks_of(bundle.id()), Vec::<String>::new());
    }
}

/// The first process of a pid namespace stays until all in it are reaped, and one of them has a parent outside.
fn an_init_that_waits_for_a_process_of_exec_is_deleted(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let exec = container.command("exec", &["/probe", "sleep"]).spawn();
    t.wait_for("the second process", || t.processes(container.id()).len() == 2);
    stop(exec.pid());
    deleted(t, container.id());
    exec.signal(libc::SIGCONT);
    exec.wait().exits(137);
    assert_eq!(container.wait(), 137);
}
