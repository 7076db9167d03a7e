//! The life of a container: states, signals, exit codes, exec.

use kit::{Case, Test, Value, json};
use std::fs;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        from_create_to_delete,
        state_has_the_specified_fields,
        run_exits_as_the_program,
        run_exits_with_128_and_the_signal,
        run_forwards_signals,
        run_detached,
        run_keep,
        default_signal_is_term,
        signals_by_name_and_number,
        kill_of_a_stopped_container,
        kill_with_signal_0_only_checks,
        kill_all_without_pid_namespace,
        children_do_not_outlive_the_container,
        delete_of_a_running_container,
        delete_of_a_created_container,
        delete_of_an_unknown_container,
        kill_and_delete_by_regular_expression,
        bad_regular_expressions_are_refused,
        start_of_a_running_or_stopped_container_is_refused,
        zombie_is_stopped,
        pid_file_is_decimal_without_newline,
        pid_file_is_relative_to_the_caller,
        exec_runs_in_the_container,
        exec_exit_codes,
        exec_of_a_missing_program,
        exec_flags,
        exec_process_file,
        exec_detached,
        exec_needs_a_running_container,
        exec_inherits_the_configuration,
        exec_keeps_descriptors_out,
        exec_searches_path,
        orphans_die_with_the_pid_namespace,
        orphans_die_with_the_container_without_a_pid_namespace,
        init_forwards_signals_and_exits_as_its_child,
        container_without_a_process_is_created_or_refused,
        bundle_may_change_after_create,
        working_directory_is_the_default_bundle,
        valid_ids_are_accepted,
    ]
}

fn from_create_to_delete(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    assert_eq!(container.state()["pid"], container.pid());
    container.start();
    assert_eq!(container.status(), "running");
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.delete();
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
    container.command("state", &[]).output().refused(&["does not exist"]);
}

fn state_has_the_specified_fields(t: &Test) {
    let bundle = t.bundle().probe("sleep").set("/annotations", json!({"colour": "blue"}));
    let container = bundle.start();
    let state = container.state();
    assert_eq!(state["id"], bundle.id());
    assert_eq!(state["bundle"], *bundle.dir().to_string_lossy());
    assert_eq!(state["rootfs"], bundle.path("").to_string_lossy().trim_end_matches('/'));
    assert_eq!(state["annotations"]["colour"], "blue");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    let created = state["created"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.contains('T'), "{created}");
    container.kill("KILL");
    container.wait();
    assert_eq!(container.state()["pid"], 0, "no pid of a process that has exited");
}

fn run_exits_as_the_program(t: &Test) {
    for code in [0, 1, 7, 255] {
        t.bundle().probe(&format!("exit {code}")).try_run().exits(code);
    }
}

fn run_exits_with_128_and_the_signal(t: &Test) {
    // Without a pid namespace: its init cannot kill itself.
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGABRT] {
        t.bundle().without_namespace("pid").probe(&format!("signal {signal}")).try_run().exits(128 + signal);
    }
}

fn run_forwards_signals(t: &Test) {
    let running = t.bundle().probe("signals").spawn();
    running.wait_for("ready");
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
        running.signal(signal);
        running.wait_for(&format!("{{\"signal\":{signal}}}"));
    }
    running.signal(libc::SIGUSR2);
    running.wait().exits(0);
}

fn run_detached(t: &Test) {
    let bundle = t.bundle().probe("say alive , sleep");
    let pid_file = t.dir().join("pid");
    bundle.command("run", &["-d", "--pid-file", pid_file.to_str().unwrap()]).output().success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &json!(pid)));
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
}

fn run_keep(t: &Test) {
    let bundle = t.bundle().probe("exit 3");
    bundle.command("run", &["--keep"]).output().exits(3);
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    assert_eq!(state["status"], "stopped");
    t.runtime(["delete", bundle.id()]).output().success();
}

fn default_signal_is_term(t: &Test) {
    let container = t.bundle().probe("signals").start();
    container.first_line();
    container.command("kill", &[]).output().success();
    t.wait_for("the signal", || container.stdout().contains("{\"signal\":15}"));
}

fn signals_by_name_and_number(t: &Test) {
    let container = t.bundle().probe("signals").start();
    container.first_line();
    for (word, number) in
        [("1", 1), ("HUP", 1), ("SIGUSR1", 10), ("usr1", 10), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("40", 40)]
    {
        if !t.is_orlop() && word.contains("RTM") {
            continue;
        }
        let before = container.stdout().lines().count();
        container.kill(word);
        t.wait_for(word, || container.stdout().lines().count() > before);
        assert!(container.stdout().trim().ends_with(&format!("{{\"signal\":{number}}}")), "{word}");
    }
    for word in ["SIGSING", "99", "-1"] {
        container.command("kill", &["--", word]).output().refused(&[]);
    }
}

