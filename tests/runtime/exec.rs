//! `exec`: a process under the container's policy, and what its caller may choose.

use kit::{Case, Console, Container, Output, Test, Value, json};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        process_file_inherits_the_policy,
        process_file_may_set_other_values,
        no_new_privileges_of_the_container_holds,
        exec_loads_the_filter_of_the_container,
        a_container_without_a_recorded_policy_gets_it_from_the_configuration,
        process_file_from_stdin,
        an_unusable_process_file_is_refused,
        command_and_process_file_exclude_each_other,
        affinity_is_that_of_the_cgroup,
        affinity_of_the_process_file_is_set,
        no_working_directory_is_created,
        the_session_keyring_of_the_container_is_joined,
        preserved_descriptors_are_passed,
        descriptors_that_are_not_open_are_refused,
        a_paused_container_is_refused,
        the_pidfd_is_sent_to_the_socket,
        a_process_file_with_a_terminal_gets_a_console,
        a_terminal_is_allocated_only_on_request,
        console_socket_and_terminal_go_together,
        the_pid_file_is_replaced,
        failures_exit_with_255,
        the_process_is_a_child_of_the_nearest_subreaper,
    ]
}

/// `exec --process` of a minimal process with `more` merged into it.
fn run(container: &Container<'_>, t: &Test, more: &Value, flags: &[&str]) -> Output {
    let mut process = json!({"args": ["/probe", "report"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    for (name, value) in more.as_object().unwrap() {
        process[name.as_str()] = value.clone();
    }
    let file = t.dir().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    let words = ["exec", "--process", file.to_str().unwrap()];
    t.runtime(words).args(flags.iter().copied()).arg(container.id()).output()
}

fn process_file_inherits_the_policy(t: &Test) {
    let bundle = t.bundle().set("/process/oomScoreAdj", 321).set("/process/user/umask", 0o57);
    let bundle = bundle
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6}))
        .set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 3}))
        .set("/linux/personality", json!({"domain": "LINUX32"}));
    let container = bundle.probe("report , sleep").start();
    let (first, seen) = (container.first_line(), run(&container, t, &json!({}), &[]).success().json());
    let mut names =
        vec!["caps", "rlimits", "no_new_privileges", "personality", "machine", "namespaces", "cwd"];
    if t.is_orlop() {
        names.extend(["umask", "oom_score_adj", "nice", "seccomp", "groups"]);
    }
    for name in names {
        assert_eq!(seen[name], first[name], "{name}");
    }
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([1024, 1024]));
    assert_eq!(seen["no_new_privileges"], true);
    assert_eq!(seen["personality"], 8);
    if t.is_orlop() {
        assert_eq!((&seen["umask"], &seen["oom_score_adj"]), (&json!("0057"), &json!(321)));
        assert_eq!(seen["nice"], 3);
        for (call, args, result) in [
            (libc::SYS_ioprio_get, "1 0", (2 << 13) | 6),
            (libc::SYS_sched_getscheduler, "0", libc::SCHED_BATCH),
        ] {
            let words = format!("/probe syscall {call} {args}");
            let args: Vec<&str> = words.split(' ').collect();
            let said = run(&container, t, &json!({"args": args}), &[]).success().json();
            assert_eq!(said["result"], result, "{said}");
        }
    }
}

fn process_file_may_set_other_values(t: &Test) {
    let container = t.bundle().set("/process/oomScoreAdj", 321).probe("sleep").start();
    let more = json!({
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}], "oomScoreAdj": 400,
        "capabilities": {"bounding": ["CAP_KILL"]}, "user": {"uid": 5, "gid": 6, "umask": 1, "additionalGids": [9]},
    });
    let seen = run(&container, t, &more, &[]).success().json();
    assert_eq!(seen["rlimits"]["RLIMIT_NOFILE"], json!([50, 60]));
    assert_eq!(seen["caps"]["bounding"], json!(["CAP_KILL"]));
    assert_eq!((&seen["uid"][0], &seen["gid"][0], &seen["groups"]), (&json!(5), &json!(6), &json!([9])));
    if t.is_orlop() {
        assert_eq!((&seen["umask"], &seen["oom_score_adj"]), (&json!("0001"), &json!(400)));
    }
}

