//! The six kinds of hooks: where and when they run, their input, and the effect of a failure.

use kit::{Bundle, Case, Test, Value, json};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        all_kinds_run_in_order,
        hooks_get_the_state_on_standard_input,
        hooks_run_in_the_specified_namespaces,
        create_container_hook_in_a_user_namespace_is_the_hosts_program,
        create_container_hooks_start_in_the_root_file_system,
        several_of_a_kind_keep_their_order,
        hooks_get_their_arguments_and_environment,
        failing_hook_stops_creation,
        failing_start_container_hook_stops_start,
        start_container_hook_that_the_filter_kills_is_named,
        failing_poststart_hook_stops_the_container,
        failing_poststop_hook_is_a_warning,
        missing_hook_is_refused,
        hook_is_killed_after_its_timeout,
        hook_may_leave_its_input_unread,
        hook_gets_the_annotations,
        relative_hook_path_is_refused,
        create_start_and_delete_run_their_hooks,
    ]
}

const HOST: [&str; 5] = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];

/// A bundle with one hook of each kind; each appends a line to a file of its own.
fn hooked(t: &Test) -> Bundle<'_> {
    let mut bundle = t.bundle().set("/root/readonly", false).directory("/log");
    for kind in HOST {
        bundle = bundle.host_hook(kind, &format!("hook {}", log(t, kind).display()));
    }
    bundle.push(
        "/hooks/startContainer",
        json!({"path": "/probe", "args": ["probe", "hook", "/log/startContainer"]}),
    )
}

fn log(t: &Test, kind: &str) -> PathBuf {
    t.dir().join(format!("hook-{kind}"))
}