fn kill_of_a_stopped_container(t: &Test) {
    let container = t.bundle().probe("exit 0").start();
    container.wait();
    container.command("kill", &["TERM"]).output().refused(&["container not running"]);
    t.runtime(["kill", "--all", container.id(), "9"]).output().success();
    t.runtime(["kill", "no-such-container", "9"]).output().refused(&["does not exist"]);
}

fn kill_with_signal_0_only_checks(t: &Test) {
    t.only_orlop("it needs another spelling");
    let container = t.bundle().probe("sleep").start();
    container.kill("0");
    assert_eq!(container.status(), "running");
}

fn kill_all_without_pid_namespace(t: &Test) {
    let bundle = t.bundle().without_namespace("pid").probe("spawn sleep , spawn sleep , say ready , sleep");
    let container = bundle.start();
    t.wait_for("the children", || container.stdout().contains("ready"));
    t.runtime(["kill", "--all", bundle.id(), "KILL"]).output().success();
    assert_eq!(container.wait(), 137);
    reap_orphans(t, &container.stdout());
    container.delete();
}

/// Orphans of a container without a pid namespace become children of this process: none of them may survive.
fn reap_orphans(t: &Test, printed: &str) {
    for line in printed.lines() {
        let Ok(said) = serde_json_from(line) else { continue };
        if let Some(pid) = said["spawned"].as_i64() {
            let ended = kit::sys::reap(pid as i32, Duration::from_secs(5));
            assert_eq!(ended, Some(137), "{}: process {pid} is still alive", t.name());
        }
    }
}

fn serde_json_from(line: &str) -> Result<Value, ()> {
    line.parse().map_err(drop)
}

fn children_do_not_outlive_the_container(t: &Test) {
    let bundle = t.bundle().without_namespace("pid").probe("spawn sleep , spawn hold , say ready , sleep");
    let container = bundle.start();
    t.wait_for("the children", || container.stdout().contains("ready"));
    container.command("delete", &["--force"]).output().success();
    assert_eq!(container.wait(), 137);
    reap_orphans(t, &container.stdout());
}

fn delete_of_a_running_container(t: &Test) {
    let container = t.bundle().probe("hold").start();
    container.command("delete", &[]).output().refused(&["running"]);
    assert_eq!(container.status(), "running");
    container.command("delete", &["--force"]).output().success();
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
}

fn delete_of_a_created_container(t: &Test) {
    let container = t.bundle().probe("say alive").create();
    container.delete();
    assert!(t.leaks().is_empty(), "{:?}", t.leaks());
    assert_eq!(container.stdout(), "");
}

fn delete_of_an_unknown_container(t: &Test) {
    t.runtime(["delete", "no-such-container"]).output().refused(&["does not exist"]);
    t.runtime(["delete", "--force", "no-such-container"]).output().success();
}

fn kill_and_delete_by_regular_expression(t: &Test) {
    let bundles = ["red-one", "red-two", "blue-one"].map(|name| {
        let bundle = t.bundle();
        let id = format!("{}-{name}", bundle.id());
        bundle.named(&id).probe("sleep")
    });
    let containers: Vec<_> = bundles.iter().map(kit::Bundle::start).collect();
    t.runtime(["kill", "--regex", "no-such-container.*", "KILL"]).output().success();
    assert!(containers.iter().all(|c| c.status() == "running"));
    // The expression matches any part of an id, not only all of it.
    t.runtime(["kill", "-r", "red-", "KILL"]).output().success();
    assert_eq!([containers[0].wait(), containers[1].wait()], [137, 137]);
    assert_eq!(containers[2].status(), "running");
    if t.is_orlop() {
        let refused = t.runtime(["delete", "--regex", "(one|two)$"]).output();
        refused.refused(&["blue-one", "cannot delete 1 of 3 containers"]);
    } else {
        t.runtime(["delete", "--regex", "red-"]).output().success();
    }
    t.runtime(["state", containers[0].id()]).output().refused(&["does not exist"]);
    t.runtime(["state", containers[1].id()]).output().refused(&["does not exist"]);
    assert_eq!(containers[2].status(), "running");
    t.runtime(["delete", "--force", "--regex", "^orlop-.*-blue-.ne$"]).output().success();
    assert_eq!(containers[2].wait(), 137);
    t.runtime(["state", containers[2].id()]).output().refused(&["does not exist"]);
    t.runtime(["delete", "--regex", "."]).output().success();
}

fn bad_regular_expressions_are_refused(t: &Test) {
    t.only_orlop("it reports nothing");
    t.runtime(["delete", "--regex", "x("]).output().refused(&["--regex", "x("]);
    t.runtime(["kill", "--regex", "*", "KILL"]).output().refused(&["--regex"]);
    t.runtime(["kill", "--regex", "--all", "x", "KILL"]).output().refused(&["--regex", "--all"]);
    t.runtime(["kill", "--regex", "x", "SIGSING"]).output().refused(&["SIGSING"]);
}

