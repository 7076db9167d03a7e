//! `exec`.

use super::Effect;
use kit::{Console, Container, Test, Value, json};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

pub(super) const EFFECTS: &[Effect] = &[
    ("exec", "console-socket", console_socket),
    ("exec", "pidfd-socket", pidfd_socket),
    ("exec", "cwd", |t| reports(t, &["--cwd", "/proc"], "/cwd", &json!("/proc"))),
    ("exec", "env", env),
    ("exec", "tty", tty),
    ("exec", "user", |t| reports(t, &["--user", "7:8"], "/uid/0", &json!(7))),
    ("exec", "additional-gids", |t| reports(t, &["--additional-gids", "9"], "/groups", &json!([9]))),
    ("exec", "process", process),
    ("exec", "detach", detach),
    ("exec", "pid-file", pid_file),
    ("exec", "process-label", process_label),
    ("exec", "apparmor", apparmor),
    ("exec", "no-new-privs", no_new_privs),
    ("exec", "cap", cap),
    ("exec", "preserve-fds", preserve_fds),
    ("exec", "cgroup", cgroup),
    ("exec", "ignore-paused", ignore_paused),
];

fn container(t: &Test) -> Container<'_> {
    t.bundle().probe("sleep").start()
}

/// `exec FLAGS ID /probe WORDS`
fn call<'t>(t: &'t Test, id: &str, flags: &[&str], words: &str) -> kit::Runtime<'t> {
    let words = std::iter::once("/probe").chain(words.split(' '));
    t.runtime(["exec"]).args(flags.iter().copied()).arg(id).args(words)
}

/// What the process reports is this value with the flag, and another value without it.
fn reports(t: &Test, flags: &[&str], pointer: &str, wanted: &Value) {
    let container = container(t);
    let seen = |flags: &[&str]| call(t, container.id(), flags, "report").output().success().json();
    assert_eq!(seen(flags).pointer(pointer), Some(wanted));
    assert_ne!(seen(&[]).pointer(pointer), Some(wanted));
}

fn console_socket(t: &Test) {
    let (container, console) = (container(t), Console::new(t));
    let pid_file = t.dir().join("pid");
    let socket = console.path().to_str().unwrap();
    let flags = ["-d", "-t", "--console-socket", socket, "--pid-file", pid_file.to_str().unwrap()];
    call(t, container.id(), &flags, "terminal").output().success();
    assert!(console.receive().1.read_until("isatty").contains("[true,true,true]"));
    kit::sys::reap(read_pid(&pid_file), std::time::Duration::from_secs(5));
}

fn read_pid(file: &Path) -> i32 {
    fs::read_to_string(file).unwrap().parse().unwrap()
}

fn pidfd_socket(t: &Test) {
    let (container, socket) = (container(t), Console::new(t));
    let pid_file = t.dir().join("pid");
    let path = socket.path().to_str().unwrap();
    let flags = ["-d", "--pidfd-socket", path, "--pid-file", pid_file.to_str().unwrap()];
    call(t, container.id(), &flags, "exit 0").output().success();
    let (_, pidfd) = socket.receive_fd();
    let pid = read_pid(&pid_file);
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    assert!(about.contains(&format!("Pid:\t{pid}\n")), "{about}");
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
}

fn env(t: &Test) {
    let container = container(t);
    let seen = call(t, container.id(), &["--env", "COLOUR=blue"], "report").output().success().json();
    assert!(seen["env"].as_array().unwrap().contains(&json!("COLOUR=blue")), "{}", seen["env"]);
}

fn tty(t: &Test) {
    let container = container(t);
    let said = |flags: &[&str]| call(t, container.id(), flags, "terminal").output().success().json();
    assert_eq!(said(&["--tty"])["isatty"], json!([true, true, true]));
    assert_eq!(said(&[])["isatty"], json!([false, false, false]));
}

fn process(t: &Test) {
    let container = container(t);
    let process =
        json!({"args": ["/probe", "exit", "23"], "cwd": "/", "user": {"uid": 0, "gid": 0}}).to_string();
    t.runtime(["exec", "--process", "-", container.id()]).input(&process).output().exits(23);
    let file = t.dir().join("process.json");
    fs::write(&file, process).unwrap();
    t.runtime(["exec", "--process", file.to_str().unwrap(), container.id()]).output().exits(23);
}