/// `noNewPrivileges` of the container holds for every process, even if the file says otherwise.
fn no_new_privileges_of_the_container_holds(t: &Test) {
    t.only_orlop("it follows the file");
    let container = t.bundle().probe("sleep").start();
    let seen = run(&container, t, &json!({"noNewPrivileges": false}), &[]).success().json();
    assert_eq!(seen["no_new_privileges"], true);
    let without = t.bundle().set("/process/noNewPrivileges", false).probe("sleep").start();
    assert_eq!(run(&without, t, &json!({}), &[]).success().json()["no_new_privileges"], false);
    let asked = run(&without, t, &json!({"noNewPrivileges": true}), &[]).success().json();
    assert_eq!(asked["no_new_privileges"], true);
}

fn filter() -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [],
        "syscalls": [{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]})
}

fn exec_loads_the_filter_of_the_container(t: &Test) {
    for nnp in [true, false] {
        let bundle = t.bundle().set("/linux/seccomp", filter()).set("/process/noNewPrivileges", nnp);
        let container = bundle.probe("sleep").start();
        let call = format!("syscall {} 0 0", libc::SYS_getpriority);
        let args: Vec<&str> = std::iter::once("/probe").chain(call.split(' ')).collect();
        let seen = run(&container, t, &json!({"args": args}), &[]).success().json();
        assert_ne!(seen["errno"], "", "{seen}");
        let seen = run(&container, t, &json!({}), &[]).success().json();
        assert_eq!(seen["caps"]["effective"], container.exec("report").success().json()["caps"]["effective"]);
    }
}

/// A container created before policies were recorded has the configuration alone.
fn a_container_without_a_recorded_policy_gets_it_from_the_configuration(t: &Test) {
    t.only_orlop("its state file differs");
    let bundle = t.bundle().set("/linux/seccomp", filter()).set("/process/oomScoreAdj", 99);
    let container = bundle.probe("sleep").start();
    let file = t.root().join(container.id()).join("journal");
    let text = fs::read(&file).unwrap();
    let at = text.windows(9).position(|w| w == b"\n#config ").expect("the state has a configuration") + 1;
    let line_end = at + text[at..].iter().position(|b| *b == b'\n').unwrap();
    let line = std::str::from_utf8(&text[at + 8..line_end]).unwrap();
    let (config, policy) = line.split_once(' ').unwrap();
    let (config, policy): (usize, usize) = (config.parse().unwrap(), policy.parse().unwrap());
    assert_ne!(policy, 0);
    let (head, body) = (format!("#config {config} 0\n"), &text[line_end + 1..]);
    let parts = [&text[..at], head.as_bytes(), &body[..=config], &body[config + 1 + policy..]];
    fs::write(&file, parts.concat()).unwrap();
    let words = format!("syscall {} 0 0", libc::SYS_getpriority);
    assert_ne!(container.exec(&words).success().json()["errno"], "");
    assert_eq!(run(&container, t, &json!({}), &[]).success().json()["oom_score_adj"], 99);
}

fn process_file_from_stdin(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let text = json!({"args": ["/probe", "exit", "6"], "cwd": "/"}).to_string();
    t.runtime(["exec", "--process", "-", container.id()]).input(&text).output().exits(6);
    t.runtime(["exec", "-p=-", container.id()]).input(&text).output().exits(6);
}

fn an_unusable_process_file_is_refused(t: &Test) {
    t.only_orlop("its messages differ");
    let container = t.bundle().probe("sleep").start();
    let file = t.dir().join("bad.json");
    let path = file.to_str().unwrap();
    let call = || t.runtime(["exec", "--process", path, container.id()]).output();
    call().fails_with(255, &[path, "no such file or directory"]);
    for (text, fragments) in [
        ("{\"cwd\": \"/\",\n  \"args\": [oops]}", &["line 2", "column 12"][..]),
        ("", &["line 1", "column 0"]),
        ("{\"cwd\": \"/\", \"args\": \"sh\"}", &["/args"]),
        ("{\"args\": [\"sh\"], \"cwd\": \"relative\"}", &["/cwd"]),
        ("{\"args\": [], \"cwd\": \"/\"}", &["/args"]),
        ("{\"args\": [\"sh\"]}", &["/cwd"]),
    ] {
        fs::write(&file, text).unwrap();
        call().fails_with(255, fragments);
    }
    t.runtime(["exec", "--process", t.dir().to_str().unwrap(), container.id()])
        .output()
        .fails_with(255, &["is a directory"]);
}

fn command_and_process_file_exclude_each_other(t: &Test) {
    t.only_orlop("it uses the file");
    let container = t.bundle().probe("sleep").start();
    t.runtime(["exec", "-p", "x", container.id(), "sh"]).output().fails_with(255, &["--process"]);
    t.runtime(["exec", container.id()]).output().fails_with(255, &["process args cannot be empty"]);
}