fn start_of_a_running_or_stopped_container_is_refused(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    container.command("start", &[]).output().refused(&["running"]);
    container.kill("KILL");
    container.wait();
    container.command("start", &[]).output().refused(&["stopped"]);
    t.runtime(["start", "no-such-container"]).output().refused(&["does not exist"]);
}

fn zombie_is_stopped(t: &Test) {
    let container = t.bundle().probe("exit 0").start();
    // The container is a zombie until this process, its parent, reaps it.
    t.wait_for("the process to exit", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
        stat.rsplit(')').next().unwrap().trim().starts_with('Z')
    });
    assert_eq!(container.status(), "stopped");
    container.delete();
}

fn pid_file_is_decimal_without_newline(t: &Test) {
    let container = t.bundle().probe("sleep").create();
    let text = fs::read_to_string(t.dir().join(format!("{}.pid", container.id()))).unwrap();
    assert_eq!(text, container.pid().to_string(), "decimal, no newline");
}

fn pid_file_is_relative_to_the_caller(t: &Test) {
    let bundle = t.bundle().probe("exit 0");
    bundle.command("run", &["--pid-file", "here.pid"]).cwd(t.dir()).output().success();
    assert!(t.dir().join("here.pid").exists() || !bundle.dir().join("here.pid").exists());
}

fn exec_runs_in_the_container(t: &Test) {
    let container = t.bundle().namespace("cgroup").probe("sleep").start();
    let seen = container.exec("report").success().json();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let own = fs::read_link(format!("/proc/{}/ns/{kind}", container.pid())).unwrap();
        assert_eq!(seen["namespaces"][kind], *own.to_string_lossy(), "{kind}");
    }
    assert_eq!((&seen["hostname"], &seen["ppid"], &seen["cwd"]), (&json!("orlop"), &json!(0), &json!("/")));
    assert_ne!(seen["pid"], 1);
}

fn exec_exit_codes(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    for code in [0, 1, 42, 255] {
        container.exec(&format!("exit {code}")).exits(code);
    }
    container.exec("signal 9").exits(137);
    container.exec("signal 15").exits(143);
}

fn exec_of_a_missing_program(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let exec = |program: &str| t.runtime(["exec", container.id(), program]).output();
    exec("/no/such").fails_with(255, &["/no/such", "no such file or directory"]);
    exec("nothing").fails_with(255, &["nothing", "executable file not found in $PATH"]);
    exec("/proc").fails_with(255, &["/proc"]);
    t.runtime(["exec", "no-such-container", "/probe"]).output().fails_with(255, &["does not exist"]);
}

fn exec_flags(t: &Test) {
    let container = t.bundle().directory("/var/lib").probe("sleep").start();
    let flags =
        ["--cwd", "/var/lib", "-e", "COLOUR=blue", "-e", "SHAPE=round", "--user", "1000:1001", "-g", "7"];
    let call = t.runtime(["exec"]).args(flags).args([container.id(), "/probe", "report"]);
    let seen = call.output().success().json();
    assert_eq!(seen["cwd"], "/var/lib");
    assert_eq!(
        (&seen["uid"][0], &seen["gid"][0], &seen["groups"]),
        (&json!(1000), &json!(1001), &json!([7]))
    );
    let env = seen["env"].as_array().unwrap();
    assert!(env.contains(&json!("COLOUR=blue")) && env.contains(&json!("SHAPE=round")), "{env:?}");
    let call = t.runtime(["exec", "--cap", "CAP_NET_RAW", container.id(), "/probe", "report"]);
    let caps = call.output().success().json()["caps"]["bounding"].clone();
    assert!(caps.as_array().unwrap().contains(&json!("CAP_NET_RAW")), "{caps}");
}

fn exec_process_file(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let process = json!({
        "args": ["/probe", "report"], "cwd": "/dev", "env": ["ONLY=this"], "user": {"uid": 3, "gid": 4, "umask": 63},
        "capabilities": {"bounding": ["CAP_KILL"]}, "noNewPrivileges": true,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}], "oomScoreAdj": 300,
    });
    let file = t.dir().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    let seen =
        t.runtime(["exec", "--process", file.to_str().unwrap(), container.id()]).output().success().json();
    assert_eq!((&seen["cwd"], &seen["uid"][0], &seen["gid"][0]), (&json!("/dev"), &json!(3), &json!(4)));
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([50, 60]));
    assert!(!t.is_orlop() || seen["umask"] == "0077", "{}", seen["umask"]);
    assert_eq!(seen["caps"]["bounding"], json!(["CAP_KILL"]));
    assert!(seen["env"].as_array().unwrap().contains(&json!("ONLY=this")));
    assert_eq!(seen["no_new_privileges"], true);
}

