//! Child cgroups with names that are not UTF-8, as a container can create them: every command reaches the processes
//! in them.

use kit::{Case, Container, Test, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_stopped_container_is_deleted,
        a_stopped_container_is_deleted_on_cgroup2,
        kill_all_reaches_every_process,
        kill_all_reaches_every_process_on_cgroup2,
        delete_by_force_reaches_every_process,
        delete_by_force_reaches_every_process_on_cgroup2,
        exec_joins_the_cgroup_of_init,
        ps_lists_every_process,
        pause_freezes_every_process,
        limits_and_statistics_cover_every_process,
        oom_events_are_reported,
        a_frozen_child_cgroup_is_killed,
        a_child_cgroup_that_is_frozen_repeatedly_is_killed,
        thousands_of_levels_are_deleted,
        an_existing_cgroup_with_processes_is_refused,
        more_processes_than_descriptors,
        more_processes_than_descriptors_without_a_cgroup,
    ]
}

fn below(directory: &Path) -> PathBuf {
    directory.join(OsStr::from_bytes(b"\xff\xfe"))
}

/// The container's directory in each v1 hierarchy, or its cgroup2 directory if that is requested or the only one.
fn directories(t: &Test, id: &str, unified: bool) -> Vec<PathBuf> {
    if unified || !t.has_v1("pids") {
        return vec![t.v2(id)];
    }
    let file = fs::read_to_string("/proc/self/cgroup").unwrap();
    let names = file.lines().filter_map(|line| line.split(':').nth(1).filter(|name| !name.is_empty()));
    let first = |names: &str| names.split(',').next().unwrap().to_owned();
    let found = names.map(|name| t.v1(&first(name), id));
    found.filter(|directory| directory.is_dir()).collect()
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Creates a child in each directory and moves the process there.
fn hide(directories: &[PathBuf], pid: i32) {
    for directory in directories {
        let below = below(directory);
        fs::create_dir(&below).unwrap();
        Test::inherit_cpuset(&below);
        write(&below, "cgroup.procs", &pid.to_string());
    }
}

/// A container with an init process and a child process, which is moved to child cgroups; and the child's pid.
fn with_a_hidden_child<'t>(
    t: &Test,
    bundle: kit::Bundle<'t>,
    words: &str,
    unified: bool,
) -> (Container<'t>, i32) {
    let container = bundle.without_namespace("pid").probe(&format!("spawn {words} , hold")).start();
    let child = i32::try_from(container.first_line()["spawned"].as_i64().unwrap()).unwrap();
    hide(&directories(t, container.id(), unified), child);
    (container, child)
}

fn assert_killed(t: &Test, pid: i32) {
    // Orphans become children of this process.
    assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(137), "{}: {pid} lives", t.name());
}

fn cgroup2(t: &Test) -> kit::Bundle<'_> {
    t.v2("");
    t.bundle().called_by("cgroup2")
}

fn delete_stopped(t: &Test, bundle: &kit::Bundle<'_>, unified: bool) {
    let container = bundle.create();
    let all = directories(t, container.id(), unified);
    assert!(!all.is_empty());
    for directory in &all {
        fs::create_dir_all(below(&below(directory))).unwrap();
        fs::create_dir(directory.join("plain")).unwrap();
    }
    container.start();
    container.wait();
    container.delete();
    assert_eq!(t.leaks_of(container.id()), Vec::<String>::new());
}

fn a_stopped_container_is_deleted(t: &Test) {
    delete_stopped(t, &t.bundle(), false);
}

fn a_stopped_container_is_deleted_on_cgroup2(t: &Test) {
    delete_stopped(t, &cgroup2(t), true);
}

fn kill_all(t: &Test, bundle: kit::Bundle<'_>, unified: bool) {
    let (container, child) = with_a_hidden_child(t, bundle, "hold", unified);
    container.command("kill", &["--all", "KILL"]).output().success();
    assert_eq!(container.wait(), 137);
    assert_killed(t, child);
    container.delete();
}

fn kill_all_reaches_every_process(t: &Test) {
    kill_all(t, t.bundle(), false);
}

fn kill_all_reaches_every_process_on_cgroup2(t: &Test) {
    kill_all(t, cgroup2(t), true);
}

