//! `process` of config.json, and what a process must not inherit.

use kit::{Bundle, Case, Console, Test, Value, json};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        uid_and_gid_are_set,
        additional_groups,
        no_groups_of_the_caller,
        no_groups_of_a_caller_in_a_user_namespace,
        groups_of_the_caller_are_kept_by_annotation,
        exec_keeps_groups_by_annotation,
        exec_by_a_root_that_may_not_set_groups,
        exec_with_a_terminal_by_a_root_that_may_not_set_groups,
        scheduler_is_reset_at_a_fork_with_an_init,
        scheduler_is_set_in_a_joined_pid_namespace,
        deadline_scheduler_is_set_in_a_joined_pid_namespace,
        deadline_scheduler_and_cpuset_exclude_each_other,
        umask_is_0022_by_default,
        umask_of_the_configuration_is_set,
        umask_of_the_caller_does_not_matter,
        working_directory,
        missing_working_directory_is_created,
        missing_working_directory_on_a_read_only_root_is_created,
        environment_keeps_its_order,
        last_of_duplicate_variables_wins,
        home_from_passwd,
        home_in_the_environment_is_kept,
        callers_environment_is_not_inherited,
        arguments_are_passed_unchanged,
        program_is_searched_in_path,
        program_in_path_that_may_not_be_executed_is_not_found,
        path_of_the_caller_is_not_searched,
        relative_program_is_found_from_cwd,
        rlimits_are_set,
        unknown_rlimit_is_refused,
        duplicate_rlimit_is_refused,
        no_new_privileges,
        new_privileges_are_possible_without_the_flag,
        oom_score_is_raised,
        only_three_descriptors,
        preserved_descriptors,
        sigpipe_is_default,
        callers_signal_mask_is_not_inherited,
        program_is_the_file_in_the_root,
        standard_streams_are_the_callers,
        sysctl_of_a_namespace,
        sysctl_outside_namespaces_is_refused,
        unknown_sysctl_is_refused,
        callers_limits_are_inherited,
    ]
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

fn uid_and_gid_are_set(t: &Test) {
    let seen = t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1001})).report();
    assert_eq!(seen["uid"], json!([1000, 1000, 1000, 1000]));
    assert_eq!(seen["gid"], json!([1001, 1001, 1001, 1001]));
}

fn additional_groups(t: &Test) {
    let seen =
        t.bundle().set("/process/user", json!({"uid": 5, "gid": 6, "additionalGids": [7, 1234]})).report();
    assert_eq!(seen["groups"], json!([7, 1234]));
}

fn no_groups_of_the_caller(t: &Test) {
    assert_eq!(t.bundle().report()["groups"], json!([]));
}

fn no_groups_of_a_caller_in_a_user_namespace(t: &Test) {
    // 70000 has no name in that namespace, but would still open files.
    let bundle = t.bundle().remove("/linux/cgroupsPath");
    let call = bundle.command("run", &[]).wrap("groups=7,70000").wrap("userns");
    assert_eq!(call.output().success().json()["groups"], json!([]));
}

fn groups_of_the_caller_are_kept_by_annotation(t: &Test) {
    let bundle = t.bundle().set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    let call = bundle.command("run", &[]).wrap("groups=7,70000");
    assert_eq!(call.output().success().json()["groups"], json!([7, 70000]));
}

fn exec_keeps_groups_by_annotation(t: &Test) {
    for (annotation, groups) in [("1", json!([7, 8])), ("0", json!([]))] {
        let bundle = t.bundle().set("/annotations", json!({"run.oci.keep_original_groups": annotation}));
        let container = bundle.probe("sleep").start();
        let call = t.runtime(["exec", container.id(), "/probe", "report"]).wrap("groups=7,8");
        assert_eq!(call.output().success().json()["groups"], groups);
    }
}

