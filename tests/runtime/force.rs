//! `delete --force` and `kill` win within a second, no matter which operation is in progress on the container.

use kit::criu::Criu;
use kit::{Bundle, Case, Container, Output, Running, Test, json, within};
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_stopped_exec_does_not_delay_delete,
        a_stopped_exec_in_a_shared_pid_namespace_does_not_delay_delete,
        a_hook_that_hangs_during_create_is_killed,
        a_hook_that_hangs_after_start_is_killed,
        a_hook_of_a_killed_create_is_killed,
        a_hook_that_a_killed_create_has_not_recorded_does_not_run,
        a_criu_that_hangs_is_killed,
        a_stopped_create_is_killed,
        a_create_stopped_at_any_moment_is_killed,
        a_pause_that_waits_for_the_freezer_is_interrupted,
        a_slow_deletion_is_waited_for,
        a_stopped_deletion_is_killed_and_repeated,
        an_unreadable_record_of_helpers_is_ignored,
        only_a_dedicated_lock_holder_is_killed,
        kill_never_blocks,
    ]
}

/// The promised limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);

/// A command that must succeed within the limit. On a busy machine it gets a second try, which does not help a
/// command that waits.
pub(crate) fn promptly(what: &str, call: impl FnOnce() -> Output) -> Output {
    let begun = Instant::now();
    let output = call().success();
    let took = begun.elapsed();
    assert!(took < within(LIMIT), "{what} took {took:?}: {output}");
    output
}

/// `delete --force`, after which nothing is left of the container.
pub(crate) fn deleted(t: &Test, id: &str) -> Output {
    let output = promptly("delete --force", || t.runtime(["delete", "--force", id]).output());
    assert_eq!(t.leaks_of(id), Vec::<String>::new());
    output
}