fn delete_by_force(t: &Test, bundle: kit::Bundle<'_>, unified: bool) {
    let (container, child) = with_a_hidden_child(t, bundle, "hold", unified);
    container.command("delete", &["--force"]).output().success();
    assert_killed(t, child);
    assert_eq!(t.leaks_of(container.id()), Vec::<String>::new());
}

fn delete_by_force_reaches_every_process(t: &Test) {
    delete_by_force(t, t.bundle(), false);
}

fn delete_by_force_reaches_every_process_on_cgroup2(t: &Test) {
    delete_by_force(t, cgroup2(t), true);
}

/// An init system moves to a child cgroup of any name; its parent then cannot have processes.
fn exec_joins_the_cgroup_of_init(t: &Test) {
    let top = t.v2("");
    if !fs::read_to_string(top.join("cgroup.controllers")).unwrap().contains("hugetlb") {
        kit::skip("the hugetlb controller is not on cgroup2");
    }
    let container = cgroup2(t).probe("sleep").start();
    let directory = t.v2(container.id());
    hide(std::slice::from_ref(&directory), container.pid());
    write(&directory, "cgroup.subtree_control", "+hugetlb");
    container.exec("exit 7").exits(7);
    container.command("delete", &["--force"]).output().success();
}

fn ps_lists_every_process(t: &Test) {
    let (container, child) = with_a_hidden_child(t, t.bundle(), "sleep", false);
    let listed = t.runtime(["ps", "--format", "json", container.id()]).output().success().document();
    let mut expected = [container.pid(), child];
    expected.sort_unstable();
    assert_eq!(listed, json!(expected));
    container.command("delete", &["--force"]).output().success();
    assert_killed(t, child);
}

/// Ticks of the processor that a process has used.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn pause_freezes_every_process(t: &Test) {
    t.needs_freezer();
    let (container, child) = with_a_hidden_child(t, t.bundle(), "burn 600000", false);
    container.command("pause", &[]).output().success();
    let before = ticks(child);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ticks(child), before, "it still runs");
    container.command("resume", &[]).output().success();
    t.wait_for("the process to run again", || ticks(child) > before);
    container.command("delete", &["--force"]).output().success();
    assert_killed(t, child);
}

fn limits_and_statistics_cover_every_process(t: &Test) {
    t.needs_limits("pids");
    t.needs_limits("memory");
    let (container, child) = with_a_hidden_child(t, t.bundle(), "sleep", false);
    container.command("update", &["--pids-limit", "2", "--memory", "50M"]).output().success();
    let limit = t.v1_or_v2("pids", container.id()).join("pids.max");
    assert_eq!(fs::read_to_string(limit).unwrap(), "2\n");
    let told = container.command("events", &["--stats"]).output().success().document();
    assert_eq!(told["data"]["pids"], json!({"current": 2, "limit": 2}));
    assert_eq!(told["data"]["memory"]["usage"]["limit"], json!(52_428_800));
    // A process that joins is moved into the cgroup, which the limit allows; it cannot fork.
    let joined = container.exec("fork 1").success().json();
    assert_eq!((&joined["errno"], &joined["forked"]), (&json!("EAGAIN"), &json!(0)));
    container.command("delete", &["--force"]).output().success();
    assert_killed(t, child);
}

fn oom_events_are_reported(t: &Test) {
    t.needs_limits("memory");
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let bundle =
        t.bundle().directory("go").probe("await /go/now , alloc 200").set("/linux/resources", resources);
    let container = bundle.start();
    hide(&directories(t, container.id(), false), container.pid());
    let events = container.command("events", &["--interval", "20ms"]).spawn();
    events.wait_for("stats");
    fs::write(bundle.path("/go/now"), "").unwrap();
    assert_eq!(container.wait(), 137);
    let output = events.wait().success();
    assert!(output.stdout.contains("{\"type\":\"oom\""), "{output}");
}

/// On v1 a container can freeze a child cgroup, and frozen processes do not die of a signal.
fn a_frozen_child_cgroup_is_killed(t: &Test) {
    for verb in ["kill", "delete"] {
        let freezer = t.v1("freezer", "");
        let container = t.bundle().probe("sleep").start();
        let directory = freezer.join(container.id());
        hide(std::slice::from_ref(&directory), container.pid());
        write(&below(&directory), "freezer.state", "FROZEN");
        let begun = Instant::now();
        let flag = if verb == "kill" { "KILL" } else { "--force" };
        container.command(verb, &[flag]).output().success();
        assert_eq!(container.wait(), 137);
        assert!(begun.elapsed() < kit::within(Duration::from_secs(5)), "{:?}", begun.elapsed());
        if verb == "kill" {
            container.delete();
        }
    }
}

