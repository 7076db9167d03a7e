//! What the caller passes on: sockets of socket activation, standard descriptors, the name of a pid file.

use kit::{Bundle, Case, Test, json};
use std::fs::File;
use std::process::{Command, Stdio};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        listen_pid_is_the_pid_of_the_program,
        a_failed_create_leaves_no_pid_file,
        standard_descriptors_that_cannot_be_opened_are_an_error,
    ]
}

/// `LISTEN_PID` as the program of a container with one passed descriptor sees it.
fn listen_pid(bundle: &Bundle<'_>, flags: &[&str]) -> Option<String> {
    let call = bundle.command("run", flags).wrap("fd=/etc/hostname").env("LISTEN_FDS", "1");
    let report = call.output().success().json();
    let env = report["env"].as_array().cloned().unwrap_or_default();
    assert!(env.contains(&json!("LISTEN_FDS=1")), "{env:?}");
    env.iter().find_map(|v| v.as_str()?.strip_prefix("LISTEN_PID=").map(str::to_owned))
}

/// A wrong number means that the descriptors belong to another process (sd_listen_fds(3)); no number is better.
fn listen_pid_is_the_pid_of_the_program(t: &Test) {
    assert_eq!(listen_pid(&t.bundle().probe("report"), &[]).as_deref(), Some("1"));
    t.only_orlop("others always set 1");
    assert_eq!(listen_pid(&t.bundle().probe("report"), &["--init"]), None);
    assert_eq!(listen_pid(&t.bundle().without_namespace("pid").probe("report"), &[]), None);
    let first = t.bundle().probe("sleep 600").start();
    let joined = t.bundle().join("pid", &format!("/proc/{}/ns/pid", first.pid())).probe("report");
    assert_eq!(listen_pid(&joined, &[]), None);
    first.kill("KILL");
    first.wait();
    first.delete();
}

fn a_failed_create_leaves_no_pid_file(t: &Test) {
    t.only_orlop("others leave the file");
    let file = t.dir().join("pid");
    let flag = format!("--pid-file={}", file.display());
    let bundle = t.bundle().host_hook("poststart", "exit 1").probe("sleep 600");
    bundle.command("run", &["--detach", &flag]).output().refused(&["poststart"]);
    assert!(!file.exists(), "the pid file names a process that has exited");
}

fn standard_descriptors_that_cannot_be_opened_are_an_error(t: &Test) {
    t.only_orlop("the test is about the start of this runtime");
    let errors = t.dir().join("errors");
    // Only descriptor 0 can be opened, and 1 is closed as well.
    let script = "exec <&- >&-; ulimit -n 1; exec \"$0\" --version";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).arg(t.program()).stderr(Stdio::from(File::create(&errors).unwrap()));
    let status = shell.status().unwrap();
    let text = std::fs::read_to_string(&errors).unwrap();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("standard descriptor that is closed"), "{text}");
}