fn exec_detached(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let pid_file = t.dir().join("exec.pid");
    let flags =
        ["exec", "-d", "--pid-file", pid_file.to_str().unwrap(), container.id(), "/probe", "exit", "5"];
    t.runtime(flags).output().success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(
        kit::sys::reap(pid, Duration::from_secs(5)),
        Some(5),
        "the process is a child of the nearest subreaper"
    );
}

fn exec_needs_a_running_container(t: &Test) {
    let container = t.bundle().probe("exit 0").start();
    container.wait();
    container.exec("say x").fails_with(255, &["stopped"]);
}

fn exec_inherits_the_configuration(t: &Test) {
    let container = t.bundle().set("/process/oomScoreAdj", 400).probe("sleep").start();
    let seen = container.exec("report").success().json();
    assert_eq!(seen["caps"]["bounding"], json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]));
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([1024, 1024]));
    assert_eq!(seen["no_new_privileges"], true);
    assert_eq!(seen["umask"], "0022");
    assert!(seen["env"].as_array().unwrap().contains(&json!("TERM=xterm")));
}

fn exec_keeps_descriptors_out(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let mut call = t.runtime(["exec", container.id(), "/probe", "report"]);
    for _ in 0..5 {
        call = call.wrap("fd=/etc/hostname");
    }
    let seen = call.output().success().json();
    let numbers: Vec<&String> = seen["fds"].as_object().unwrap().keys().collect();
    assert_eq!(numbers, ["0", "1", "2"], "{}", seen["fds"]);
}

fn exec_searches_path(t: &Test) {
    let bundle = t.bundle().directory("/opt").set("/process/env", json!(["PATH=/nowhere:/opt"]));
    fs::hard_link(bundle.path("/probe"), bundle.path("/opt/found-probe")).unwrap();
    let container = bundle.probe("sleep").start();
    t.runtime(["exec", container.id(), "found-probe", "exit", "9"]).output().exits(9);
}

fn orphans_die_with_the_pid_namespace(t: &Test) {
    // A grandchild outlives the process: the pid namespace kills it.
    t.bundle().probe("orphan sleep , exit 4").try_run().exits(4);
}

fn orphans_die_with_the_container_without_a_pid_namespace(t: &Test) {
    let bundle = t.bundle().without_namespace("pid").probe("orphan sleep , exit 4");
    bundle.try_run().exits(4);
}

/// `--init`: the stub stays as the first process, forwards signals, reaps, and exits as its child did.
fn init_forwards_signals_and_exits_as_its_child(t: &Test) {
    t.only_orlop("it does not have this option");
    let seen = t.bundle().command("run", &["--init"]).output().success().json();
    assert_eq!((&seen["pid"], &seen["ppid"]), (&json!(2), &json!(1)));
    t.bundle().probe("exit 6").command("run", &["--init"]).output().exits(6);
    t.bundle().probe("signal 9").command("run", &["--init"]).output().exits(137);
    let running = t.bundle().probe("signals").command("run", &["--init"]).spawn();
    running.wait_for("ready");
    running.signal(libc::SIGHUP);
    running.wait_for("{\"signal\":1}");
    running.signal(libc::SIGUSR2);
    running.wait().exits(0);
}

fn container_without_a_process_is_created_or_refused(t: &Test) {
    t.only_orlop("it requires a process at creation");
    // runtime-spec: process is required by start alone.
    let bundle = t.bundle().remove("/process");
    let output = bundle.try_create();
    if output.code() == 0 {
        let pid = t.runtime(["state", bundle.id()]).output().success().document()["pid"].as_i64().unwrap();
        // Without a process in the configuration it has no capabilities.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert!(status.contains(&format!("{name}:\t0000000000000000\n")), "{status}");
        }
        t.runtime(["start", bundle.id()]).output().refused(&["process"]);
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        kit::sys::reap(pid as i32, Duration::from_secs(5));
    } else {
        output.refused(&["/process"]);
    }
}

fn bundle_may_change_after_create(t: &Test) {
    let bundle = t.bundle().probe("say first");
    let container = bundle.create();
    bundle.probe("say second").write();
    container.start();
    assert_eq!(container.wait(), 0);
    assert_eq!(container.stdout(), "[\"first\"]\n");
}

fn working_directory_is_the_default_bundle(t: &Test) {
    let bundle = t.bundle().probe("exit 3");
    bundle.write();
    t.runtime(["run", bundle.id()]).cwd(bundle.dir()).output().exits(3);
}

fn valid_ids_are_accepted(t: &Test) {
    for id in [
        "a",
        "A-b_c.d+e",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "buildah-buildah123",
    ] {
        let bundle = t.bundle().probe("exit 0").named(id);
        bundle.try_run().exits(0);
    }
}