/// Whether a process exits within three seconds; this program reaps orphans.
pub(crate) fn exits_soon(pid: i32) -> bool {
    let begun = Instant::now();
    loop {
        kit::sys::reap(pid, Duration::ZERO);
        if !Path::new(&format!("/proc/{pid}")).exists() {
            return true;
        }
        if begun.elapsed() > within(Duration::from_secs(3)) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// The pid that a process has written to a file.
fn pid_in(t: &Test, file: &Path) -> i32 {
    let read = || fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
    t.wait_for("a pid", || read().is_some());
    read().unwrap()
}

/// The letter of a process state in /proc/PID/stat.
pub(crate) fn state_letter(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('X')
}

pub(crate) fn stop(pid: i32) {
    kit::sys::kill(pid, libc::SIGSTOP);
    let begun = Instant::now();
    while state_letter(pid) != 'T' && begun.elapsed() < within(Duration::from_secs(3)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A bundle with a hook that writes its pid to a file and never exits, and the file.
fn hanging<'t>(t: &'t Test, kind: &str) -> (Bundle<'t>, PathBuf) {
    let file = t.dir().join(format!("{kind}.pid"));
    let words = format!("pid {} , sleep", file.display());
    (t.bundle().probe("sleep").host_hook(kind, &words), file)
}

/// Runs `exec` again and again until its process is stopped.
fn hanging_exec<'t>(t: &'t Test, container: &Container<'_>) -> Running<'t> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let mut call = t.runtime(["exec", container.id(), "/probe", "exit", "0"]).spawn();
        let since = Instant::now();
        while since.elapsed() < within(Duration::from_secs(1)) && !call.has_ended() {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !call.has_ended() {
            return call;
        }
        call.wait();
    }
    kit::skip("no process was stopped in 20 s");
}

/// A container process that stops all processes that it can see delays `exec`, but must not delay `delete`.
fn a_stopped_exec_does_not_delay_delete(t: &Test) {
    let container = t.bundle().probe("stop_others").start();
    container.first_line();
    let hanging = hanging_exec(t, &container);
    deleted(t, container.id());
    assert_ne!(hanging.wait().code(), 0);
    assert_eq!(container.wait(), 137);
}

/// The process of `exec` is not in the container's own pid namespace, so it does not die with the container's first
/// process.
fn a_stopped_exec_in_a_shared_pid_namespace_does_not_delay_delete(t: &Test) {
    let pod = t.bundle().set("/root/readonly", false).probe("await /go , stop_others");
    let gate = pod.path("/go");
    let pod = pod.start();
    let path = format!("/proc/{}/ns/pid", pod.pid());
    let container = t.bundle().join("pid", &path).probe("sleep").start();
    fs::write(gate, "").unwrap();
    t.wait_for("the pod's process", || state_letter(container.pid()) == 'T');
    let hanging = hanging_exec(t, &container);
    deleted(t, container.id());
    assert_ne!(hanging.wait().code(), 0);
    assert_eq!(container.wait(), 137);
    pod.command("delete", &["--force"]).output().success();
    assert_eq!(pod.wait(), 137);
}

fn a_hook_that_hangs_during_create_is_killed(t: &Test) {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let (bundle, file) = hanging(t, kind);
        let create = bundle.command("create", &[]).spawn();
        let hook = pid_in(t, &file);
        deleted(t, bundle.id());
        create.wait().refused(&[kind, "signal 9"]);
        // A createContainer hook reports its pid inside the container; the leak check of the run tells whether it
        // was left.
        assert!(kind == "createContainer" || exits_soon(hook), "{kind}");
    }
}

fn a_hook_that_hangs_after_start_is_killed(t: &Test) {
    let (bundle, file) = hanging(t, "poststart");
    let container = bundle.create();
    let start = container.command("start", &[]).spawn();
    let hook = pid_in(t, &file);
    deleted(t, bundle.id());
    start.wait().refused(&["poststart", "signal 9"]);
    assert!(exits_soon(hook));
    assert_eq!(container.wait(), 137);
}

/// An engine that times out kills the command, and the hook goes on without it.
fn a_hook_of_a_killed_create_is_killed(t: &Test) {
    t.only_orlop("it leaves hooks running");
    let (bundle, file) = hanging(t, "createRuntime");
    let create = bundle.command("create", &[]).spawn();
    let hook = pid_in(t, &file);
    let record = t.root().join(bundle.id()).join("helpers");
    let recorded = || fs::read_to_string(&record).unwrap_or_default().contains(&format!("{hook} "));
    t.wait_for("the hook's record", recorded);
    create.signal(libc::SIGKILL);
    create.wait().exits(137);
    deleted(t, bundle.id());
    assert!(exits_soon(hook));
}

/// The first hook replaces the record with a FIFO, so that recording the second one waits for ever.
fn a_hook_that_a_killed_create_has_not_recorded_does_not_run(t: &Test) {
    t.only_orlop("it leaves hooks running");
    let bundle = t.bundle();
    let record = t.root().join(bundle.id()).join("helpers");
    let file = t.dir().join("hook.pid");
    let script = format!("rm {0} && mkfifo {0}", record.display());
    let replace = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
    let bundle = bundle
        .probe("sleep")
        .push("/hooks/createRuntime", replace)
        .host_hook("createRuntime", &format!("pid {} , sleep", file.display()));
    let create = bundle.command("create", &[]).spawn();
    let is_fifo = || fs::metadata(&record).is_ok_and(|file| file.file_type().is_fifo());
    t.wait_for("the first hook", is_fifo);
    std::thread::sleep(within(Duration::from_millis(300)));
    create.signal(libc::SIGKILL);
    create.wait().exits(137);
    std::thread::sleep(within(Duration::from_millis(300)));
    assert!(!file.exists(), "the second hook has run");
    deleted(t, bundle.id());
}

fn a_criu_that_hangs_is_killed(t: &Test) {
    let criu = Criu::new(t).with("hang", "");
    let file = t.dir().join("criu/pid");
    let container = t.bundle().probe("sleep").start();
    let call = criu.found_by(container.command("checkpoint", &[])).spawn();
    let pid = pid_in(t, &file);
    promptly("kill", || container.command("kill", &["KILL"]).output());
    deleted(t, container.id());
    call.wait().refused(&["criu has ended"]);
    assert!(exits_soon(pid));
    assert_eq!(container.wait(), 137);

    fs::remove_file(&file).unwrap();
    fs::create_dir_all(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle();
    let call = criu.found_by(bundle.command("restore", &[])).spawn();
    let pid = pid_in(t, &file);
    deleted(t, bundle.id());
    assert_ne!(call.wait().code(), 0);
    assert!(exits_soon(pid));
}

/// A command that is stopped cannot release its lock: it is killed.
fn a_stopped_create_is_killed(t: &Test) {
    t.only_orlop("it does not record which process holds its lock");
    let (file, gate) = (t.dir().join("hook.pid"), t.dir().join("go"));
    let words = format!("pid {} , await {}", file.display(), gate.display());
    let bundle = t.bundle().probe("sleep").host_hook("createRuntime", &words);
    let create = bundle.command("create", &[]).spawn();
    let hook = pid_in(t, &file);
    stop(create.pid());
    fs::write(gate, "").unwrap();
    // It is a zombie, which its parent cannot reap now.
    t.wait_for("the hook to exit", || state_letter(hook) == 'Z');
    let said = deleted(t, bundle.id());
    let pid = create.pid();
    assert!(said.stderr.contains(&format!("process {pid} held the lock")), "{said}");
    create.wait().exits(137);
}

fn a_create_stopped_at_any_moment_is_killed(t: &Test) {
    t.only_orlop("it does not record which process holds its lock");
    for n in 0..16 {
        let bundle = t.bundle().probe("sleep");
        let create = bundle.command("create", &[]).spawn();
        std::thread::sleep(Duration::from_micros(400 * n));
        stop(create.pid());
        promptly("delete --force", || t.runtime(["delete", "--force", bundle.id()]).output());
        // A command that had not started its operation before does it now.
        create.signal(libc::SIGCONT);
        create.wait();
        deleted(t, bundle.id());
    }
}

fn a_pause_that_waits_for_the_freezer_is_interrupted(t: &Test) {
    t.needs_freezer();
    let bundle = t.bundle().probe("stuck");
    let bundle = ["bounding", "permitted", "effective"]
        .into_iter()
        .fold(bundle, |bundle, set| bundle.push(&format!("/process/capabilities/{set}"), "CAP_SYS_PTRACE"));
    let container = bundle.start();
    let said = container.first_line();
    if said["waits"] != true {
        kit::skip(format!("nothing waits in the kernel: {said}"));
    }
    let pause = container.command("pause", &[]).spawn();
    std::thread::sleep(Duration::from_millis(200));
    let mut pause = pause;
    assert!(!pause.has_ended(), "the cgroup could be frozen");
    deleted(t, container.id());
    pause.wait();
    assert_eq!(container.wait(), 137);
}

/// A deletion in progress is not interrupted: its hooks clean up.
fn a_slow_deletion_is_waited_for(t: &Test) {
    let (file, gate, done) = (t.dir().join("hook.pid"), t.dir().join("go"), t.dir().join("done"));
    let words = format!("pid {} , await {} , pid {}", file.display(), gate.display(), done.display());
    let bundle = t.bundle().probe("sleep").host_hook("poststop", &words);
    let container = bundle.start();
    let first = container.command("delete", &["--force"]).spawn();
    pid_in(t, &file);
    let mut second = container.command("delete", &["--force"]).spawn();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!second.has_ended());
    fs::write(gate, "").unwrap();
    first.wait().success();
    second.wait().success();
    assert!(done.exists(), "the hook has finished");
    container.wait();
}

fn a_stopped_deletion_is_killed_and_repeated(t: &Test) {
    t.only_orlop("it does not record which process holds its lock");
    let (file, gate) = (t.dir().join("hook.pid"), t.dir().join("go"));
    let words = format!("pid {} , await {}", file.display(), gate.display());
    let bundle = t.bundle().probe("sleep").host_hook("poststop", &words);
    let container = bundle.start();
    let first = container.command("delete", &["--force"]).spawn();
    let hook = pid_in(t, &file);
    stop(first.pid());
    fs::write(gate, "").unwrap();
    t.wait_for("the hook to exit", || state_letter(hook) == 'Z');
    // The hook runs once more, and its gate is open.
    deleted(t, container.id());
    first.wait().exits(137);
    container.wait();
}

/// The record of helpers is a hint: without it, or with any other content, everything else works.
fn an_unreadable_record_of_helpers_is_ignored(t: &Test) {
    t.only_orlop("it does not have this file");
    let me = std::process::id();
    let contents: [Option<&[u8]>; 5] =
        [None, Some(b""), Some(b"\0\xff\n\n1 1 1\n-1 2 3\n"), Some(b"x"), None];
    for (n, content) in contents.into_iter().enumerate() {
        let bundle = t.bundle().probe("sleep").set("/root/readonly", false);
        let container = bundle.start();
        let file = t.root().join(container.id()).join("helpers");
        let _ = fs::remove_file(&file);
        match content {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None if n == 0 => {}
            None => std::os::unix::fs::symlink("/etc/hostname", &file).unwrap(),
        }
        if n == 2 {
            // The pid of this process, with a start time that does not match.
            fs::write(&file, format!("{me} 1 00000000-0000-0000-0000-000000000000\n")).unwrap();
        }
        container.command("delete", &[]).output().refused(&["not stopped"]);
        deleted(t, container.id());
        container.wait();
    }
}

/// A program that has not declared that it may be killed is waited for; a claim that names another process is not
/// believed.
fn only_a_dedicated_lock_holder_is_killed(t: &Test) {
    t.only_orlop("it does not record which process holds its lock");
    let container = t.bundle().probe("sleep").start();
    let mut innocent = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let state = fs::File::open(t.root().join(container.id())).unwrap();
    let exclusive = nix::fcntl::FlockArg::LockExclusiveNonblock;
    let state = nix::fcntl::Flock::lock(state, exclusive).unwrap();
    kit::sys::lock_a_byte(&*state, i64::from(innocent.id()) << 2 | 1);
    let output = container.command("delete", &["--force"]).output();
    output.refused(&["another operation is under way on container", &format!("process {}", innocent.id())]);
    assert!(innocent.try_wait().unwrap().is_none(), "a process without the lock was killed");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    assert_eq!(container.status(), "stopped", "its processes are killed nevertheless");
    drop(state);
    deleted(t, container.id());
    assert_eq!(container.wait(), 137);
}

/// `kill` takes no lock, and returns whatever the state is.
fn kill_never_blocks(t: &Test) {
    // While `create` hangs, before there is a process to signal and after.
    let (bundle, file) = hanging(t, "createRuntime");
    let create = bundle.command("create", &[]).spawn();
    pid_in(t, &file);
    stop(create.pid());
    let kill = |signal: &str| {
        let begun = Instant::now();
        let output = t.runtime(["kill", bundle.id(), signal]).output();
        assert!(begun.elapsed() < within(LIMIT), "{:?}: {output}", begun.elapsed());
        output
    };
    kill("KILL").success();
    deleted(t, bundle.id());
    create.wait();
    // A record that is truncated, of an unknown format, or empty.
    let container = t.bundle().probe("sleep").start();
    let state = t.root().join(container.id()).join("journal");
    let whole = fs::read(&state).unwrap();
    for (text, reached) in [(&whole[..whole.len() - 9], true), (&whole[..40], false), (&b"{}\n"[..], false)] {
        fs::write(&state, text).unwrap();
        let begun = Instant::now();
        let output = container.command("kill", &["0"]).output();
        assert!(begun.elapsed() < within(LIMIT));
        assert_eq!(output.code() == 0, reached, "{output}");
    }
    fs::write(&state, &whole).unwrap();
    promptly("kill", || container.command("kill", &["KILL"]).output());
    assert_eq!(container.wait(), 137);
    deleted(t, container.id());
}
