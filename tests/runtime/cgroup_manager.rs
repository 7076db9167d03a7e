//! How the cgroup is created: `--cgroup-manager`, `--systemd-cgroup`.

use kit::{Bundle, Case, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        disabled_stays_in_the_callers_cgroup,
        disabled_shows_the_callers_cgroup_read_only,
        disabled_refuses_limits_by_name,
        disabled_is_remembered,
        disabled_kills_all_processes_of_the_pid_namespace,
        disabled_without_a_pid_namespace_signals_the_first_process,
        disabled_works_for_run,
        rootless_callers_need_a_cgroup_only_if_they_name_one,
        rootless_takes_known_words_only,
    ]
}

/// A bundle of a container without a cgroup.
fn disabled(t: &Test) -> Bundle<'_> {
    t.only_orlop("its flags differ");
    t.bundle().global("--cgroup-manager=disabled").remove("/linux/cgroupsPath")
}

fn cgroups_of(pid: impl std::fmt::Display) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

fn disabled_stays_in_the_callers_cgroup(t: &Test) {
    // cgroupsPath has no effect then; podman's rootless callers may set one.
    for bundle in [disabled(t), disabled(t).set("/linux/cgroupsPath", "/elsewhere")] {
        let bundle = bundle.probe("sleep");
        let container = bundle.start();
        assert_eq!(cgroups_of(container.pid()), cgroups_of("self"));
        container.kill("KILL");
        container.wait();
        container.delete();
        assert!(t.leaks_of(bundle.id()).is_empty());
    }
}

fn disabled_shows_the_callers_cgroup_read_only(t: &Test) {
    // Even if the configuration does not say read-only.
    let files = ["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/tasks", "/sys/fs/cgroup/pids/tasks"];
    let words = files.map(|file| format!("write {file} 0")).join(" , ");
    let output = disabled(t).set("/mounts/6/options", json!(["nosuid"])).probe(&words).run();
    for said in output.lines() {
        assert!(["ENOENT", "EROFS"].iter().any(|errno| said["errno"] == *errno), "{said}");
    }
}

fn disabled_refuses_limits_by_name(t: &Test) {
    for (resources, field) in [
        (json!({"memory": {"limit": 67_108_864}}), "/linux/resources/memory/limit"),
        (json!({"pids": {"limit": 10}}), "/linux/resources/pids/limit"),
        (json!({"unified": {"memory.high": "max"}}), "/linux/resources/unified/memory.high"),
    ] {
        let output = disabled(t).set("/linux/resources", resources).try_run();
        output.refused(&[field, "a container without a cgroup cannot be limited"]);
    }
    // What podman sends with it.
    let devices = json!({"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": -1}});
    disabled(t).set("/linux/resources", devices).run();
}

fn disabled_is_remembered(t: &Test) {
    let bundle = disabled(t).probe("sleep");
    let container = bundle.start();
    container.exec("say hello").success();
    let output = t.runtime(["exec", "--cgroup", "sub", bundle.id(), "/probe", "say"]).output();
    output.fails_with(255, &["the container is in no cgroup"]);
    container.kill("KILL");
    container.wait();
    assert_eq!(container.status(), "stopped");
    container.command("kill", &["--all", "KILL"]).output().success();
    container.delete();
}

fn disabled_kills_all_processes_of_the_pid_namespace(t: &Test) {
    let container = disabled(t).probe("spawn sleep , sleep").start();
    let child = || {
        let path = format!("/proc/{0}/task/{0}/children", container.pid());
        fs::read_to_string(path).ok()?.split_whitespace().next()?.parse::<i32>().ok()
    };
    t.wait_for("a second process", || child().is_some());
    let pid = child().unwrap();
    // SIGTERM does nothing to an init without a handler, and kills other processes.
    container.command("kill", &["--all", "TERM"]).output().success();
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    t.wait_for("the other's end", || state().is_empty() || state().contains(") Z "));
    assert_eq!(container.status(), "running");
    container.kill("KILL");
    container.wait();
}

fn disabled_without_a_pid_namespace_signals_the_first_process(t: &Test) {
    let container = disabled(t).without_namespace("pid").probe("sleep").start();
    let output = container.command("kill", &["--all", "KILL"]).output().success();
    assert!(output.stderr.contains("only the first process of the container is reached"), "{output}");
    container.wait();
    container.delete();
}

fn disabled_works_for_run(t: &Test) {
    let report = disabled(t).report();
    assert_eq!(report["pid"], 1, "{report}");
    let cgroup: Vec<&str> = report["cgroup"].as_array().unwrap().iter().filter_map(|l| l.as_str()).collect();
    assert_eq!(cgroup.join("\n"), cgroups_of("self").trim_end());
}

/// The caller is a user without permission to create a cgroup.
fn rootless_callers_need_a_cgroup_only_if_they_name_one(t: &Test) {
    let id = 54_325;
    let caller = format!("uid={id}");
    let run = |flag: &str, path: Option<&str>| {
        let mut bundle = crate::namespaces::rootless(t, id);
        if let Some(path) = path {
            bundle = bundle.set("/linux/cgroupsPath", path);
        }
        let run = bundle.command("run", &[]).wrap(&caller);
        if flag.is_empty() { run.output() } else { run.global(flag).output() }
    };
    // A caller that names no cgroup gets no error, unless --rootless=false says that it needs one.
    for flag in ["", "--rootless=auto", "--rootless=true"] {
        run(flag, None).success();
    }
    run("--rootless=false", None).refused(&["mkdir", "permission denied"]);
    // A cgroup that is named is created, unless --rootless=true says that it is optional.
    for flag in ["", "--rootless=false"] {
        run(flag, Some("/orlop-test-elsewhere")).refused(&["mkdir", "/linux/cgroupsPath"]);
    }
    run("--rootless=true", Some("/orlop-test-elsewhere")).success();
}

fn rootless_takes_known_words_only(t: &Test) {
    let output = t.bare(["--rootless=maybe", "list"]).output();
    output.refused(&["rootless"]);
}