/// What the hooks of that kind have written, one value per call.
fn calls(t: &Test, bundle: &Bundle<'_>, kind: &str) -> Vec<Value> {
    let path = if kind == "startContainer" { bundle.path("/log/startContainer") } else { log(t, kind) };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn all_kinds_run_in_order(t: &Test) {
    t.only_orlop("its poststart hooks run earlier");
    let order = t.dir().join("order");
    let mut bundle = t.bundle().set("/root/readonly", false).directory("/log");
    let inside = bundle.path("/log/order");
    std::fs::write(&inside, "").unwrap();
    std::os::unix::fs::symlink(&inside, &order).unwrap();
    for kind in HOST {
        bundle = bundle.host_hook(kind, &format!("append {} {kind}", inside.display()));
    }
    let hook = json!({"path": "/probe", "args": ["probe", "append", "/log/order", "startContainer"]});
    bundle.push("/hooks/startContainer", hook).probe("append /log/order process").run();
    let text = std::fs::read_to_string(order).unwrap();
    let mut words: Vec<&str> = text.lines().collect();
    // The process starts at once; the order of the process and the poststart hook is not defined.
    words.retain(|word| *word != "process");
    assert_eq!(
        words,
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    );
    assert!(text.find("startContainer").unwrap() < text.find("process").unwrap());
}

fn hooks_get_the_state_on_standard_input(t: &Test) {
    let bundle = hooked(t).set("/annotations", json!({"colour": "blue"})).probe("sleep 0");
    bundle.run();
    for (kind, status) in [
        ("prestart", "creating"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("startContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ] {
        let seen = calls(t, &bundle, kind);
        assert_eq!(seen.len(), 1, "{kind}");
        let state = &seen[0]["state"];
        assert_eq!(state["id"], bundle.id(), "{kind}");
        assert_eq!(state["bundle"], *bundle.dir().to_string_lossy(), "{kind}");
        assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{kind}");
        if t.is_orlop() {
            assert_eq!(state["status"], status, "{kind}");
        }
        if status != "stopped" {
            assert!(state["pid"].as_i64().unwrap() > 0, "{kind}: {state}");
        }
    }
}

fn hooks_run_in_the_specified_namespaces(t: &Test) {
    let bundle = hooked(t);
    let seen = bundle.report();
    let host = |kind: &str| {
        std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
    };
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        let call = &calls(t, &bundle, kind)[0];
        assert_eq!(call["namespaces"]["mnt"], host("mnt"), "{kind}");
        assert_eq!(call["namespaces"]["net"], host("net"), "{kind}");
        assert_eq!(call["probe_in_root"], false, "{kind}");
    }
    // In the container's mount namespace, before the root is changed: paths are those of the host.
    let call = &calls(t, &bundle, "createContainer")[0];
    assert_eq!(call["namespaces"]["mnt"], seen["namespaces"]["mnt"]);
    assert_eq!(call["namespaces"]["uts"], seen["namespaces"]["uts"]);
    assert_eq!(call["probe_in_root"], false);
    let call = &calls(t, &bundle, "startContainer")[0];
    assert_eq!(call["namespaces"]["mnt"], seen["namespaces"]["mnt"]);
    assert_eq!(call["namespaces"]["pid"], seen["namespaces"]["pid"]);
    assert_eq!(call["probe_in_root"], true);
}

/// The container's root covers the host's by then. The image has a program at the hook's path, too.
fn create_container_hook_in_a_user_namespace_is_the_hosts_program(t: &Test) {
    let log = t.dir().join("log");
    std::fs::write(&log, "").unwrap();
    std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let bundle = t.bundle().set("/root/readonly", false);
    let (theirs, inside) = (bundle.host_probe(), bundle.path(&log.to_string_lossy()));
    let bundle = bundle.file(&log.to_string_lossy(), "");
    let trap = bundle.path(&theirs);
    std::fs::create_dir_all(trap.parent().unwrap()).unwrap();
    std::fs::copy(&theirs, trap).unwrap();
    let bundle = bundle.host_hook("createContainer", &format!("hook {}", log.display()));
    let bundle = bundle.user_namespace(200_000);
    let seen = bundle.report();
    assert_eq!(std::fs::read_to_string(inside).unwrap(), "", "the image's program ran as the hook");
    let call: Value = std::fs::read_to_string(log).unwrap().trim().parse().unwrap();
    assert_eq!(call["probe_in_root"], false);
    for kind in ["mnt", "user", "net"] {
        assert_eq!(call["namespaces"][kind], seen["namespaces"][kind], "{kind}");
    }
}

/// A hook that mounts something on a relative path changes the container, and nothing else.
fn create_container_hooks_start_in_the_root_file_system(t: &Test) {
    for user in [false, true] {
        let bundle = t.bundle().set("/root/readonly", false);
        let bundle = bundle.file("/inside", "tea").mount("tmpfs", "tmpfs", "/hold", &["mode=777"]);
        let bundle = if user { bundle.user_namespace(200_000) } else { bundle };
        let bundle = bundle.host_hook("createContainer", "append inside leaves , append hold/new leaves");
        let lines = bundle.probe("read /inside , read /hold/new").run().lines();
        assert_eq!(lines[1]["read"], "leaves\n", "user namespace {user}: {lines:?}");
        // The image's file belongs to root of the host, which root of a user namespace is not.
        assert_eq!(lines[0]["read"], if user { "tea" } else { "tealeaves\n" }, "user namespace {user}");
    }
}

fn several_of_a_kind_keep_their_order(t: &Test) {
    let file = t.dir().join("several");
    let mut bundle = t.bundle().probe("exit 0");
    for word in ["first", "second", "third"] {
        bundle = bundle.host_hook("createRuntime", &format!("append {} {word}", file.display()));
    }
    bundle.run();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "first\nsecond\nthird\n");
}

fn hooks_get_their_arguments_and_environment(t: &Test) {
    let bundle = t.bundle().probe("exit 0");
    let (path, file) = (bundle.host_probe(), log(t, "createRuntime"));
    let args = json!(["another-name", "hook", file]);
    let env = json!(["ORLOP_PROBE=1", "COLOUR=blue"]);
    let bundle = bundle.push("/hooks/createRuntime", json!({"path": path, "args": args, "env": env}));
    bundle.command("run", &[]).env("CANARY", "sings").output().success();
    let call = &calls(t, &bundle, "createRuntime")[0];
    assert_eq!(call["args"], args);
    for variable in env.as_array().unwrap() {
        assert!(call["env"].as_array().unwrap().contains(variable), "{}", call["env"]);
    }
    assert_eq!(call["env"].as_array().unwrap().len(), 2, "nothing from the runtime: {}", call["env"]);
}

fn failing_hook_stops_creation(t: &Test) {
    t.only_orlop("it does not name the kind of hook");
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let witness = t.dir().join(format!("witness-{kind}"));
        let bundle = t.bundle().probe("say alive").host_hook(kind, "complain rudder-is-broken , exit 3");
        let bundle = bundle.host_hook("poststop", &format!("append {} gone", witness.display()));
        let output = bundle.try_run().refused(&[kind, "rudder-is-broken"]);
        assert!(!output.stdout.contains("alive"), "{output}");
        assert!(output.stderr.contains("exit status 3"), "{output}");
        bundle.try_create().refused(&[kind]);
        assert!(t.leaks_of(bundle.id()).is_empty());
    }
}

