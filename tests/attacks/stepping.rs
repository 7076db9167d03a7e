//! Every process of the runtime, stopped at every system call and inspected as a container that can see it could.

mod rule;
mod steps;

use crate::inside::{filter, notifying};
use crate::play::Canary;
use kit::agent::{Agent, Answer};
use kit::criu::Criu;
use kit::trace::At;
use kit::{Bundle, Case, Console, Container, Test, Value, json};
use rule::link;
use std::fs;
use std::path::PathBuf;
use steps::Steps;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        run,
        run_as_init,
        run_as_init_with_filter,
        create_and_start,
        run_in_a_pid_namespace,
        run_in_a_pid_namespace_of_an_older_kernel,
        run_as_init_in_a_pid_namespace,
        create_and_start_with_filter_that_notifies,
        create_and_start_in_a_pid_namespace,
        run_in_user_and_pid_namespace,
        exec,
        exec_as_user,
        exec_at_the_limit_of_processes,
        exec_with_filter,
        exec_with_filter_that_notifies,
        exec_with_scheduler,
        exec_with_terminal,
        exec_in_a_user_namespace,
        mounts,
        mounts_in_a_user_namespace,
        hooks,
        hook_create_container,
        restore,
        restore_by_criu,
    ]
}

/// Gives PID 1 something to do while the program runs.
const REAPED: &str = "orphan exit 0 , burn 60 , exit 0";

fn sleeper<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Container<'t> {
    change(t.bundle().set("/root/readonly", false)).probe("sleep").start()
}

fn pid_namespace(container: &Container<'_>) -> String {
    format!("/proc/{}/ns/pid", container.pid())
}

fn run(t: &Test) {
    let mut steps = Steps::new(t);
    steps.run(&t.bundle().probe("exit 0"), &[]);
    steps.end("run");
}

/// PID 1 stays beside the program, which sees it reap an orphan.
fn run_as_init(t: &Test) {
    t.only_orlop("it does not have this option");
    let mut steps = Steps::new(t);
    steps.run(&t.bundle().probe(REAPED), &["--init"]);
    steps.end("run --init");
}

fn run_as_init_with_filter(t: &Test) {
    t.only_orlop("it does not have this option");
    let mut steps = Steps::new(t);
    let bundle = t.bundle().set("/process/noNewPrivileges", false).set("/linux/seccomp", filter());
    steps.run(&bundle.probe(REAPED), &["--init"]);
    steps.end("run --init under a filter, without no-new-privileges");
}

fn create_and_start(t: &Test) {
    let mut steps = Steps::new(t);
    steps.create_and_start(&t.bundle().probe("exit 0"));
    steps.end("create, start");
}

fn run_in_a_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.run(&t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0"), &[]);
    steps.end("run in another container's pid namespace");
}

/// On Linux before 6.18 the procfs of another pid namespace is requested by a process in it.
fn run_in_a_pid_namespace_of_an_older_kernel(t: &Test) {
    t.only_orlop("others create a procfs in another way");
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    // An older one has fewer system calls than this release promises.
    steps.release = (!kit::sys::kernel_before(6, 18)).then_some("6.17.0");
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("read /proc/1/comm , exit 0");
    steps.run(&bundle, &[]);
    let said = fs::read_to_string(t.dir().join("step-out")).unwrap();
    assert!(said.contains("\"read\":\"probe\\n\""), "the watcher, in its pid namespace: {said}");
    assert!(steps.rule.helped > 0, "no process was seen that requests a procfs");
    steps.end("run in another container's pid namespace, with the procfs of an older kernel");
}

fn run_as_init_in_a_pid_namespace(t: &Test) {
    t.only_orlop("it does not have this option");
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).set("/process/scheduler", scheduler());
    let bundle = bundle.set("/process/noNewPrivileges", false).set("/linux/seccomp", filter());
    steps.run(&bundle.probe(REAPED), &["--init"]);
    steps.end("run --init under a filter, with a scheduler, in another container's pid namespace");
}

