//! The commands that create a container: `create`, `run`.

use super::Effect;
use kit::{Console, Container, Test, Value};
use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;

pub(super) const EFFECTS: &[Effect] = &[
    ("create", "bundle", |t| bundle(t, "create")),
    ("create", "config", |t| config(t, "create")),
    ("create", "console-socket", |t| console_socket(t, "create")),
    ("create", "pid-file", |t| pid_file(t, "create")),
    ("create", "pidfd-socket", |t| pidfd_socket(t, "create")),
    ("create", "no-pivot", |t| no_pivot(t, "create")),
    ("create", "no-new-keyring", |t| no_new_keyring(t, "create")),
    ("create", "preserve-fds", |t| preserve_fds(t, "create")),
    ("create", "no-subreaper", create_no_subreaper),
    ("create", "init", |t| init(t, "create")),
    ("run", "bundle", |t| bundle(t, "run")),
    ("run", "config", |t| config(t, "run")),
    ("run", "console-socket", |t| console_socket(t, "run")),
    ("run", "pid-file", |t| pid_file(t, "run")),
    ("run", "pidfd-socket", |t| pidfd_socket(t, "run")),
    ("run", "no-pivot", |t| no_pivot(t, "run")),
    ("run", "no-new-keyring", |t| no_new_keyring(t, "run")),
    ("run", "preserve-fds", |t| preserve_fds(t, "run")),
    ("run", "no-subreaper", run_no_subreaper),
    ("run", "init", |t| init(t, "run")),
    ("run", "detach", detach),
    ("run", "keep", keep),
];

fn end(container: &Container<'_>) {
    container.command("delete", &["--force"]).output().success();
    container.wait();
}

fn bundle(t: &Test, verb: &str) {
    // The kit's own calls say --bundle, from another directory.
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start_by(verb, &[]);
    assert_eq!(container.state()["bundle"], *bundle.dir().to_string_lossy());
    t.runtime([verb, "another"]).output().refused(&["config.json", t.dir().to_str().unwrap()]);
}

fn config(t: &Test, verb: &str) {
    let bundle = t.bundle().probe("sleep");
    let mut spec = bundle.spec().clone();
    spec["annotations"] = kit::json!({"from": "another file"});
    let other = t.dir().join("other.json");
    fs::write(&other, spec.to_string()).unwrap();
    let container = bundle.start_by(verb, &["--config", other.to_str().unwrap()]);
    assert_eq!(container.state()["annotations"]["from"], "another file");
}

fn console_socket(t: &Test, verb: &str) {
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true).probe("terminal , sleep");
    let _container = bundle.start_by(verb, &["--console-socket", console.path().to_str().unwrap()]);
    let said = console.receive().1.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]"), "{said}");
}

fn pid_file(t: &Test, verb: &str) {
    let container = t.bundle().probe("sleep").start_by(verb, &[]);
    let text = fs::read_to_string(t.dir().join(format!("{}.pid", container.id()))).unwrap();
    assert_eq!(container.state()["pid"].to_string(), text);
}

fn pidfd_socket(t: &Test, verb: &str) {
    let socket = Console::new(t);
    let container =
        t.bundle().probe("sleep").start_by(verb, &["--pidfd-socket", socket.path().to_str().unwrap()]);
    let (_, pidfd) = socket.receive_fd();
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    assert!(about.contains(&format!("Pid:\t{}\n", container.pid())), "{about}");
}

/// The container cannot tell how its root was changed: the system calls do.
fn no_pivot(t: &Test, verb: &str) {
    kit::needs("strace", "strace");
    let calls = |flag: Option<&str>| {
        let bundle = t.bundle().probe("exit 0");
        bundle.write();
        let (trace, pid_file) = (t.dir().join("trace"), t.dir().join("pid"));
        let _ = fs::remove_file(&pid_file);
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=pivot_root", "-o"]).arg(&trace).arg(t.program());
        command.arg("--root").arg(t.root()).args([verb, "--bundle"]).arg(bundle.dir()).args(flag);
        command.arg("--pid-file").arg(&pid_file);
        // strace exits when the container has exited.
        let mut tracer = command.arg(bundle.id()).spawn().unwrap();
        if verb == "create" {
            t.wait_for("the container", || pid_file.exists());
            t.runtime(["start", bundle.id()]).output().success();
        }
        t.wait_for("the tracer to exit", || tracer.try_wait().unwrap().is_some());
        if verb == "create" {
            t.runtime(["delete", bundle.id()]).output().success();
        }
        let text = fs::read_to_string(trace).unwrap();
        text.contains("pivot_root(")
    };
    assert!(calls(None));
    assert!(!calls(Some("--no-pivot")));
}

