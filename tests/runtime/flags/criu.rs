//! `checkpoint` and `restore`: what criu is requested to do, recorded by a simulated criu.

use super::Effect;
use kit::criu::{Criu, Message};
use kit::{Console, Output, Test};
use std::fs;

pub(super) const EFFECTS: &[Effect] = &[
    ("checkpoint", "image-path", image_path),
    ("checkpoint", "work-path", work_path),
    ("checkpoint", "parent-path", parent_path),
    ("checkpoint", "leave-running", leave_running),
    ("checkpoint", "pre-dump", pre_dump),
    ("checkpoint", "tcp-established", |t| dumps(t, &["--tcp-established"], 5, 1)),
    ("checkpoint", "tcp-skip-in-flight", |t| dumps(t, &["--tcp-skip-in-flight"], 46, 1)),
    ("checkpoint", "link-remap", |t| dumps(t, &["--link-remap"], 18, 1)),
    ("checkpoint", "ext-unix-sk", |t| dumps(t, &["--ext-unix-sk"], 4, 1)),
    ("checkpoint", "shell-job", |t| dumps(t, &["--shell-job"], 7, 1)),
    ("checkpoint", "file-locks", |t| dumps(t, &["--file-locks"], 8, 1)),
    ("checkpoint", "lazy-pages", |t| dumps(t, &["--lazy-pages"], 48, 1)),
    ("checkpoint", "auto-dedup", |t| dumps(t, &["--auto-dedup"], 16, 1)),
    ("checkpoint", "status-fd", status_fd),
    ("checkpoint", "page-server", page_server),
    ("checkpoint", "manage-cgroups-mode", |t| dumps(t, &["--manage-cgroups-mode", "full"], 34, 4)),
    ("checkpoint", "network-lock", |t| dumps(t, &["--network-lock", "nftables"], 64, 2)),
    ("checkpoint", "empty-ns", empty_ns),
    ("restore", "image-path", no_images),
    ("restore", "work-path", restore_work_path),
    ("restore", "bundle", other_bundle),
    ("restore", "console-socket", console_socket),
    ("restore", "detach", detach),
    ("restore", "pid-file", pid_file),
    ("restore", "no-subreaper", no_subreaper),
    ("restore", "no-pivot", no_pivot),
    ("restore", "tcp-established", |t| restores(t, &["--tcp-established"], 5, 1)),
    ("restore", "tcp-close", |t| restores(t, &["--tcp-close"], 52, 1)),
    ("restore", "ext-unix-sk", |t| restores(t, &["--ext-unix-sk"], 4, 1)),
    ("restore", "shell-job", |t| restores(t, &["--shell-job"], 7, 1)),
    ("restore", "file-locks", |t| restores(t, &["--file-locks"], 8, 1)),
    ("restore", "lazy-pages", |t| restores(t, &["--lazy-pages"], 48, 1)),
    ("restore", "auto-dedup", |t| restores(t, &["--auto-dedup"], 16, 1)),
    ("restore", "manage-cgroups-mode", |t| restores(t, &["--manage-cgroups-mode=ignore"], 34, 0)),
    ("restore", "network-lock", |t| restores(t, &["--network-lock", "skip"], 64, 3)),
    ("restore", "empty-ns", empty_ns_of_restore),
    ("restore", "lsm-profile", |t| {
        let asked = restored(t, &["--lsm-profile", "apparmor:box"]);
        assert_eq!(asked.text(53).as_deref(), Some("apparmor:box"));
    }),
    ("restore", "lsm-mount-context", |t| {
        let asked = restored(t, &["--lsm-mount-context", "system_u:object_r:x"]);
        assert_eq!(asked.text(63).as_deref(), Some("system_u:object_r:x"));
    }),
];

/// `checkpoint` of a container whose process sleeps.
fn checkpoint(t: &Test, criu: &Criu, flags: &[&str]) -> Output {
    let container = t.bundle().probe("sleep").start();
    criu.found_by(container.command("checkpoint", &[])).args(flags.iter().copied()).output()
}

fn dumps(t: &Test, flags: &[&str], field: u64, value: u64) {
    let criu = Criu::new(t);
    checkpoint(t, &criu, flags).success();
    assert_eq!(criu.request("dump").number(field), Some(value), "{flags:?}");
}

fn image_path(t: &Test) {
    checkpoint(t, &Criu::new(t), &["--image-path", "here/and/there"]).success();
    assert!(t.dir().join("here/and/there/descriptors.json").exists());
}

fn work_path(t: &Test) {
    checkpoint(t, &Criu::new(t).with("fail", "no"), &["--work-path", "work"]).refused(&["no"]);
    assert!(t.dir().join("work").exists());
}

fn parent_path(t: &Test) {
    let criu = Criu::new(t);
    checkpoint(t, &criu, &["--parent-path", "../none"]).refused(&["--parent-path", "../none"]);
    checkpoint(t, &criu, &["--parent-path", "/tmp"]).refused(&["--parent-path", "must be relative"]);
    fs::create_dir(t.dir().join("before")).unwrap();
    checkpoint(t, &criu, &["--parent-path", "../before"]).success();
    let asked = criu.request("dump");
    assert_eq!((asked.text(14).as_deref(), asked.number(15)), (Some("../before"), Some(1)));
}

/// podman passes it twice.
fn leave_running(t: &Test) {
    let criu = Criu::new(t);
    let container = t.bundle().probe("sleep").start();
    let call = |flags: &[&str]| criu.found_by(container.command("checkpoint", flags)).output().success();
    call(&["--leave-running", "--leave-running"]);
    assert_eq!((criu.request("dump").number(3), container.status().as_str()), (Some(1), "running"));
    call(&[]);
    container.command("state", &[]).output().refused(&["does not exist"]);
    container.command("resume", &[]).output().refused(&["does not exist"]);
}