fn a_child_cgroup_that_is_frozen_repeatedly_is_killed(t: &Test) {
    t.v1("freezer", "");
    for verb in ["kill", "delete"] {
        let container = t.bundle().probe("sleep").start();
        let all = directories(t, container.id(), false);
        hide(&all, container.pid());
        let state = below(&t.v1("freezer", container.id())).join("freezer.state");
        // A process of the host stands in for one of the container.
        let script = "while :; do echo FROZEN > \"$0\"; done";
        let mut freezing = std::process::Command::new("sh").args(["-c", script]).arg(&state).spawn().unwrap();
        for directory in &all {
            write(directory, "cgroup.procs", &freezing.id().to_string());
        }
        t.wait_for("the freezer", || fs::read_to_string(&state).unwrap() == "FROZEN\n");
        let flag = if verb == "kill" { "KILL" } else { "--force" };
        let ended = container.command(verb, &[flag]).output();
        let init = kit::sys::reap(container.pid(), Duration::from_secs(5));
        let end = Instant::now() + Duration::from_secs(5);
        while freezing.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        let others = freezing.try_wait().unwrap();
        freezing.kill().unwrap();
        freezing.wait().unwrap();
        ended.success();
        assert!(others.is_some(), "{verb}: it still freezes");
        assert_eq!(init, Some(137), "{verb}");
    }
}

fn thousands_of_levels_are_deleted(t: &Test) {
    let container = t.bundle().start();
    container.wait();
    let mut made = Vec::new();
    for directory in [t.v1("pids", container.id())] {
        let mut at = fs::File::open(&directory).unwrap();
        for _ in 0..2500 {
            // The whole path would be too long.
            let link = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&at)));
            fs::create_dir(below(&link)).unwrap();
            at = fs::File::open(below(&link)).unwrap();
        }
        made.push(directory);
    }
    let begun = Instant::now();
    container.command("delete", &[]).output().success();
    assert!(begun.elapsed() < kit::within(Duration::from_secs(10)), "{:?}", begun.elapsed());
    assert!(made.iter().all(|directory| !directory.exists()));
}

/// An existing cgroup with processes is neither used nor removed.
fn an_existing_cgroup_with_processes_is_refused(t: &Test) {
    let bundle = t.bundle();
    let directory = t.v1_or_v2("pids", bundle.id());
    fs::create_dir(&directory).unwrap();
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    hide(std::slice::from_ref(&directory), other.id() as i32);
    let refused = bundle.try_create();
    let lives = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    fs::remove_dir(below(&directory)).unwrap();
    fs::remove_dir(&directory).unwrap();
    refused.refused(&["container's cgroup is not empty"]);
    assert!(lives, "it was killed");
}

/// The caller's descriptor limit is lower than the number of processes.
fn reach_many(t: &Test, bundle: kit::Bundle<'_>) {
    let words = ["spawn sleep"; 60].join(" , ");
    let container = bundle.probe(&format!("{words} , say ready , hold")).start();
    t.wait_for("the children", || container.stdout().contains("ready"));
    let listed = t.runtime(["ps", "--format", "json", container.id()]).output().success().document();
    let number = |pid: &kit::Value| i32::try_from(pid.as_i64().unwrap()).unwrap();
    let mut children: Vec<i32> = listed.as_array().unwrap().iter().map(number).collect();
    children.retain(|pid| *pid != container.pid());
    assert_eq!(children.len(), 60);
    container.command("kill", &["--all", "TERM"]).wrap("nofile=30").output().success();
    let state = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().unwrap_or("").chars().next()
    };
    t.wait_for("every process to exit", || {
        children.iter().all(|pid| !matches!(state(pid), Some('R' | 'S' | 'D')))
    });
    container.command("delete", &["--force"]).output().success();
}

fn more_processes_than_descriptors(t: &Test) {
    reach_many(t, t.bundle());
}

fn more_processes_than_descriptors_without_a_cgroup(t: &Test) {
    let bundle = t.bundle().global("--cgroup-manager=disabled");
    reach_many(t, bundle.remove("/linux/cgroupsPath").remove("/linux/resources"));
}