fn create_and_start_with_filter_that_notifies(t: &Test) {
    let agent = Agent::new(t, |_| Answer::Continue);
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).set("/linux/seccomp", notifying(&agent));
    steps.create_and_start(&bundle.set("/process/noNewPrivileges", false).probe("exit 0"));
    steps.end("create, start under a filter that notifies in another container's pid namespace");
}

fn create_and_start_in_a_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.create_and_start(&t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0"));
    steps.end("create, start in another container's pid namespace");
}

fn run_in_user_and_pid_namespace(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().user_namespace(200_000).join("pid", &pid_namespace(&watcher)).probe("exit 0");
    // This user namespace may not mount a procfs of that pid namespace.
    let bundle = bundle.only_mounts(&["/dev"]).remove("/linux/maskedPaths").remove("/linux/readonlyPaths");
    steps.run(&bundle, &[]);
    steps.end("run with a user namespace in another container's pid namespace");
}

/// `exec` in a container, with flags.
fn exec_steps<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>, flags: &[&str]) -> Steps<'t> {
    let watcher = sleeper(t, change);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let words = [&["exec"], flags, &[watcher.id(), "/probe", "exit", "0"]].concat();
    let (code, said) = steps.call(&words);
    assert_eq!(code, 0, "{said}");
    assert!(steps.seen > 0, "no process of exec was ever visible");
    steps
}

fn exec(t: &Test) {
    exec_steps(t, |bundle| bundle, &[]).end("exec");
}

fn exec_as_user(t: &Test) {
    exec_steps(t, |bundle| bundle, &["--user", "1000:1000", "--cwd", "/dev"]).end("exec --user --cwd");
}

/// The host side moves it into its cgroup once it is visible.
fn exec_at_the_limit_of_processes<'t>(t: &'t Test) {
    t.needs_limits("pids");
    let limited = |bundle: Bundle<'t>| bundle.set("/linux/resources/pids", json!({"limit": 1}));
    exec_steps(t, limited, &[]).end("exec at the container's limit of processes");
}

fn exec_with_filter<'t>(t: &'t Test) {
    let filtered =
        |bundle: Bundle<'t>| bundle.set("/linux/seccomp", filter()).set("/process/noNewPrivileges", false);
    exec_steps(t, filtered, &[]).end("exec under a filter, without no-new-privileges");
}

fn exec_with_filter_that_notifies<'t>(t: &'t Test) {
    let agent = Agent::new(t, |_| Answer::Continue);
    let filtered = |bundle: Bundle<'t>| {
        bundle.set("/linux/seccomp", notifying(&agent)).set("/process/noNewPrivileges", false)
    };
    exec_steps(t, filtered, &[]).end("exec under a filter that notifies, without no-new-privileges");
}

fn exec_with_scheduler<'t>(t: &'t Test) {
    let scheduled = |bundle: Bundle<'t>| bundle.set("/process/scheduler", scheduler());
    exec_steps(t, scheduled, &[]).end("exec with a scheduler that is reset at a fork");
}

/// A better priority than the caller's, which requires CAP_SYS_NICE.
fn scheduler() -> Value {
    json!({"policy": "SCHED_BATCH", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]})
}

fn exec_with_terminal(t: &Test) {
    let console = Console::new(t);
    let path = console.path().to_string_lossy().into_owned();
    let flags = ["--tty", "--console-socket", &path, "--detach"];
    let steps = exec_steps(t, |bundle| bundle, &flags);
    console.receive();
    steps.end("exec --tty");
}

fn exec_in_a_user_namespace(t: &Test) {
    exec_steps(t, |bundle| bundle.user_namespace(200_000), &[]).end("exec in a user namespace");
}