fn pre_dump(t: &Test) {
    let criu = Criu::new(t);
    let container = t.bundle().probe("sleep").start();
    criu.found_by(container.command("checkpoint", &["--pre-dump"])).output().success();
    assert_eq!(container.status(), "running");
    assert_eq!(criu.request("pre-dump").number(15), Some(1));
    assert!(!t.dir().join("checkpoint/descriptors.json").exists());
    let criu = criu.with("missing", "");
    let call = criu.found_by(container.command("checkpoint", &["--pre-dump"]));
    call.output().refused(&["criu is missing features: MemTrack"]);
}

fn status_fd(t: &Test) {
    let criu = Criu::new(t);
    checkpoint(t, &criu, &["--status-fd", "9"]).refused(&["--status-fd 9", "was not passed"]);
    let file = t.dir().join("status");
    fs::write(&file, "").unwrap();
    let container = t.bundle().probe("sleep").start();
    let call = container.command("checkpoint", &["--lazy-pages", "--status-fd", "3"]);
    let call = criu.found_by(call).wrap(&format!("wfd={}", file.display()));
    call.output().success();
    assert_eq!(fs::read(&file).unwrap(), b"\0");
}

fn page_server(t: &Test) {
    let criu = Criu::new(t);
    checkpoint(t, &criu, &["--page-server", "[::1]:7"]).success();
    let server = criu.request("dump").messages(11).pop().unwrap();
    assert_eq!((server.text(1).as_deref(), server.number(2)), (Some("::1"), Some(7)));
    checkpoint(t, &criu, &["--page-server", "::1"]).refused(&["--page-server"]);
}

fn empty_ns(t: &Test) {
    let remarks = t.dir().join("checkpoint/orlop.json");
    for (flags, text) in [(&[][..], "false"), (&["--empty-ns", "network"], "true")] {
        checkpoint(t, &Criu::new(t), flags).success();
        assert!(fs::read_to_string(&remarks).unwrap().contains(text), "{flags:?}");
    }
    checkpoint(t, &Criu::new(t), &["--empty-ns", "mount"]).refused(&["--empty-ns"]);
}

/// `restore` in the foreground, of a container that exits with 7.
fn restored(t: &Test, flags: &[&str]) -> Message {
    let criu = Criu::new(t).with("init", "exit 7");
    images(t);
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", flags)).output().exits(7);
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
    criu.request("restore")
}

/// What `checkpoint` would have left in its default directory.
fn images(t: &Test) {
    fs::create_dir_all(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), r#"["/dev/null","pipe:[7]","pipe:[8]"]"#).unwrap();
}

fn restores(t: &Test, flags: &[&str], field: u64, value: u64) {
    assert_eq!(restored(t, flags).number(field), Some(value), "{flags:?}");
}

fn no_images(t: &Test) {
    let criu = Criu::new(t);
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", &["--image-path", "none"]))
        .output()
        .refused(&["image path", "none"]);
    fs::create_dir(t.dir().join("empty")).unwrap();
    let call = criu.found_by(bundle.command("restore", &["--image-path", "empty"]));
    call.output().refused(&["not a checkpoint", "empty"]);
}

fn restore_work_path(t: &Test) {
    restored(t, &["--work-path", "work"]);
    assert!(t.dir().join("work").exists());
}

fn other_bundle(t: &Test) {
    let criu = Criu::new(t);
    t.runtime(["restore", "--bundle", "nowhere", "x"]).output().refused(&["nowhere"]);
    images(t);
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", &["--detach"])).output().success();
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    assert_eq!(state["bundle"], bundle.dir().to_str().unwrap());
}

fn console_socket(t: &Test) {
    let criu = Criu::new(t).with("terminal", "");
    images(t);
    let console = Console::new(t);
    let bundle = t.bundle().set("/process/terminal", true);
    let socket = format!("--console-socket={}", console.path().display());
    criu.found_by(bundle.command("restore", &["--detach", &socket])).output().success();
    assert!(console.receive().1.size().0 < u16::MAX);
    assert_eq!(criu.request("restore").number(50), Some(1));
}

fn detach(t: &Test) {
    let criu = Criu::new(t);
    images(t);
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", &["--detach"])).output().success();
    let state = t.runtime(["state", bundle.id()]).output().success().document();
    assert_eq!(state["status"], "running");
}

/// Without a newline, and with the caller, a subreaper, as parent.
fn pid_file(t: &Test) {
    let criu = Criu::new(t);
    images(t);
    let bundle = t.bundle();
    criu.found_by(bundle.command("restore", &["--detach", "--pid-file", "init.pid"])).output().success();
    let pid = fs::read_to_string(t.dir().join("init.pid")).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("PPid:\t{}\n", std::process::id())), "{status}");
}

/// containerd writes it with a single dash.
fn no_subreaper(t: &Test) {
    restored(t, &["-no-subreaper"]);
    let call = Criu::new(t).found_by(t.bundle().command("restore", &["--no-subreaper=false", "--detach"]));
    call.output().success();
}

fn no_pivot(t: &Test) {
    let call = Criu::new(t).found_by(t.bundle().command("restore", &["--no-pivot"]));
    call.output().refused(&["--no-pivot", "pivot_root"]);
}

/// Without the flag `lo` is brought up in the process's network namespace, which must exist for that.
fn empty_ns_of_restore(t: &Test) {
    let asked = restored(t, &["--empty-ns", "network"]);
    assert_eq!(asked.number(38), Some(libc::CLONE_NEWNET as u64));
}
