//! A container at its limit of processes (`pids.max`).

use kit::{Case, Console, Test, json};
use std::fs;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_container_at_its_limit_of_processes_takes_one_more,
        a_container_that_may_trace_takes_none_beyond_its_limit,
    ]
}

/// A limit of processes stops forks, but no moves: the process is cloned outside, and moved.
fn a_container_at_its_limit_of_processes_takes_one_more(t: &Test) {
    t.needs_limits("pids");
    for (limit, user) in [(1, false), (2, false), (1, true)] {
        let bundle = t.bundle().set("/linux/resources/pids", json!({"limit": limit})).probe("sleep");
        let bundle = if user { bundle.user_namespace(200_000) } else { bundle };
        let container = bundle.start();
        let cgroup = |id: &str| fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap();
        let pid_file = t.dir().join("pid");
        let words =
            ["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), container.id(), "/probe", "sleep"];
        t.runtime(words).output().success();
        let pid = fs::read_to_string(&pid_file).unwrap();
        assert_eq!(
            cgroup(&pid),
            cgroup(&container.pid().to_string()),
            "limit {limit}, user namespace {user}"
        );
        // Over the limit, with a terminal.
        let _ = fs::remove_file(t.dir().join("console.sock"));
        let console = Console::new(t);
        let path = console.path().to_str().unwrap();
        let words = ["exec", "-d", "-t", "--console-socket", path, "--pid-file", pid_file.to_str().unwrap()];
        t.runtime(words).args([container.id(), "/probe", "terminal", ",", "exit", "3"]).output().success();
        let (_, mut master) = console.receive();
        assert!(master.read_until("isatty").contains("\"isatty\":[true,true,true]"));
        let second: i32 = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        assert_eq!(kit::sys::reap(second, Duration::from_secs(5)), Some(3));
        let pid: i32 = pid.parse().unwrap();
        kit::sys::kill(pid, libc::SIGKILL);
        kit::sys::reap(pid, Duration::from_secs(5));
    }
}

/// Its processes could make the one that joins fork before it is moved.
fn a_container_that_may_trace_takes_none_beyond_its_limit(t: &Test) {
    t.only_orlop("others move every process");
    t.needs_limits("pids");
    let names = json!(["CAP_SYS_PTRACE"]);
    let bundle = t.bundle().set("/linux/resources/pids", json!({"limit": 1})).probe("sleep");
    let bundle = bundle.set("/process/capabilities", json!({"bounding": names, "permitted": names}));
    let container = bundle.start();
    container.exec("exit 0").fails_with(255, &["EAGAIN", "is pids.limit too small"]);
}