fn mounts_steps<'t>(t: &'t Test, change: impl FnOnce(Bundle<'t>) -> Bundle<'t>) -> Steps<'t> {
    t.only_orlop("its command is experimental");
    let watcher = sleeper(t, change);
    let source = Canary::new(t).dir;
    let bind = |source: PathBuf, at: &str| json!({"destination": at, "type": "bind", "source": source, "options": ["bind", "ro"]});
    let mounts = json!([
        {"destination": "/m/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/m/proc", "type": "proc", "source": "proc"},
        bind(source.clone(), "/m/bound"),
        bind(source.join("bird"), "/m/file"),
    ]);
    let list = t.dir().join("mounts.json");
    fs::write(&list, mounts.to_string()).unwrap();
    let list = list.to_string_lossy().into_owned();
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    for verb in ["add", "remove"] {
        let (code, said) = steps.call(&["mounts", verb, watcher.id(), &list]);
        assert_eq!(code, 0, "{said}");
    }
    steps
}

fn mounts(t: &Test) {
    mounts_steps(t, |bundle| bundle).end("mounts add, remove");
}

fn mounts_in_a_user_namespace(t: &Test) {
    mounts_steps(t, |bundle| bundle.user_namespace(200_000)).end("mounts add, remove in a user namespace");
}

/// Every kind of hook but one, in a container that shares the pid namespace of another one.
fn hooks(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0");
    let bundle = ["prestart", "createRuntime", "poststart", "poststop"]
        .iter()
        .fold(bundle, |bundle, kind| bundle.host_hook(kind, "exit 0"));
    let inside = json!({"path": "/probe", "args": ["probe", "exit", "0"]});
    let bundle = bundle.push("/hooks/startContainer", inside);
    steps.create_and_start(&bundle);
    steps.run(&bundle, &[]);
    steps.end("every hook but createContainer");
}

/// This hook runs in the container's namespaces while the host's root is in place, as the specification requires.
fn hook_create_container(t: &Test) {
    let watcher = sleeper(t, |bundle| bundle);
    let mut steps = Steps::new(t);
    steps.watcher(&watcher);
    steps.rule.host_root = true;
    steps.rule.capabilities = u64::MAX;
    let bundle = t.bundle().join("pid", &pid_namespace(&watcher)).probe("exit 0");
    steps.run(&bundle.host_hook("createContainer", "exit 0"), &[]);
    steps.end("createContainer hook, which has the host's root: executable and memory");
}

fn restore(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let criu = Criu::new(t).with("init", "exit 0");
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let (program, env) = criu.program();
    let mut steps = Steps::new(t);
    steps.env[0].1 = format!("{}:{}", program.parent().unwrap().display(), steps.env[0].1);
    steps.env.extend(env);
    let bundle = t.bundle();
    steps.bundle(&bundle);
    let dir = bundle.dir().to_string_lossy().into_owned();
    let (code, said) = steps.call(&["restore", "--bundle", &dir, bundle.id()]);
    assert_eq!(code, 0, "{said}");
    steps.end("restore (with a simulated criu)");
}

/// Processes that criu creates are inspected once it has detached, the runtime's own at every stop.
fn restore_by_criu(t: &Test) {
    t.only_orlop("it uses criu in another way");
    let _turn = kit::criu::real();
    let bundle = t.bundle().probe("sleep");
    let images = t.dir().join("images").to_string_lossy().into_owned();
    let null = std::process::Stdio::null;
    bundle.command("run", &["--detach"]).stdio(null(), null(), null()).output().success();
    t.runtime(["checkpoint", "--image-path", &images, bundle.id()]).output().success();
    let mut steps = Steps::new(t);
    steps.bundle(&bundle);
    let dir = bundle.dir().to_string_lossy().into_owned();
    let words = ["restore", "--bundle", &dir, "--image-path", &images, "--detach", bundle.id()];
    let (code, said) = steps.call(&words);
    assert_eq!(code, 0, "{said}");
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    let pid = state["pid"].as_i64().unwrap() as i32;
    let space = link(pid, "ns/pid");
    steps.inspect(pid, At::Execution, &space);
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
    steps.end("restore (criu itself)");
}