/// Runs a container and an `exec` with these words in a single user namespace, since a process cannot join a user
/// namespace that it is already in; returns what both print.
fn exec_alone(t: &Test, bundle: &Bundle<'_>, words: &str) -> String {
    bundle.write();
    let (root, id) = (t.root(), bundle.id());
    let orlop = format!("'{}' --root '{}'", t.program().display(), root.display());
    let bundle = bundle.dir().display();
    let script = format!(
        "{orlop} run --detach --bundle '{bundle}' {id} </dev/null >/dev/null && {orlop} exec {words}; \
         {orlop} delete --force {id}"
    );
    let mut shell = Command::new("/proc/self/exe");
    shell.args(["--as-caller", "groups=7", "alone", "--", "/bin/sh", "-c", &script]);
    let output = shell.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn exec_by_a_root_that_may_not_set_groups(t: &Test) {
    let bundle = t.bundle().remove("/linux/cgroupsPath").remove("/linux/resources").probe("sleep");
    let bundle = bundle.only_mounts(&["/proc", "/dev"]);
    let text = exec_alone(t, &bundle, &format!("{} /probe report", bundle.id()));
    let seen: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?}"));
    assert_eq!((&seen["groups"], &seen["setgroups"]), (&json!([65534]), &json!("deny")));
}

/// The terminal that is passed out is the program's own.
fn exec_with_a_terminal_by_a_root_that_may_not_set_groups(t: &Test) {
    let console = Console::new(t);
    let bundle = t.bundle().remove("/linux/cgroupsPath").remove("/linux/resources").probe("sleep");
    let options = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666"]);
    let pts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": options});
    let bundle = bundle.only_mounts(&["/proc", "/dev"]).push("/mounts", pts);
    let pid_file = t.dir().join("pid");
    let (socket, id) = (console.path().display(), bundle.id());
    let flags = format!("--tty --detach --console-socket '{socket}' --pid-file '{}'", pid_file.display());
    exec_alone(t, &bundle, &format!("{flags} {id} /probe terminal , sleep </dev/null; sleep 0.2"));
    let pid = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(137));
    let (_, mut master) = console.receive();
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]") && said.contains("\"controlling\":true"), "{said}");
}

