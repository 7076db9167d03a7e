//! `linux.seccomp`: the effect of a filter on the system calls of the process.

use kit::{Bundle, Case, Test, Value, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        without_a_profile_there_is_no_filter,
        filter_is_loaded,
        errno_action,
        errno_ret_is_returned,
        default_errno_ret_is_returned,
        kill_process_action,
        kill_thread_and_trap_actions,
        a_program_that_its_filter_kills_at_execve_is_reported,
        trace_without_a_tracer,
        log_action_allows_the_call,
        arguments_are_compared,
        several_arguments_must_all_match,
        several_rules_for_one_call_are_alternatives,
        unknown_system_calls_are_skipped,
        unknown_action_is_refused,
        filter_is_loaded_without_no_new_privileges,
        exec_loads_the_filter,
        calls_newer_than_the_profile_return_enosys,
        a_recorded_profile_is_loaded,
        a_filter_that_must_be_loaded_in_view_of_others_is_refused,
    ]
}

fn profile(default: &str, rules: &Value) -> Value {
    json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"], "syscalls": rules})
}

fn filtered<'t>(t: &'t Test, rules: &Value) -> Bundle<'t> {
    t.bundle().set("/linux/seccomp", profile("SCMP_ACT_ALLOW", rules))
}

fn rule(name: &str, action: &str) -> Value {
    json!({"names": [name], "action": action})
}

/// personality(2) with ~0 returns a number and changes nothing; the process does not need it.
fn call(number: i64, args: &str) -> String {
    format!("syscall {number} {args}")
}

fn personality(args: &str) -> String {
    call(libc::SYS_personality, args)
}

fn without_a_profile_there_is_no_filter(t: &Test) {
    assert_eq!(t.bundle().report()["seccomp"], "0");
}

fn filter_is_loaded(t: &Test) {
    let seen = filtered(t, &json!([rule("personality", "SCMP_ACT_ERRNO")])).report();
    assert_eq!((&seen["seccomp"], &seen["seccomp_filters"]), (&json!("2"), &json!("1")));
}

fn errno_action(t: &Test) {
    let lines = filtered(t, &json!([rule("mkdir", "SCMP_ACT_ERRNO"), rule("mkdirat", "SCMP_ACT_ERRNO")]));
    let lines = lines.probe("mkdir /dev/shm/d , unlink /dev/shm/d").run().lines();
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!("EPERM"), &json!("ENOENT")));
}