fn no_new_keyring(t: &Test, verb: &str) {
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING.
    let ours = kit::sys::syscall(libc::SYS_keyctl, [0, -3, 0, 0, 0, 0]);
    let ours = ours.unwrap_or_else(|errno| kit::skip(format!("keyctl(2): {errno}")));
    let theirs = |flags: &[&str]| {
        let bundle = t.bundle().probe(&format!("syscall {} 0 -3 0 , sleep", libc::SYS_keyctl));
        bundle.start_by(verb, flags).first_line()["result"].as_i64().unwrap()
    };
    assert_ne!(theirs(&[]), ours);
    assert_eq!(theirs(&["--no-new-keyring"]), ours);
}

fn preserve_fds(t: &Test, verb: &str) {
    let fds = |flags: &[&str]| {
        let bundle = t.bundle().probe("report , sleep");
        let pid_file = t.dir().join("pid");
        let detach = if verb == "run" { &["--detach"][..] } else { &[] };
        let flags = [&["--pid-file", pid_file.to_str().unwrap()], detach, flags].concat();
        let out = t.dir().join("out");
        let file = || fs::File::create(&out).unwrap();
        let call = bundle.command(verb, &flags).wrap("fd=/etc/hostname").stdio(file(), file(), file());
        call.output().exits(0);
        if verb == "create" {
            t.runtime(["start", bundle.id()]).output().success();
        }
        t.wait_for("the report", || fs::read_to_string(&out).unwrap().ends_with('\n'));
        let seen: Value = fs::read_to_string(&out).unwrap().parse().unwrap();
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
        kit::sys::reap(pid, std::time::Duration::from_secs(5));
        seen["fds"]["3"].clone()
    };
    assert_eq!(fds(&[]), Value::Null);
    assert_eq!(fds(&["--preserve-fds", "1"]), "/etc/hostname");
}

/// `create` never adopts orphans: the container is a child of the nearest subreaper, which is this program.
fn create_no_subreaper(t: &Test) {
    end(&t.bundle().probe("sleep").start_by("create", &["--no-subreaper"]));
}

/// Without a pid namespace, an orphan becomes a child of `run`, or else of the subreaper above it.
fn run_no_subreaper(t: &Test) {
    let children = |flags: &[&str]| {
        let bundle = t.bundle().without_namespace("pid").probe("orphan sleep , sleep");
        let running = bundle.command("run", flags).spawn();
        running.wait_for("orphaned");
        let path = format!("/proc/{0}/task/{0}/children", running.pid());
        let children = fs::read_to_string(path).unwrap().split_whitespace().count();
        t.runtime(["kill", "--all", bundle.id(), "KILL"]).output().success();
        running.wait().exits(137);
        children
    };
    assert_eq!(children(&[]), 2);
    assert_eq!(children(&["--no-subreaper"]), 1);
}

fn init(t: &Test, verb: &str) {
    let pid =
        |flags: &[&str]| t.bundle().probe("report , sleep").start_by(verb, flags).first_line()["pid"].clone();
    assert_eq!(pid(&[]), 1);
    assert_eq!(pid(&["--init"]), 2);
}

fn detach(t: &Test) {
    let container = t.bundle().probe("sleep").start_by("run", &[]);
    assert_eq!(container.status(), "running");
    let mut running = t.bundle().probe("say here , sleep").spawn();
    running.wait_for("here");
    assert!(!running.has_ended());
    running.signal(libc::SIGKILL);
    running.wait();
}

fn keep(t: &Test) {
    let status = |flags: &[&str]| {
        let bundle = t.bundle().probe("exit 0");
        bundle.command("run", flags).output().success();
        let state = t.runtime(["state", bundle.id()]).output();
        let _ = t.runtime(["delete", bundle.id()]).output();
        state.code()
    };
    assert_eq!((status(&[]), status(&["--keep"])), (1, 0));
}
