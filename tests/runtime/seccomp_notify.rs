//! `SCMP_ACT_NOTIFY`: an agent decides in place of the kernel.

use kit::agent::{Agent, Answer};
use kit::{Bundle, Case, Test, Value, json};
use nix::errno::Errno;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        the_agent_decides,
        the_agent_decides_after_create_and_start,
        each_exec_has_its_own_listener,
        every_call_may_notify,
        a_profile_may_deny_sendmsg,
        init_sends_the_listener,
        the_agent_decides_in_a_user_namespace,
        the_agent_decides_in_a_joined_pid_namespace,
        filter_flags_are_set_with_a_listener,
        a_missing_agent_is_an_error,
        listener_path_is_required,
        listener_path_without_notification_is_ignored,
        a_failed_execve_is_reported_under_any_filter,
    ]
}

/// mkdir(2) is denied, chmod(2) continues.
fn answer(number: i32) -> Answer {
    match i64::from(number) {
        libc::SYS_mkdirat => Answer::Errno(Errno::EDQUOT),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_mkdir => Answer::Errno(Errno::EDQUOT),
        _ => Answer::Continue,
    }
}

fn profile(agent: &Agent, default: &str, names: &Value) -> Value {
    json!({
        "defaultAction": default,
        "listenerPath": agent.path(),
        "listenerMetadata": "for the agent",
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
    })
}

fn asked<'t>(bundle: Bundle<'t>, agent: &Agent) -> Bundle<'t> {
    let names = json!(["mkdir", "mkdirat", "unlink", "unlinkat"]);
    bundle.set("/linux/seccomp", profile(agent, "SCMP_ACT_ALLOW", &names))
}

const WORDS: &str = "mkdir /dev/shm/d , unlink /dev/shm/d";

fn check(lines: &[Value]) {
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!("EDQUOT"), &json!("ENOENT")), "{lines:?}");
}

fn the_agent_decides(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let bundle = asked(t.bundle(), &agent).probe(WORDS);
    check(&bundle.run().lines());
    let states = agent.states();
    let [state] = &states[..] else { panic!("{states:?}") };
    assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("for the agent")));
    assert_eq!(state["state"]["id"], bundle.id());
    assert!(state["pid"].as_i64().unwrap() > 1 && state["pid"] == state["state"]["pid"], "{state}");
    assert_eq!(state["ociVersion"], state["state"]["ociVersion"]);
    assert_eq!(agent.calls().len(), 2);
}

fn the_agent_decides_after_create_and_start(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let container = asked(t.bundle(), &agent).probe(WORDS).create();
    assert!(agent.states().is_empty());
    container.start();
    t.wait_for("both lines", || container.stdout().lines().count() == 2);
    check(&container.stdout().lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<_>>());
    let states = agent.states();
    assert_eq!((states.len(), &states[0]["pid"]), (1, &json!(container.pid())));
    assert_eq!(states[0]["state"]["status"], "created");
    assert_eq!(container.wait(), 0);
    container.delete();
}

fn each_exec_has_its_own_listener(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let container = asked(t.bundle(), &agent).probe("sleep").start();
    check(&container.exec(WORDS).success().lines());
    check(&container.exec(WORDS).success().lines());
    let states = agent.states();
    assert_eq!(states.len(), 3);
    assert_eq!(states[1]["state"]["pid"], container.pid());
    assert_eq!(states[1]["state"]["status"], "running");
    assert!(states[1]["pid"] != states[2]["pid"] && states[1]["pid"] != container.pid());
}

/// Including those that the runtime itself makes after it has loaded the filter. Only write(2) is refused.
fn every_call_may_notify(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let names = json!([
        "mkdir",
        "mkdirat",
        "execve",
        "read",
        "sendmsg",
        "sendto",
        "close",
        "fcntl",
        "mmap",
        "exit_group",
        "futex",
        "sched_yield",
        "clone",
        "seccomp",
        "prctl",
        "rt_sigaction",
        "getpid"
    ]);
    let bundle = t.bundle().set("/linux/seccomp", profile(&agent, "SCMP_ACT_ALLOW", &names));
    let lines = bundle.probe("mkdir /dev/shm/d , unlink /dev/shm/d").run().lines();
    check(&lines);
    let first = agent.calls()[0];
    assert_eq!(i64::from(first.1), libc::SYS_execve, "the first call that notifies");
}

fn a_profile_may_deny_sendmsg(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let mut profile = profile(&agent, "SCMP_ACT_ALLOW", &json!(["mkdir", "mkdirat"]));
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"] {
        let denied = json!({"names": ["sendmsg", "sched_yield", "futex"], "action": action});
        profile["syscalls"] = json!([profile["syscalls"][0], denied]);
        check(&t.bundle().set("/linux/seccomp", profile.clone()).probe(WORDS).run().lines());
        let container = t.bundle().set("/linux/seccomp", profile.clone()).probe("sleep").start();
        check(&container.exec(WORDS).success().lines());
    }
    assert_eq!(agent.states().len(), 6);
}