/// The flag takes effect when the init process creates the program.
fn scheduler_is_reset_at_a_fork_with_an_init(t: &Test) {
    const RESET_ON_FORK: i64 = 0x4000_0000;
    t.only_orlop("it does not have this option");
    let scheduler = json!({"policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    let words = format!("syscall {} 0", libc::SYS_sched_getscheduler);
    let bundle = t.bundle().set("/process/scheduler", scheduler).probe(&words);
    for flags in [&[][..], &["--init"]] {
        let said = bundle.command("run", flags).output().success().json();
        assert_eq!(said["result"], i64::from(libc::SCHED_BATCH) | RESET_ON_FORK, "{flags:?}: {said}");
    }
}

/// The process that is visible there has no capability for it.
fn scheduler_is_set_in_a_joined_pid_namespace(t: &Test) {
    const RESET_ON_FORK: i64 = 0x4000_0000;
    const NICE: i64 = -3;
    t.only_orlop("it does not have this option");
    let first = t.bundle().probe("sleep").start();
    let pid = format!("/proc/{}/ns/pid", first.pid());
    let words = format!("syscall {} 0 , syscall {} 0 0", libc::SYS_sched_getscheduler, libc::SYS_getpriority);
    for (flags, flag) in [(json!([]), 0), (json!(["SCHED_FLAG_RESET_ON_FORK"]), RESET_ON_FORK)] {
        let scheduler = json!({"policy": "SCHED_BATCH", "nice": NICE, "flags": flags});
        let check = |said: &[Value]| {
            assert_eq!(said[0]["result"], i64::from(libc::SCHED_BATCH) | flag, "{said:?}");
            assert_eq!(said[1]["result"], 20 - NICE, "{said:?}");
        };
        let bundle = || t.bundle().set("/process/scheduler", scheduler.clone());
        for init in [&[][..], &["--init"]] {
            let joined = bundle().join("pid", &pid).probe(&words);
            check(&joined.command("run", init).output().success().lines());
        }
        let container = bundle().probe("sleep").start();
        check(&container.exec(&words).success().lines());
    }
}

/// The host side sets it.
fn deadline_scheduler_is_set_in_a_joined_pid_namespace(t: &Test) {
    t.only_orlop("it does not have this option");
    let times = [("runtime", 1_000_000), ("deadline", 100_000_000), ("period", 100_000_000)];
    let mut scheduler = json!({"policy": "SCHED_DEADLINE"});
    for (name, time) in times {
        scheduler[name] = json!(time);
    }
    let words = format!("syscall {} 0", libc::SYS_sched_getscheduler);
    let bundle = || t.bundle().set("/process/scheduler", scheduler.clone());
    let alone = bundle().probe(&words).try_run();
    if alone.code() != 0 {
        kit::skip(format!("SCHED_DEADLINE is not available: {alone}"));
    }
    let first = t.bundle().probe("sleep").start();
    let joined = || bundle().join("pid", &format!("/proc/{}/ns/pid", first.pid()));
    let deadline = 6;
    let run = joined().probe(&words).run();
    assert_eq!(run.json()["result"], deadline);
    let container = joined().probe("sleep").create();
    assert_eq!(
        kit::sys::syscall(libc::SYS_sched_getscheduler, [container.pid().into(), 0, 0, 0, 0, 0]),
        Ok(deadline)
    );
    container.start();
    assert_eq!(container.exec(&words).success().json()["result"], deadline);
    joined().command("run", &["--init"]).output().refused(&["/process/scheduler", "--init"]);
}

fn deadline_scheduler_and_cpuset_exclude_each_other(t: &Test) {
    t.v1("cpuset", "x");
    if std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
        kit::skip("one processor cannot be a part of all");
    }
    let time = 10_000_000;
    let scheduler = json!({"policy": "SCHED_DEADLINE", "runtime": 100_000, "deadline": time, "period": time});
    let bundle = t.bundle().set("/process/scheduler", scheduler).probe("exit 0");
    let alone = bundle.try_run();
    if alone.code() != 0 {
        kit::skip(format!("SCHED_DEADLINE is not available: {alone}"));
    }
    let limited = t.bundle().set("/process/scheduler", bundle.spec()["process"]["scheduler"].clone());
    let limited = limited.set("/linux/resources/cpu", json!({"cpus": "0"}));
    limited.try_run().refused(&["process scheduler can't be used together with AllowedCPUs"]);
}

fn umask_is_0022_by_default(t: &Test) {
    assert_eq!(t.bundle().report()["umask"], "0022");
}

fn umask_of_the_configuration_is_set(t: &Test) {
    assert_eq!(t.bundle().set("/process/user/umask", 0o027).report()["umask"], "0027");
}

fn umask_of_the_caller_does_not_matter(t: &Test) {
    let output = t.bundle().command("run", &[]).wrap("umask=0077").output().success();
    let seen = output.json();
    assert_eq!(seen["umask"], "0022");
    // What the runtime creates in the container has explicit modes.
    assert_eq!(seen["dev"]["null"]["mode"], "0666");
    assert_eq!(seen["dev"]["shm"]["mode"], "1777");
}

fn working_directory(t: &Test) {
    assert_eq!(t.bundle().directory("/var/lib").set("/process/cwd", "/var/lib").report()["cwd"], "/var/lib");
}

fn missing_working_directory_on_a_read_only_root_is_created(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", true).set("/process/cwd", "/not/there");
    assert_eq!(bundle.report()["cwd"], "/not/there");
}

fn missing_working_directory_is_created(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", false).set("/process/cwd", "/some/where");
    assert_eq!(bundle.report()["cwd"], "/some/where");
}

fn environment_keeps_its_order(t: &Test) {
    let env = json!(["B=2", "A=1", "EMPTY=", "EQUALS=a=b", "PATH=/bin", "HOME=/"]);
    assert_eq!(t.bundle().set("/process/env", env.clone()).report()["env"], env);
}

fn last_of_duplicate_variables_wins(t: &Test) {
    let seen = t.bundle().set("/process/env", json!(["A=first", "HOME=/", "A=last"])).report();
    let found: Vec<&str> = strings(&seen["env"]).into_iter().filter(|v| v.starts_with("A=")).collect();
    if t.is_orlop() {
        assert_eq!(found, ["A=last"]);
    } else {
        assert_eq!(found.last(), Some(&"A=last"));
    }
}

fn home_from_passwd(t: &Test) {
    let bundle =
        t.bundle().file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ncook:x:1000:1000::/galley:/bin/sh\n");
    let seen = bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).report();
    assert!(strings(&seen["env"]).contains(&"HOME=/galley"), "{}", seen["env"]);
    let seen = t.bundle().set("/process/user", json!({"uid": 77, "gid": 77})).report();
    assert!(strings(&seen["env"]).contains(&"HOME=/"), "{}", seen["env"]);
}