fn detach(t: &Test) {
    let container = container(t);
    let pid_file = t.dir().join("pid");
    let flags = ["--detach", "--pid-file", pid_file.to_str().unwrap()];
    call(t, container.id(), &flags, "sleep").output().success();
    let pid = read_pid(&pid_file);
    kit::sys::kill(pid, libc::SIGKILL);
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(137));
}

fn pid_file(t: &Test) {
    let container = container(t);
    let file = t.dir().join("pid");
    let running =
        call(t, container.id(), &["--pid-file", file.to_str().unwrap()], "say here , sleep").spawn();
    running.wait_for("here");
    // The file is written before exec exits, not before the process starts.
    t.wait_for("the pid file", || file.exists());
    let pid = read_pid(&file);
    let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(words, "/probe\0say\0here\0,\0sleep\0");
    kit::sys::kill(pid, libc::SIGKILL);
    running.wait().exits(137);
}

fn process_label(t: &Test) {
    if Path::new("/sys/fs/selinux/enforce").exists() {
        kit::skip("SELinux is on, and no label is certain to be in its policy");
    }
    let container = container(t);
    let flags = ["--process-label", "system_u:system_r:container_t:s0"];
    call(t, container.id(), &flags, "exit 0")
        .output()
        .fails_with(255, &["SELinux is not enabled", "/process/selinuxLabel"]);
}

fn apparmor(t: &Test) {
    let container = container(t);
    let output = call(t, container.id(), &["--apparmor", "no-such-profile"], "exit 0").output();
    output.fails_with(255, &["apparmor"]);
}

fn no_new_privs(t: &Test) {
    let container = t.bundle().set("/process/noNewPrivileges", false).probe("sleep").start();
    let seen = |flags: &[&str]| call(t, container.id(), flags, "report").output().success().json();
    assert_eq!(seen(&["--no-new-privs"])["no_new_privileges"], true);
    assert_eq!(seen(&[])["no_new_privileges"], false);
}

fn cap(t: &Test) {
    let container = container(t);
    let seen = |flags: &[&str]| call(t, container.id(), flags, "report").output().success().json();
    let has =
        |report: &Value| report["caps"]["effective"].as_array().unwrap().contains(&json!("CAP_NET_RAW"));
    assert!(has(&seen(&["--cap", "CAP_NET_RAW"])));
    assert!(!has(&seen(&[])));
}

fn preserve_fds(t: &Test) {
    let container = container(t);
    let seen = |flags: &[&str]| {
        let call = call(t, container.id(), flags, "report").wrap("fd=/etc/hostname");
        call.output().success().json()["fds"]["3"].clone()
    };
    assert_eq!(seen(&[]), Value::Null);
    assert_eq!(seen(&["--preserve-fds", "1"]), "/etc/hostname");
}

fn cgroup(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    let sub = t.v1("pids", bundle.id()).join("side");
    fs::create_dir(&sub).unwrap();
    let seen = |flags: &[&str]| {
        call(t, container.id(), flags, "report").output().success().json()["cgroup"].to_string()
    };
    assert!(seen(&["--cgroup", "pids:side"]).contains(&format!("{}/side", bundle.id())));
    assert!(!seen(&[]).contains("side"));
    call(t, container.id(), &["--cgroup", "pids:nowhere"], "exit 0").output().fails_with(255, &["nowhere"]);
}

fn ignore_paused(t: &Test) {
    let container = container(t);
    container.command("pause", &[]).output().success();
    call(t, container.id(), &[], "exit 0").output().fails_with(255, &["paused"]);
    // The new process is in the frozen cgroup, so it runs once that is thawed.
    let running = call(t, container.id(), &["--ignore-paused"], "exit 5").spawn();
    std::thread::sleep(std::time::Duration::from_millis(100));
    container.command("resume", &[]).output().success();
    running.wait().exits(5);
}