fn errno_ret_is_returned(t: &Test) {
    for (number, name) in [(13, "EACCES"), (28, "ENOSPC"), (38, "ENOSYS"), (1, "EPERM")] {
        let rules = json!([{"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}]);
        let seen = filtered(t, &rules).probe(&personality("4294967295")).run().json();
        assert_eq!(seen["errno"], name);
    }
}

fn default_errno_ret_is_returned(t: &Test) {
    // A profile that allows what it lists: every system call by number but one.
    let mut docker = recorded();
    docker["defaultErrnoRet"] = json!(95);
    let bundle = t.bundle().set("/linux/seccomp", docker);
    // Docker's profile does not list keyctl(2).
    let seen = bundle.probe(&call(libc::SYS_keyctl, "0 0 0")).run().json();
    assert_eq!(seen["errno"], "EOPNOTSUPP");
}

fn kill_process_action(t: &Test) {
    let bundle = filtered(t, &json!([rule("personality", "SCMP_ACT_KILL_PROCESS")]));
    let output = bundle.probe(&format!("{} , say alive", personality("0"))).try_run();
    assert_eq!(output.code(), 128 + libc::SIGSYS, "{output}");
}

fn kill_thread_and_trap_actions(t: &Test) {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        let bundle = filtered(t, &json!([rule("personality", action)]));
        let output = bundle.probe(&format!("{} , say alive", personality("0"))).try_run();
        assert_eq!(output.code(), 128 + libc::SIGSYS, "{action}: {output}");
    }
}

/// The program never runs: that is a failed start, not a program that has died.
fn a_program_that_its_filter_kills_at_execve_is_reported(t: &Test) {
    t.only_orlop("it reports no failure");
    let words = ["exec /probe: bad system call", "/linux/seccomp"];
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        let limit = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
        let bundle = || filtered(t, &json!([rule("execve", action)])).set("/process/rlimits", limit.clone());
        bundle().probe("say alive").try_run().refused(&words);
        let container = bundle().probe("say alive").create();
        container.command("start", &[]).output().refused(&words);
        assert_eq!(container.status(), "stopped");
        container.wait();
        container.delete();
    }
}

fn trace_without_a_tracer(t: &Test) {
    let rules = json!([{"names": ["personality"], "action": "SCMP_ACT_TRACE", "errnoRet": 5}]);
    let seen = filtered(t, &rules).probe(&personality("4294967295")).run().json();
    assert_eq!(seen["errno"], "ENOSYS");
}

fn log_action_allows_the_call(t: &Test) {
    let seen = filtered(t, &json!([rule("personality", "SCMP_ACT_LOG")]))
        .probe(&personality("4294967295"))
        .run()
        .json();
    assert_eq!(seen["errno"], "");
}

fn arguments_are_compared(t: &Test) {
    // (operator, value, second value, arguments that match, arguments that do not)
    let table = [
        ("SCMP_CMP_EQ", 7u64, 0u64, vec![7i64], vec![6, 8, (1 << 32) + 7]),
        ("SCMP_CMP_NE", 7, 0, vec![6, (1 << 32) + 7], vec![7]),
        ("SCMP_CMP_LT", 7, 0, vec![0, 6], vec![7, 8, 1 << 40]),
        ("SCMP_CMP_LE", 7, 0, vec![0, 7], vec![8, 1 << 40]),
        ("SCMP_CMP_GT", 7, 0, vec![8, 1 << 40, -1], vec![0, 7]),
        ("SCMP_CMP_GE", 7, 0, vec![7, 1 << 40, -1], vec![0, 6]),
        ("SCMP_CMP_MASKED_EQ", 0xf0, 0x20, vec![0x20, 0x2f, 0x120], vec![0x30, 0x0f]),
        ("SCMP_CMP_EQ", (1 << 40) + 1, 0, vec![(1 << 40) + 1], vec![1, 1 << 40]),
    ];
    for (op, value, two, hits, misses) in table {
        let args = json!([{"index": 1, "value": value, "valueTwo": two, "op": op}]);
        let rules =
            json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122, "args": args}]);
        let words: Vec<String> =
            hits.iter().chain(&misses).map(|n| call(libc::SYS_getpriority, &format!("99 {n}"))).collect();
        let lines = filtered(t, &rules).probe(&words.join(" , ")).run().lines();
        for (n, line) in lines.iter().enumerate() {
            // getpriority(99, …) returns EINVAL itself.
            let expected = if n < hits.len() { "EDQUOT" } else { "EINVAL" };
            assert_eq!(line["errno"], expected, "{op} {value:#x}: {}", words[n]);
        }
    }
}

fn several_arguments_must_all_match(t: &Test) {
    let args = json!([{"index": 0, "value": 99, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 5, "op": "SCMP_CMP_GE"}]);
    let rules =
        json!([{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122, "args": args}]);
    let words = format!("syscall {0} 99 5 , syscall {0} 99 4 , syscall {0} 98 5", libc::SYS_getpriority);
    let lines = filtered(t, &rules).probe(&words).run().lines();
    let found: Vec<&str> = lines.iter().map(|line| line["errno"].as_str().unwrap()).collect();
    assert_eq!(found, ["EDQUOT", "EINVAL", "EINVAL"]);
}