fn home_in_the_environment_is_kept(t: &Test) {
    let bundle = t.bundle().file("/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    let seen = bundle.push("/process/env", "HOME=/elsewhere").report();
    assert!(strings(&seen["env"]).contains(&"HOME=/elsewhere"));
}

fn callers_environment_is_not_inherited(t: &Test) {
    let output =
        t.bundle().command("run", &[]).env("CANARY", "sings").env("LD_LIBRARY_PATH", "/nest").output();
    let seen = output.success().json();
    let leaked: Vec<&str> = strings(&seen["env"])
        .into_iter()
        .filter(|v| v.starts_with("CANARY") || v.starts_with("LD_"))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

fn arguments_are_passed_unchanged(t: &Test) {
    let args = json!(["/probe", "report", ",", "say", "", "two words", "a\"quote", "é"]);
    let seen = t.bundle().set("/process/args", args.clone()).run().lines();
    assert_eq!(seen[0]["args"], args);
    assert_eq!(seen[1], json!(["", "two words", "a\"quote", "é"]));
}

fn program_is_searched_in_path(t: &Test) {
    let bundle = t.bundle().directory("/opt/bin").set("/process/env", json!(["PATH=/nowhere:/opt/bin"]));
    std::fs::hard_link(bundle.path("/probe"), bundle.path("/opt/bin/found-probe")).unwrap();
    let seen = bundle.set("/process/args", json!(["found-probe", "report"])).report();
    assert_eq!(seen["exe"], "/opt/bin/found-probe");
    assert_eq!(seen["args"][0], "found-probe");
}

/// Engines make exit code 127 from these words.
fn program_in_path_that_may_not_be_executed_is_not_found(t: &Test) {
    let bundle = t.bundle().file("/opt/plain", "text").set("/process/env", json!(["PATH=/opt"]));
    let words =
        |name: &str| format!("exec: \"{name}\": executable file not found in $PATH").replace('"', "\\\"");
    for name in ["plain", ""] {
        let bundle = t.bundle().file("/opt/plain", "text").set("/process/env", json!(["PATH=/opt"]));
        bundle.set("/process/args", json!([name])).try_run().refused(&[&words(name)]);
    }
    let container = bundle.probe("sleep").start();
    for name in ["plain", ""] {
        container.command("exec", &[name]).output().fails_with(255, &[&words(name)]);
    }
}

fn path_of_the_caller_is_not_searched(t: &Test) {
    let bundle = t.bundle().directory("/hidden").set("/process/env", json!(["PATH=/bin"]));
    std::fs::hard_link(bundle.path("/probe"), bundle.path("/hidden/hidden-probe")).unwrap();
    bundle.write();
    let call = bundle.set("/process/args", json!(["hidden-probe", "report"])).command("run", &[]);
    call.env("PATH", "/hidden").output().refused(&["hidden-probe", "executable file not found in $PATH"]);
}

fn relative_program_is_found_from_cwd(t: &Test) {
    let bundle = t.bundle().directory("/opt").set("/process/cwd", "/opt");
    std::fs::hard_link(bundle.path("/probe"), bundle.path("/opt/probe")).unwrap();
    assert_eq!(bundle.set("/process/args", json!(["./probe", "report"])).report()["exe"], "/opt/probe");
}

fn rlimits_are_set(t: &Test) {
    let limits = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_STACK", "soft": 1_048_576, "hard": 2_097_152},
    ]);
    let seen = t.bundle().set("/process/rlimits", limits).report();
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([100, 200]));
    assert_eq!(seen["rlimits"]["RLIMIT_CORE"], json!([0, 0]));
    assert_eq!(seen["rlimits"]["RLIMIT_STACK"], json!([1_048_576, 2_097_152]));
}

fn callers_limits_are_inherited(t: &Test) {
    let call = t.bundle().set("/process/rlimits", json!([])).command("run", &[]);
    let seen = call.wrap("nofile=777").output().success().json();
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([777, 777]));
}