/// The first processor that this process may use, if it may use more than one.
fn first_of_several_processors() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
    if !list.contains([',', '-']) {
        kit::skip("one processor only");
    }
    list.chars().take_while(char::is_ascii_digit).collect()
}

fn affinity_is_that_of_the_cgroup(t: &Test) {
    let one = first_of_several_processors();
    let container = t.bundle().probe("report , sleep").start();
    let all = container.first_line()["affinity"].clone();
    let call = t.runtime(["exec", container.id(), "/probe", "report"]).wrap(&format!("processor={one}"));
    assert_eq!(call.output().success().json()["affinity"], all, "not the caller's affinity");
}

fn affinity_of_the_process_file_is_set(t: &Test) {
    t.only_orlop("it does not support execCPUAffinity");
    let one = first_of_several_processors();
    let container = t.bundle().set("/process/execCPUAffinity", json!({"final": one})).probe("sleep").start();
    for seen in [run(&container, t, &json!({}), &[]), container.exec("report")] {
        assert_eq!(seen.success().json()["affinity"], json!(one));
    }
}

fn the_session_keyring_of_the_container_is_joined(t: &Test) {
    // KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING.
    let words = format!("syscall {} 0 -3 0", libc::SYS_keyctl);
    let named = |mut bundle: kit::Bundle<'_>, user: u32| {
        bundle = bundle.set("/process/user", json!({"uid": user, "gid": user}));
        let container = bundle.probe(&format!("{words} , sleep")).start();
        let own = container.first_line()["result"].clone();
        if own.as_i64().is_none_or(|serial| serial <= 0) {
            kit::skip(format!("no keyrings: {own}"));
        }
        for _ in 0..2 {
            assert_eq!(container.exec(&words).success().json()["result"], own, "user {user}");
        }
        own
    };
    let keyrings = [
        named(t.bundle(), 0),
        named(t.bundle(), 1000),
        named(t.bundle().user_namespace(100_000), 0),
        named(t.bundle().user_namespace(100_000), 1000),
    ];
    for (i, keyring) in keyrings.iter().enumerate() {
        assert!(!keyrings[..i].contains(keyring), "each container has its own: {keyrings:?}");
    }
}

fn preserved_descriptors_are_passed(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    for (count, expected) in [("0", 3), ("1", 4), ("2", 5)] {
        let words = ["exec", "--preserve-fds", count, container.id(), "/probe", "report"];
        let mut call = t.runtime(words);
        for _ in 0..3 {
            call = call.wrap("fd=/etc/hostname");
        }
        let seen = call.output().success().json();
        assert_eq!(seen["fds"].as_object().unwrap().len(), expected, "{count}: {}", seen["fds"]);
    }
}

fn descriptors_that_are_not_open_are_refused(t: &Test) {
    t.only_orlop("it passes those that are open");
    let container = t.bundle().probe("sleep").start();
    let words = ["exec", "--preserve-fds", "2", container.id(), "/probe", "report"];
    t.runtime(words).wrap("fd=/etc/hostname").output().fails_with(255, &["--preserve-fds 2", "descriptor 4"]);
}

fn no_working_directory_is_created(t: &Test) {
    let container = t.bundle().set("/root/readonly", false).probe("sleep").start();
    let words = ["exec", "--cwd", "/not/there", container.id(), "/probe", "exit", "0"];
    t.runtime(words).output().fails_with(255, &["working directory /not/there", "no such file or directory"]);
    let root = format!("/proc/{}/root/not", container.pid());
    assert!(!Path::new(&root).exists(), "exec has created a directory");
}

fn a_paused_container_is_refused(t: &Test) {
    t.only_orlop("the installed version may lack this flag");
    t.needs_freezer();
    let container = t.bundle().probe("sleep").start();
    t.runtime(["pause", container.id()]).output().success();
    container.exec("exit 0").fails_with(255, &["cannot exec in a paused container"]);
    let words = ["exec", "--ignore-paused", container.id(), "/probe", "exit", "4"];
    let running = t.runtime(words).spawn();
    std::thread::sleep(Duration::from_millis(50));
    t.runtime(["resume", container.id()]).output().success();
    running.wait().exits(4);
}

