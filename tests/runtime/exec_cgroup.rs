//! `exec --cgroup`: cgroups below the container's, by controller or in all hierarchies.

use kit::{Case, Container, Test};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_cgroup_below_the_containers_is_joined,
        cgroups_are_joined_by_controller,
        unusable_cgroups_are_refused,
        the_containers_own_cgroup_can_be_named,
    ]
}

fn needs_v1(t: &Test) {
    t.v1("pids", "x");
    t.v1("memory", "x");
}

fn a_cgroup_below_the_containers_is_joined(t: &Test) {
    t.only_orlop("the installed version may lack this flag");
    needs_v1(t);
    let container = t.bundle().probe("sleep").start();
    let made: Vec<PathBuf> = cgroup_directories(t, &container).into_iter().map(|d| d.join("side")).collect();
    for dir in &made {
        create_child(dir);
    }
    for path in ["side", "/side", "./side"] {
        let output = t.runtime(["exec", "--cgroup", path, container.id(), "/probe", "report"]).output();
        let seen = output.success().json()["cgroup"].clone();
        let seen = seen.to_string();
        assert!(seen.contains("/side"), "{path}: {seen}");
    }
    remove_all(&made);
}

/// The container's directories in all hierarchies.
fn cgroup_directories(t: &Test, container: &Container<'_>) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let (left, right) = line.split_once(" - ").unwrap();
        let dir = Path::new(left.split(' ').nth(4).unwrap()).join(container.id());
        if right.starts_with("cgroup") && dir.is_dir() && !found.contains(&dir) {
            found.push(dir);
        }
    }
    assert!(!found.is_empty(), "{}: no directory of {}", t.name(), container.id());
    found
}

fn remove_all(directories: &[PathBuf]) {
    for dir in directories {
        let _ = fs::remove_dir(dir);
    }
}

fn create_child(dir: &Path) {
    fs::create_dir(dir).unwrap();
    Test::inherit_cpuset(dir);
}

fn cgroups_are_joined_by_controller(t: &Test) {
    t.only_orlop("the installed version may lack this flag");
    needs_v1(t);
    let container = t.bundle().probe("sleep").start();
    let made = [("pids", "one"), ("memory", "two")].map(|(controller, name)| {
        let dir = t.v1(controller, container.id()).join(name);
        create_child(&dir);
        dir
    });
    let flags = ["exec", "--cgroup", "pids:one", "--cgroup", "memory:/two"];
    let pid_file = t.dir().join("pid");
    let call = t.runtime(flags).args(["-d", "--pid-file", pid_file.to_str().unwrap()]);
    call.args([container.id(), "/probe", "sleep"]).output().success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let at = |controller: &str| {
        let line = text.lines().find(|l| l.split(':').nth(1).unwrap().split(',').any(|c| c == controller));
        line.unwrap().rsplit(':').next().unwrap().to_owned()
    };
    assert!(at("pids").ends_with(&format!("/{}/one", container.id())), "{text}");
    assert!(at("memory").ends_with(&format!("/{}/two", container.id())), "{text}");
    assert!(at("freezer").ends_with(&format!("/{}", container.id())), "{text}");
    kit::sys::kill(pid, libc::SIGKILL);
    kit::sys::reap(pid, Duration::from_secs(5));
    remove_all(&made);
}

fn unusable_cgroups_are_refused(t: &Test) {
    t.only_orlop("its messages differ");
    needs_v1(t);
    let container = t.bundle().probe("sleep").start();
    let call = |cgroup: &str| {
        t.runtime(["exec", "--cgroup", cgroup, container.id(), "/probe", "exit", "0"]).output()
    };
    let evil = format!("../{}-evil", container.id());
    for bad in ["../x", "a/../../x", "pids:../x", "pids:a/../..", evil.as_str(), "", "pids:"] {
        call(bad).fails_with(255, &["bad sub cgroup path"]);
    }
    // A controller is looked up before its path.
    for unknown in ["sails:x", "sails:/", "sails:.."] {
        call(unknown).fails_with(255, &["unknown controller", "sails"]);
    }
    call("pids,sails:x").fails_with(255, &["unknown controller", "sails"]);
    for missing in ["missing", "pids:missing"] {
        let output = call(missing);
        let said = output.stderr.clone();
        output.fails_with(255, &[" adding pid ", " to cgroups ", "/missing: no such file or directory"]);
        assert!(said.contains(&format!("/{}/missing", container.id())), "{said}");
    }
}

fn the_containers_own_cgroup_can_be_named(t: &Test) {
    t.only_orlop("the installed version may lack this flag");
    needs_v1(t);
    let container = t.bundle().probe("sleep").start();
    let cgroups = |flags: &[&str]| {
        let call = t.runtime(["exec"]).args(flags.iter().copied());
        call.args([container.id(), "/probe", "report"]).output().success().json()["cgroup"].clone()
    };
    let own = cgroups(&[]);
    for path in ["/", "pids:/", "pids,memory:/"] {
        assert_eq!(cgroups(&["--cgroup", path]), own, "{path}");
    }
}