fn unknown_rlimit_is_refused(t: &Test) {
    t.bundle().set("/process/rlimits/0/type", "RLIMIT_COFFEE").try_run().refused(&["RLIMIT_COFFEE"]);
}

fn duplicate_rlimit_is_refused(t: &Test) {
    t.only_orlop("it does not enforce this rule of the specification");
    let bundle = t.bundle().push("/process/rlimits", json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}));
    bundle.try_run().refused(&["RLIMIT_NOFILE", "/process/rlimits"]);
}

fn no_new_privileges(t: &Test) {
    assert_eq!(t.bundle().report()["no_new_privileges"], true);
}

fn new_privileges_are_possible_without_the_flag(t: &Test) {
    assert_eq!(t.bundle().set("/process/noNewPrivileges", false).report()["no_new_privileges"], false);
    assert_eq!(t.bundle().remove("/process/noNewPrivileges").report()["no_new_privileges"], false);
}

fn oom_score_is_raised(t: &Test) {
    assert_eq!(t.bundle().set("/process/oomScoreAdj", 500).report()["oom_score_adj"], 500);
}

fn only_three_descriptors(t: &Test) {
    let mut call = t.bundle().command("run", &[]);
    for _ in 0..12 {
        call = call.wrap("fd=/etc/hostname");
    }
    let seen = call.output().success().json();
    let numbers: Vec<&String> = seen["fds"].as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["0", "1", "2"], "{}", seen["fds"]);
}

fn preserved_descriptors(t: &Test) {
    let call = t.bundle().command("run", &["--preserve-fds", "1"]);
    let seen = call.wrap("fd=/etc/hostname").wrap("fd=/etc/hostname").output().success().json();
    let numbers: Vec<&String> = seen["fds"].as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["0", "1", "2", "3"], "{}", seen["fds"]);
}

fn sigpipe_is_default(t: &Test) {
    let seen = t.bundle().report();
    assert_eq!(seen["sigpipe_ignored"], false);
}

fn callers_signal_mask_is_not_inherited(t: &Test) {
    t.only_orlop("the specification does not say");
    let seen = t.bundle().command("run", &[]).wrap("block=15").wrap("block=2").output().success().json();
    assert_eq!(seen["signals_blocked"].as_str().unwrap().trim_start_matches('0'), "");
}

fn program_is_the_file_in_the_root(t: &Test) {
    let seen = t.bundle().report();
    assert_eq!(seen["exe"], "/probe");
    assert_eq!(seen["dumpable"], 1);
    assert_eq!(seen["threads"], "1");
}

fn standard_streams_are_the_callers(t: &Test) {
    let output =
        t.bundle().probe("stdin , complain aside , say done").command("run", &[]).input("abc\n").output();
    let output = output.success();
    assert_eq!(output.lines()[0]["stdin"], "abc\n");
    assert_eq!(output.lines()[1], json!(["done"]));
    assert_eq!(output.stderr, "aside\n");
}

fn sysctl_of_a_namespace(t: &Test) {
    let bundle =
        t.bundle().probe("read /proc/sys/net/ipv4/ip_unprivileged_port_start , read /proc/sys/kernel/msgmax");
    let sysctl = json!({"net.ipv4.ip_unprivileged_port_start": "81", "kernel.msgmax": "12345"});
    let before = std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap();
    let lines = bundle.set("/linux/sysctl", sysctl).run().lines();
    assert_eq!(lines[0]["read"], "81\n");
    assert_eq!(lines[1]["read"], "12345\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/msgmax").unwrap(), before);
}

fn sysctl_outside_namespaces_is_refused(t: &Test) {
    for (name, space) in
        [("kernel.msgmax", "ipc"), ("net.ipv4.ip_forward", "network"), ("vm.swappiness", "pid")]
    {
        let bundle = t.bundle().without_namespace(space).only_mounts(&["/proc", "/dev"]);
        bundle.set("/linux/sysctl", json!({name: "1"})).try_run().refused(&[name]);
    }
}

fn unknown_sysctl_is_refused(t: &Test) {
    let sysctl = json!({"net.ipv4.no_such_thing": "1"});
    t.bundle().set("/linux/sysctl", sysctl).try_run().refused(&["no_such_thing"]);
}
