//! Files that are written for a caller, in a directory where an attacker has created files first: nothing is
//! written through a link, nothing blocks on a FIFO, and temporary names cannot be predicted.

use kit::criu::Criu;
use kit::{Case, Output, Test, json};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_pid_file_replaces_links_and_fifos,
        pid_files_of_exec_and_restore_replace_links,
        the_temporary_name_cannot_be_guessed,
        the_mode_does_not_depend_on_the_umask,
        a_directory_is_not_replaced,
        a_device_is_not_replaced,
        a_name_of_maximal_length_works,
        manual_pages_replace_links_and_fifos,
        a_log_that_is_a_link_is_refused,
        a_log_that_is_a_fifo_does_not_block,
        a_log_may_be_stdout_stderr_or_null,
        image_files_replace_links_and_fifos,
        planted_image_files_are_not_waited_for,
    ]
}

const CONTENT: &str = "unchanged";

/// A file that must not change.
fn canary(t: &Test) -> PathBuf {
    let path = t.dir().join("canary");
    fs::write(&path, CONTENT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    path
}

fn unharmed(canary: &Path) {
    assert_eq!(fs::read_to_string(canary).unwrap(), CONTENT);
    assert_eq!(fs::metadata(canary).unwrap().permissions().mode() & 0o7777, 0o604);
}

fn fifo(path: &Path) {
    nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A directory of its own, so that a leftover temporary file is seen.
fn place(t: &Test, name: &str) -> PathBuf {
    let dir = t.dir().join(name);
    fs::create_dir(&dir).unwrap();
    dir
}

fn pid_in(file: &Path) -> i32 {
    assert!(fs::symlink_metadata(file).unwrap().is_file(), "{}", file.display());
    fs::read_to_string(file).unwrap().parse().unwrap()
}

fn a_pid_file_replaces_links_and_fifos(t: &Test) {
    let canary = canary(t);
    let dir = place(t, "pids");
    let file = dir.join("pid");
    let plants: [&dyn Fn(); 4] = [
        &|| symlink(&canary, &file).unwrap(),
        &|| symlink("/no/such/thing", &file).unwrap(),
        &|| fs::hard_link(&canary, &file).unwrap(),
        &|| fifo(&file),
    ];
    for plant in plants {
        plant();
        let bundle = t.bundle().probe("sleep");
        bundle.command("create", &["--pid-file", file.to_str().unwrap()]).output().success();
        let pid = pid_in(&file);
        assert_eq!(t.runtime(["state", bundle.id()]).output().document()["pid"], pid);
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        kit::sys::reap(pid, Duration::from_secs(5));
        unharmed(&canary);
        assert_eq!(names(&dir), ["pid"]);
        fs::remove_file(&file).unwrap();
    }
}

fn pid_files_of_exec_and_restore_replace_links(t: &Test) {
    let canary = canary(t);
    let dir = place(t, "pids");
    for name in ["exec", "restore"] {
        symlink(&canary, dir.join(name)).unwrap();
    }
    let container = t.bundle().probe("sleep").start();
    let file = dir.join("exec");
    let words =
        ["exec", "--detach", "--pid-file", file.to_str().unwrap(), container.id(), "/probe", "exit", "0"];
    t.runtime(words).output().success();
    kit::sys::reap(pid_in(&file), Duration::from_secs(5));
    let criu = Criu::new(t);
    fs::create_dir(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle().probe("sleep");
    let file = dir.join("restore");
    criu.found_by(bundle.command("restore", &["--detach", "--pid-file", file.to_str().unwrap()]))
        .output()
        .success();
    let pid = pid_in(&file);
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
    unharmed(&canary);
    assert_eq!(names(&dir), ["exec", "restore"]);
}

/// Creates links and FIFOs under the names that a runtime could derive from its pid.
fn plant_for_the_next(dir: &Path, name: &str, canary: &Path) -> std::ops::Range<i32> {
    let last = fs::read_to_string("/proc/loadavg").unwrap();
    let last: i32 = last.split_whitespace().last().unwrap().parse().unwrap();
    let range = last..last + 3000;
    for pid in range.clone() {
        let path = dir.join(format!(".{name}.{pid}"));
        if pid % 2 == 0 { symlink(canary, path).unwrap() } else { fifo(&path) }
    }
    range
}

fn the_temporary_name_cannot_be_guessed(t: &Test) {
    let canary = canary(t);
    for round in 0..10 {
        let dir = place(t, &format!("pids-{round}"));
        let file = dir.join("pid");
        let guessed = plant_for_the_next(&dir, "pid", &canary);
        let bundle = t.bundle().probe("sleep");
        let create = bundle.command("create", &["--pid-file", file.to_str().unwrap()]).spawn();
        let hit = guessed.contains(&create.pid());
        create.wait().success();
        let pid = pid_in(&file);
        t.runtime(["delete", "--force", bundle.id()]).output().success();
        kit::sys::reap(pid, Duration::from_secs(5));
        unharmed(&canary);
        assert_eq!(names(&dir).len(), 3001, "the planted files and the pid file");
        fs::remove_dir_all(dir).unwrap();
        if hit && round > 1 {
            return;
        }
    }
    kit::skip("too many processes start here: no pid was guessed");
}

fn the_mode_does_not_depend_on_the_umask(t: &Test) {
    t.only_orlop("it may use another mode");
    let file = t.dir().join("pid");
    for umask in ["000", "077"] {
        let container = t.bundle().probe("sleep");
        let call = container.command("create", &["--pid-file", file.to_str().unwrap()]);
        call.wrap(&format!("umask={umask}")).output().success();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644, "umask {umask}");
        t.runtime(["delete", "--force", container.id()]).output().success();
        kit::sys::reap(pid_in(&file), Duration::from_secs(5));
    }
}

fn refused(t: &Test, file: &Path, fragments: &[&str]) -> Output {
    let bundle = t.bundle().probe("sleep");
    let output = bundle.command("create", &["--pid-file", file.to_str().unwrap()]).output();
    t.runtime(["state", bundle.id()]).output().refused(&["does not exist"]);
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
    output.refused(fragments)
}

fn a_directory_is_not_replaced(t: &Test) {
    let dir = place(t, "pids");
    fs::create_dir(dir.join("pid")).unwrap();
    refused(t, &dir.join("pid"), &[]);
    assert_eq!((names(&dir), names(&dir.join("pid")).len()), (vec!["pid".to_owned()], 0));
}

fn a_device_is_not_replaced(t: &Test) {
    t.only_orlop("it may replace devices");
    let dir = place(t, "pids");
    let device = dir.join("null");
    let mode = Mode::from_bits_truncate(0o666);
    if mknod(&device, SFlag::S_IFCHR, mode, makedev(1, 3)).is_err() {
        kit::skip("no device can be created here");
    }
    refused(t, &device, &["write pid file", "a device of the host"]);
    assert!(fs::symlink_metadata(&device).unwrap().file_type().is_char_device());
    assert_eq!(names(&dir), ["null"]);
}

fn a_name_of_maximal_length_works(t: &Test) {
    t.only_orlop("it has other temporary names");
    let file = t.dir().join("p".repeat(255));
    let bundle = t.bundle().probe("sleep");
    bundle.command("create", &["--pid-file", file.to_str().unwrap()]).output().success();
    let pid = pid_in(&file);
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, Duration::from_secs(5));
}

fn manual_pages_replace_links_and_fifos(t: &Test) {
    t.only_orlop("it does not have this command");
    let canary = canary(t);
    let dir = place(t, "man8");
    symlink(&canary, dir.join("orlop.8")).unwrap();
    fifo(&dir.join("orlop-run.8"));
    fs::hard_link(&canary, dir.join("orlop-exec.8")).unwrap();
    t.bare(["man", "--directory", dir.to_str().unwrap()]).output().success();
    unharmed(&canary);
    let files = names(&dir);
    assert!(files.len() > 20 && files.iter().all(|name| name.ends_with(".8")), "{files:?}");
    for name in files {
        assert!(fs::symlink_metadata(dir.join(&name)).unwrap().is_file(), "{name}");
    }
}

fn logged(t: &Test, log: &Path) -> Output {
    t.runtime(["state", "no-such-container"]).global("--log").global(log.to_str().unwrap()).output()
}

fn a_log_that_is_a_link_is_refused(t: &Test) {
    t.only_orlop("others follow links");
    let canary = canary(t);
    let link = t.dir().join("log");
    for target in [canary.as_path(), &t.dir().join("made")] {
        symlink(target, &link).unwrap();
        logged(t, &link).refused(&["open log file", link.to_str().unwrap(), "symbolic link"]);
        fs::remove_file(&link).unwrap();
    }
    unharmed(&canary);
    assert!(!t.dir().join("made").exists());
    fs::create_dir(&link).unwrap();
    logged(t, &link).refused(&["open log file", link.to_str().unwrap()]);
    // A directory on the way may be a link.
    fs::create_dir(t.dir().join("logs")).unwrap();
    symlink("logs", t.dir().join("here")).unwrap();
    logged(t, &t.dir().join("here/log")).refused(&["does not exist"]);
    assert!(fs::read_to_string(t.dir().join("logs/log")).unwrap().contains("does not exist"));
}

fn a_log_that_is_a_fifo_does_not_block(t: &Test) {
    t.only_orlop("others wait");
    let log = t.dir().join("log");
    fifo(&log);
    let begun = Instant::now();
    logged(t, &log).refused(&["open log file", "FIFO"]);
    // A reader gets the record; a full FIFO does not block.
    let reader = fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
    logged(t, &log).refused(&["does not exist"]);
    let mut text = [0; 4096];
    let n = nix::unistd::read(&reader, &mut text).unwrap();
    assert!(String::from_utf8_lossy(&text[..n]).contains("does not exist"));
    let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
    nix::fcntl::fcntl(&reader, flags).unwrap();
    while nix::unistd::write(&reader, &text).is_ok() {}
    logged(t, &log).refused(&["does not exist"]);
    assert!(begun.elapsed() < kit::within(Duration::from_secs(10)), "{:?}", begun.elapsed());
}

fn a_log_may_be_stdout_stderr_or_null(t: &Test) {
    t.only_orlop("others open them");
    for (name, on_stdout) in [("/dev/stdout", true), ("/dev/stderr", false), ("/dev/null", false)] {
        let output = logged(t, Path::new(name)).refused(&["does not exist"]);
        assert_eq!(output.stdout.contains("level=error"), on_stdout, "{output}");
        assert_eq!(output.stderr.contains("level=error"), name == "/dev/stderr", "{output}");
    }
}

fn image_files_replace_links_and_fifos(t: &Test) {
    t.only_orlop("it writes other files");
    let (criu, canary) = (Criu::new(t), canary(t));
    let images = place(t, "checkpoint");
    symlink(&canary, images.join("descriptors.json")).unwrap();
    fifo(&images.join("orlop.json"));
    let guesses = plant_for_the_next(&images, "descriptors.json", &canary).len();
    let container = t.bundle().probe("sleep").start();
    criu.found_by(container.command("checkpoint", &["--leave-running"])).output().success();
    unharmed(&canary);
    for name in ["descriptors.json", "orlop.json"] {
        let stat = fs::symlink_metadata(images.join(name)).unwrap();
        assert!(stat.is_file() && stat.permissions().mode() & 0o7777 == 0o600, "{name}");
    }
    assert_eq!(names(&images).len(), guesses + 2);
}

fn planted_image_files_are_not_waited_for(t: &Test) {
    t.only_orlop("it reads other files");
    let criu = Criu::new(t);
    let images = place(t, "checkpoint");
    let bundle = t.bundle().probe("sleep").set("/annotations", json!({}));
    let restore = || criu.found_by(bundle.command("restore", &["--detach"])).output();
    let file = images.join("descriptors.json");
    fifo(&file);
    restore().refused(&["descriptors.json"]);
    fs::remove_file(&file).unwrap();
    // The target of a link is not quoted either.
    fs::write(t.dir().join("secret"), "\"secret\"").unwrap();
    symlink(t.dir().join("secret"), &file).unwrap();
    let output = restore().refused(&["descriptors.json"]);
    assert!(!output.stderr.contains("\"secret\""), "{output}");
    fs::remove_file(&file).unwrap();
    // The log of a criu that fails is read.
    fs::write(&file, "[]").unwrap();
    fifo(&images.join("restore.log"));
    let criu = Criu::new(t).with("fail", "no way");
    criu.found_by(bundle.command("restore", &["--detach"])).output().refused(&["no way"]);
}