fn the_pidfd_is_sent_to_the_socket(t: &Test) {
    t.only_orlop("the installed version may lack this flag");
    let container = t.bundle().probe("sleep").start();
    let path = t.dir().join("pidfd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let pid_file = t.dir().join("pid");
    let words = ["exec", "-d", "--pidfd-socket", path.to_str().unwrap()];
    let call = t.runtime(words).args(["--pid-file", pid_file.to_str().unwrap()]);
    call.args([container.id(), "/probe", "sleep"]).output().success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    let (stream, _) = listener.accept().unwrap();
    let pidfd = kit::sys::receive_fd(stream.as_raw_fd());
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    assert!(info.lines().any(|l| l.split_whitespace().eq(["Pid:", &pid.to_string()])), "{info}");
    kit::sys::kill(pid, libc::SIGKILL);
    kit::sys::reap(pid, Duration::from_secs(5));
    let words = ["exec", "--pidfd-socket", "/no/such/socket", container.id(), "/probe", "exit", "0"];
    t.runtime(words).output().fails_with(255, &["/no/such/socket"]);
}

fn a_process_file_with_a_terminal_gets_a_console(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let console = Console::new(t);
    let pid_file = t.dir().join("exec.pid");
    let more = json!({
        "args": ["/probe", "terminal", ",", "exit", "2"], "terminal": true,
        "consoleSize": {"height": 21, "width": 67},
    });
    let flags = ["-d", "--console-socket", console.path().to_str().unwrap()];
    let flags = [&flags[..], &["--pid-file", pid_file.to_str().unwrap()]].concat();
    run(&container, t, &more, &flags).success();
    let (text, mut master) = console.receive();
    assert!((1..4096).contains(&text.len()));
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]"), "{said}");
    assert!(said.contains("\"rows\":21") && said.contains("\"columns\":67"), "{said}");
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(2));
}

/// The terminal of the container's own process does not matter for exec.
fn a_terminal_is_allocated_only_on_request(t: &Test) {
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).probe("sleep");
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let _master = console.receive();
    container.start();
    let seen = container.exec("terminal").success().json();
    assert_eq!(seen["isatty"], json!([false, false, false]));
}

fn console_socket_and_terminal_go_together(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let console = Console::new(t);
    let path = console.path().to_str().unwrap();
    for flags in [&["--console-socket", path][..], &["-d", "--console-socket", path], &["-d", "-t"]] {
        let call = t.runtime(["exec"]).args(flags.iter().copied());
        call.args([container.id(), "/probe", "exit", "0"]).output().fails_with(255, &["console"]);
    }
    let words = ["exec", "-d", "-t", "--console-socket", "/no/such/socket", container.id(), "/probe"];
    t.runtime(words).args(["exit", "0"]).output().fails_with(255, &["/no/such/socket"]);
}

fn the_pid_file_is_replaced(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let file = t.dir().join("exec.pid");
    fs::write(&file, "an old one").unwrap();
    let before = fs::File::open(&file).unwrap();
    // Relative to the caller's directory.
    let call = t.runtime(["exec", "--pid-file", "exec.pid", container.id(), "/probe", "exit", "0"]);
    call.cwd(t.dir()).output().success();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()), "{text:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let old = fs::read_to_string(format!("/proc/self/fd/{}", before.as_raw_fd())).unwrap();
    assert_eq!(old, "an old one", "the file is replaced, not overwritten");
    let words = ["exec", "--pid-file", "/no/such/dir/pid", container.id(), "/probe", "sleep"];
    t.runtime(words).output().fails_with(255, &["/no/such/dir"]);
}

fn failures_exit_with_255(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    t.runtime(["exec", "no-such-container", "/probe"]).output().fails_with(255, &["does not exist"]);
    container.command("exec", &["/no/program"]).output().fails_with(255, &["/no/program"]);
    let words = ["exec", "--cwd", "/no/directory", container.id(), "/no/program"];
    assert_eq!(t.runtime(words).output().code(), 255);
    container.exec("exit 255").exits(255);
    container.exec("exit 1").exits(1);
    container.exec("signal 9").exits(137);
}

fn the_process_is_a_child_of_the_nearest_subreaper(t: &Test) {
    let container = t.bundle().probe("sleep").start();
    let pid_file = t.dir().join("exec.pid");
    let flags = ["-d", "--pid-file", pid_file.to_str().unwrap()];
    run(&container, t, &json!({"args": ["/probe", "sleep"]}), &flags).success();
    let pid: i32 = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[1], std::process::id().to_string(), "its parent is the subreaper: {stat}");
    assert_eq!((fields[2], fields[3]), (fields[2], fields[2]), "it leads its session: {stat}");
    kit::sys::kill(pid, libc::SIGKILL);
    assert_eq!(kit::sys::reap(pid, Duration::from_secs(5)), Some(137));
}