fn init_sends_the_listener(t: &Test) {
    t.only_orlop("it does not have this option");
    let agent = Agent::new(t, answer);
    let names = json!(["mkdir", "mkdirat", "clone", "sendmsg", "wait4", "close_range"]);
    let bundle = t.bundle().set("/linux/seccomp", profile(&agent, "SCMP_ACT_ALLOW", &names)).probe(WORDS);
    check(&bundle.set("/annotations/org.orlop.init", "true").run().lines());
    assert_eq!(agent.states().len(), 1);
}

fn the_agent_decides_in_a_user_namespace(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let bundle = asked(t.bundle().user_namespace(300_000), &agent).set("/process/noNewPrivileges", false);
    check(&bundle.probe(WORDS).run().lines());
    let bundle = asked(t.bundle().user_namespace(300_000), &agent).probe("sleep");
    check(&bundle.start().exec(WORDS).success().lines());
}

/// The process is created under its filter, and its listener is sent the same way.
fn the_agent_decides_in_a_joined_pid_namespace(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let first = t.bundle().probe("sleep").start();
    let pid = format!("/proc/{}/ns/pid", first.pid());
    for privileges in [true, false] {
        let bundle = || {
            let bundle = asked(t.bundle(), &agent).join("pid", &pid);
            bundle.set("/process/noNewPrivileges", privileges).probe(WORDS)
        };
        let before = agent.states().len();
        let run = bundle();
        check(&run.run().lines());
        let with_init = bundle().set("/annotations/org.orlop.init", "true");
        check(&with_init.run().lines());
        let container = bundle().create();
        let number = container.pid();
        assert_eq!(agent.states().len(), before + 2, "only at start");
        container.start();
        assert_eq!(container.wait(), 0);
        container.delete();
        let states = agent.states();
        let [run, with_init, created] = &states[before..] else { panic!("{states:?}") };
        for state in [run, with_init, created] {
            assert!(state["pid"].as_i64().unwrap() > 1 && state["pid"] == state["state"]["pid"], "{state}");
            assert_eq!(state["state"]["status"], "created", "{state}");
        }
        assert_eq!(created["pid"], number);
    }
    // The agent decides about the remaining calls once it has the listener.
    let names = json!(["mkdir", "mkdirat", "unlink", "unlinkat", "execve", "rt_sigaction"]);
    let bundle = t.bundle().join("pid", &pid).set("/process/noNewPrivileges", false);
    let bundle = bundle.set("/linux/seccomp", profile(&agent, "SCMP_ACT_ALLOW", &names));
    check(&bundle.probe(WORDS).run().lines());
}

fn filter_flags_are_set_with_a_listener(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    for flags in [
        json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
        json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]),
        json!([]),
    ] {
        let bundle = asked(t.bundle(), &agent).set("/linux/seccomp/flags", flags).probe(WORDS);
        check(&bundle.run().lines());
    }
    // A filter without a listener.
    let flags = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
    let bundle = t.bundle().set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags}));
    assert_eq!(bundle.report()["seccomp"], "2");
}

fn a_missing_agent_is_an_error(t: &Test) {
    t.only_orlop("it may have been built without support");
    let agent = Agent::new(t, answer);
    let missing = t.dir().join("missing");
    let bundle = asked(t.bundle(), &agent).set("/linux/seccomp/listenerPath", missing.to_str().unwrap());
    let words = ["failed to connect with seccomp agent", "ENOENT", "/linux/seccomp/listenerPath"];
    bundle.try_run().refused(&words);
    // The container can still be started once an agent listens.
    let container = bundle.probe(WORDS).create();
    container.command("start", &[]).output().refused(&words);
    assert_eq!(container.status(), "created");
    std::os::unix::fs::symlink(agent.path(), &missing).unwrap();
    container.start();
    assert_eq!(container.wait(), 0);
    container.delete();
}

fn listener_path_is_required(t: &Test) {
    let rules = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    t.bundle().set("/linux/seccomp", profile).try_run().refused(&["listenerPath"]);
}

fn listener_path_without_notification_is_ignored(t: &Test) {
    t.only_orlop("it may have been built without support");
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nowhere/at-all"});
    assert_eq!(t.bundle().set("/linux/seccomp", profile).report()["seccomp"], "2");
}

fn a_failed_execve_is_reported_under_any_filter(t: &Test) {
    t.only_orlop("it may have been built without support");
    let rules = json!([{"names": ["exit_group", "exit", "execve"], "action": "SCMP_ACT_ERRNO"}]);
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    t.bundle().set("/linux/seccomp", profile).try_run().refused(&["exec /probe: operation not permitted"]);
}