fn failing_start_container_hook_stops_start(t: &Test) {
    t.only_orlop("it does not name the kind of hook");
    let hook = json!({"path": "/probe", "args": ["probe", "complain", "no-wind", ",", "exit", "4"]});
    let bundle = t.bundle().probe("say alive").push("/hooks/startContainer", hook);
    let output = bundle.try_run().refused(&["startContainer"]);
    assert!(!output.stdout.contains("alive"), "{output}");
}

/// It runs under the filter of the container.
fn start_container_hook_that_the_filter_kills_is_named(t: &Test) {
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]});
    let hook = json!({"path": "/probe", "args": ["probe", "mkdir", "/dev/shm/made"]});
    let bundle = t.bundle().set("/linux/seccomp", filter).probe("say alive");
    let limit = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let bundle = bundle.set("/process/rlimits", limit).push("/hooks/startContainer", hook);
    let output = bundle.try_run().refused(&["error running startContainer hook", "bad system call"]);
    assert!(!output.stdout.contains("alive"), "{output}");
}

fn failing_poststart_hook_stops_the_container(t: &Test) {
    t.only_orlop("it does not name the kind of hook");
    let bundle = t.bundle().probe("sleep").host_hook("poststart", "complain no-anchor , exit 5");
    let output = bundle.try_run();
    assert_ne!(output.code(), 0, "{output}");
    assert!(output.stderr.contains("poststart"), "{output}");
}

fn failing_poststop_hook_is_a_warning(t: &Test) {
    t.only_orlop("its delete fails if the hook fails");
    let witness = t.dir().join("witness");
    let bundle = t.bundle().probe("exit 0").host_hook("poststop", "exit 6");
    let bundle = bundle.host_hook("poststop", &format!("append {} second", witness.display()));
    let container = bundle.start();
    container.wait();
    let output = container.delete();
    assert!(output.stderr.contains("poststop"), "a warning is expected: {output}");
    assert_eq!(std::fs::read_to_string(witness).unwrap(), "second\n");
    assert!(t.leaks_of(bundle.id()).is_empty());
}

fn missing_hook_is_refused(t: &Test) {
    let bundle = t.bundle().push("/hooks/createRuntime", json!({"path": "/no/such/hook"}));
    bundle.try_run().refused(&["/no/such/hook", "no such file or directory"]);
}

fn hook_is_killed_after_its_timeout(t: &Test) {
    let bundle = t.bundle();
    let hook = json!({"path": bundle.host_probe(), "args": ["probe", "sleep"], "timeout": 1});
    let output = bundle.push("/hooks/createRuntime", hook).try_run().refused(&["hook"]);
    assert!(output.took < kit::within(Duration::from_secs(8)), "{:?}", output.took);
}

/// A hook that exits without reading its input must not kill the runtime with SIGPIPE.
fn hook_may_leave_its_input_unread(t: &Test) {
    let long = "x".repeat(100_000);
    t.bundle().set("/annotations", json!({"long": long})).host_hook("createRuntime", "exit 0").run();
}

fn hook_gets_the_annotations(t: &Test) {
    let bundle = hooked(t).set("/annotations", json!({"a": "1", "b": ""})).probe("exit 0");
    bundle.run();
    assert_eq!(calls(t, &bundle, "createRuntime")[0]["state"]["annotations"], json!({"a": "1", "b": ""}));
}

fn relative_hook_path_is_refused(t: &Test) {
    t.only_orlop("it does not enforce this rule of the specification");
    t.bundle()
        .push("/hooks/createRuntime", json!({"path": "bin/hook"}))
        .try_run()
        .refused(&["/hooks/createRuntime/0/path"]);
}

fn create_start_and_delete_run_their_hooks(t: &Test) {
    t.only_orlop("its poststart hooks run earlier");
    let bundle = hooked(t).probe("sleep");
    let container = bundle.create();
    let count = |kind: &str| calls(t, &bundle, kind).len();
    assert_eq!([count("prestart"), count("createRuntime"), count("createContainer")], [1, 1, 1]);
    assert_eq!([count("startContainer"), count("poststart"), count("poststop")], [0, 0, 0]);
    container.start();
    assert_eq!([count("startContainer"), count("poststart"), count("poststop")], [1, 1, 0]);
    assert_eq!(calls(t, &bundle, "createRuntime")[0]["state"]["pid"], container.pid());
    container.kill("KILL");
    container.wait();
    container.delete();
    assert_eq!(count("poststop"), 1);
}