fn several_rules_for_one_call_are_alternatives(t: &Test) {
    let with = |value: i64, errno: i64| {
        let args = json!([{"index": 1, "value": value, "op": "SCMP_CMP_EQ"}]);
        json!({"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args})
    };
    let words = format!("syscall {0} 99 1 , syscall {0} 99 2 , syscall {0} 99 3", libc::SYS_getpriority);
    let lines = filtered(t, &json!([with(1, 122), with(2, 28)])).probe(&words).run().lines();
    let found: Vec<&str> = lines.iter().map(|line| line["errno"].as_str().unwrap()).collect();
    assert_eq!(found, ["EDQUOT", "ENOSPC", "EINVAL"]);
}

fn unknown_system_calls_are_skipped(t: &Test) {
    let rules = json!([{"names": ["no_such_call", "personality"], "action": "SCMP_ACT_ERRNO"}]);
    assert_eq!(filtered(t, &rules).probe(&personality("4294967295")).run().json()["errno"], "EPERM");
}

fn unknown_action_is_refused(t: &Test) {
    filtered(t, &json!([rule("personality", "SCMP_ACT_SING")])).try_run().refused(&["SCMP_ACT_SING"]);
}

fn filter_is_loaded_without_no_new_privileges(t: &Test) {
    let user = json!({"uid": 1000, "gid": 1000});
    for user in [json!({"uid": 0, "gid": 0}), user] {
        let bundle = filtered(t, &json!([rule("personality", "SCMP_ACT_ERRNO")]));
        let seen = bundle.set("/process/noNewPrivileges", false).set("/process/user", user).report();
        assert_eq!((&seen["seccomp"], &seen["no_new_privileges"]), (&json!("2"), &json!(false)));
        assert_eq!(seen["personality"], -1);
    }
}

fn exec_loads_the_filter(t: &Test) {
    let container = filtered(t, &json!([rule("personality", "SCMP_ACT_ERRNO")])).probe("sleep").start();
    let seen = container.exec("report").success().json();
    assert_eq!((&seen["seccomp"], &seen["personality"]), (&json!("2"), &json!(-1)));
}

fn calls_newer_than_the_profile_return_enosys(t: &Test) {
    let mut docker = recorded();
    docker["defaultErrnoRet"] = json!(1);
    let seen = t.bundle().set("/linux/seccomp", docker).probe("syscall 1000").run().json();
    assert_eq!(seen["errno"], "ENOSYS");
}

fn a_recorded_profile_is_loaded(t: &Test) {
    let seen = t.bundle().set("/linux/seccomp", recorded()).report();
    assert_eq!(seen["seccomp"], "2");
}

/// The profile of a manager's default container.
fn recorded() -> Value {
    let text = include_str!("../fixtures/managers/docker28-run.json");
    serde_json::from_str::<Value>(text).unwrap()["linux"]["seccomp"].clone()
}

/// Otherwise the processes of the pid namespace could gain CAP_SYS_ADMIN.
fn a_filter_that_must_be_loaded_in_view_of_others_is_refused(t: &Test) {
    t.only_orlop("others load it in view of the container");
    let stops = json!([{"names": ["setsid", "capset", "setgid"], "action": "SCMP_ACT_ERRNO"}]);
    let said = ["/linux/seccomp", "to be done then: capset, setsid", "/process/noNewPrivileges"];
    let plain = || filtered(t, &stops).set("/process/noNewPrivileges", false).probe("sleep");
    // The processes there may have any capability.
    let first = t.bundle().probe("sleep").start();
    let pid = format!("/proc/{}/ns/pid", first.pid());
    plain().join("pid", &pid).try_run().refused(&said);
    plain().join("pid", &pid).command("create", &[]).output().refused(&said);
    let without = plain().join("pid", &pid).set("/process/noNewPrivileges", true).probe("exit 0");
    assert_eq!(without.try_run().code(), 0);
    // No process of the container may trace the process that joins.
    let container = plain().start();
    container.exec("exit 0").success();
    let container = plain().push("/process/capabilities/bounding", "CAP_SYS_PTRACE").start();
    container.exec("exit 0").fails_with(255, &said);
}
