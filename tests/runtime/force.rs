//! `delete --force` and `kill` win within a second, whatever is under way on the container.

use kit::criu::Criu;
use kit::{Bundle, Case, Container, Output, Running, Test, json, within};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        a_stopped_helper_of_mounts,
        a_stopped_helper_in_a_shared_pid_namespace,
        a_hook_that_hangs_during_create,
        hooks_that_hang_later,
        what_a_killed_create_has_left,
        a_criu_that_hangs,
        a_stopped_create,
        a_create_stopped_anywhere,
        a_cgroup_that_cannot_freeze,
        a_deletion_that_takes_its_time,
        a_stopped_deletion,
        records_that_cannot_be_read,
        a_holder_that_may_not_be_killed,
        kill_waits_for_nothing,
    ]
}

/// What the promise allows.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);

/// A command that must succeed within the limit. On a machine that is busy with other things it may need a second chance,
/// which does not help one that waits.
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

/// Whether a process ends within three seconds; one that has lost its parent is this program's to reap.
pub(crate) fn has_ended(pid: i32) -> bool {
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

/// The pid that a process has written into a file.
fn written(t: &Test, file: &Path) -> i32 {
    let read = || fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
    t.wait_for("a pid", || read().is_some());
    read().unwrap()
}

/// The letter of a process's state.
pub(crate) fn letter(pid: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('X')
}

pub(crate) fn stop(pid: i32) {
    kit::sys::kill(pid, libc::SIGSTOP);
    let begun = Instant::now();
    while letter(pid) != 'T' && begun.elapsed() < within(Duration::from_secs(3)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A bundle with a hook that says who it is and never ends, and the file in which it says so.
fn hanging<'t>(t: &'t Test, kind: &str) -> (Bundle<'t>, PathBuf) {
    let file = t.dir().join(format!("{kind}.pid"));
    let words = format!("pid {} , sleep", file.display());
    (t.bundle().probe("sleep").host_hook(kind, &words), file)
}

/// `mounts add` again and again until one hangs.
fn hanging_mount<'t>(t: &'t Test, container: &Container<'_>) -> Running<'t> {
    t.only_orlop("its command is an experiment");
    let mounts = json!([{"destination": "/m", "type": "tmpfs", "source": "tmpfs"}]).to_string();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        let mut call = t.runtime(["mounts", "add", container.id(), "-"]).input(&mounts).spawn();
        let since = Instant::now();
        while since.elapsed() < within(Duration::from_secs(2)) {
            if call.has_ended() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        if !call.has_ended() {
            return call;
        }
        call.wait();
    }
    kit::skip("no helper could be stopped in 20 s");
}

/// A process of the container's that stops everything which it can see holds up the operation, and must not hold up its end.
fn a_stopped_helper_of_mounts(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", false).probe("stop_others");
    let container = bundle.start();
    container.first_line();
    let hanging = hanging_mount(t, &container);
    deleted(t, container.id());
    assert_ne!(hanging.wait().code(), 0);
    assert_eq!(container.wait(), 137);
}

/// There the end of the container's own processes is not the end of the helper.
fn a_stopped_helper_in_a_shared_pid_namespace(t: &Test) {
    t.only_orlop("its command is an experiment");
    let pod = t.bundle().set("/root/readonly", false).probe("await /go , stop_others").directory("/x");
    let gate = pod.path("/go");
    let pod = pod.start();
    let path = format!("/proc/{}/ns/pid", pod.pid());
    let container = t.bundle().set("/root/readonly", false).join("pid", &path).probe("sleep").start();
    fs::write(gate, "").unwrap();
    t.wait_for("the pod's process", || letter(container.pid()) == 'T');
    let hanging = hanging_mount(t, &container);
    deleted(t, container.id());
    assert_ne!(hanging.wait().code(), 0);
    assert_eq!(container.wait(), 137);
    pod.command("delete", &["--force"]).output().success();
    assert_eq!(pod.wait(), 137);
}

fn a_hook_that_hangs_during_create(t: &Test) {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let (bundle, file) = hanging(t, kind);
        let create = bundle.command("create", &[]).spawn();
        let hook = written(t, &file);
        deleted(t, bundle.id());
        create.wait().refused(&[kind, "signal 9"]);
        // The last one has said which number it has in the container; the run's end tells whether it was left.
        assert!(kind == "createContainer" || has_ended(hook), "{kind}");
    }
}

fn hooks_that_hang_later(t: &Test) {
    let (bundle, file) = hanging(t, "poststart");
    let container = bundle.create();
    let start = container.command("start", &[]).spawn();
    let hook = written(t, &file);
    deleted(t, bundle.id());
    start.wait().refused(&["poststart", "signal 9"]);
    assert!(has_ended(hook));
    assert_eq!(container.wait(), 137);
}

/// A manager's patience has an end: it kills the command, and the hook goes on without it.
fn what_a_killed_create_has_left(t: &Test) {
    t.only_orlop("it leaves hooks behind");
    let (bundle, file) = hanging(t, "createRuntime");
    let create = bundle.command("create", &[]).spawn();
    let hook = written(t, &file);
    let record = t.root().join(bundle.id()).join("helpers");
    let recorded = || fs::read_to_string(&record).unwrap_or_default().contains(&format!("{hook} "));
    t.wait_for("the hook's record", recorded);
    create.signal(libc::SIGKILL);
    create.wait().exits(137);
    deleted(t, bundle.id());
    assert!(has_ended(hook));
}

fn a_criu_that_hangs(t: &Test) {
    let criu = Criu::new(t).with("hang", "");
    let file = t.dir().join("criu/pid");
    let container = t.bundle().probe("sleep").start();
    let call = criu.found_by(container.command("checkpoint", &[])).spawn();
    let pid = written(t, &file);
    promptly("kill", || container.command("kill", &["KILL"]).output());
    deleted(t, container.id());
    call.wait().refused(&["criu has ended"]);
    assert!(has_ended(pid));
    assert_eq!(container.wait(), 137);

    fs::remove_file(&file).unwrap();
    fs::create_dir_all(t.dir().join("checkpoint")).unwrap();
    fs::write(t.dir().join("checkpoint/descriptors.json"), "[]").unwrap();
    let bundle = t.bundle();
    let call = criu.found_by(bundle.command("restore", &[])).spawn();
    let pid = written(t, &file);
    deleted(t, bundle.id());
    assert_ne!(call.wait().code(), 0);
    assert!(has_ended(pid));
}

/// A command that does nothing any more cannot let go: it is killed.
fn a_stopped_create(t: &Test) {
    t.only_orlop("it cannot tell who holds its lock");
    let (file, gate) = (t.dir().join("hook.pid"), t.dir().join("go"));
    let words = format!("pid {} , await {}", file.display(), gate.display());
    let bundle = t.bundle().probe("sleep").host_hook("createRuntime", &words);
    let create = bundle.command("create", &[]).spawn();
    let hook = written(t, &file);
    stop(create.pid());
    fs::write(gate, "").unwrap();
    // It waits to be reaped.
    t.wait_for("the hook's end", || letter(hook) == 'Z');
    let said = deleted(t, bundle.id());
    let pid = create.pid();
    assert!(said.stderr.contains(&format!("process {pid} held the lock")), "{said}");
    create.wait().exits(137);
}

fn a_create_stopped_anywhere(t: &Test) {
    t.only_orlop("it cannot tell who holds its lock");
    for n in 0..16 {
        let bundle = t.bundle().probe("sleep");
        let create = bundle.command("create", &[]).spawn();
        std::thread::sleep(Duration::from_micros(400 * n));
        stop(create.pid());
        promptly("delete --force", || t.runtime(["delete", "--force", bundle.id()]).output());
        // One that had not begun yet makes it now.
        create.signal(libc::SIGCONT);
        create.wait();
        deleted(t, bundle.id());
    }
}

fn a_cgroup_that_cannot_freeze(t: &Test) {
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
    assert!(!pause.has_ended(), "it could be frozen");
    deleted(t, container.id());
    pause.wait();
    assert_eq!(container.wait(), 137);
}

/// What removes the container already is not hurried: its hooks clean up.
fn a_deletion_that_takes_its_time(t: &Test) {
    let (file, gate, done) = (t.dir().join("hook.pid"), t.dir().join("go"), t.dir().join("done"));
    let words = format!("pid {} , await {} , pid {}", file.display(), gate.display(), done.display());
    let bundle = t.bundle().probe("sleep").host_hook("poststop", &words);
    let container = bundle.start();
    let first = container.command("delete", &["--force"]).spawn();
    written(t, &file);
    let mut second = container.command("delete", &["--force"]).spawn();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!second.has_ended());
    fs::write(gate, "").unwrap();
    first.wait().success();
    second.wait().success();
    assert!(done.exists(), "the hook has come to its end");
    container.wait();
}

fn a_stopped_deletion(t: &Test) {
    t.only_orlop("it cannot tell who holds its lock");
    let (file, gate) = (t.dir().join("hook.pid"), t.dir().join("go"));
    let words = format!("pid {} , await {}", file.display(), gate.display());
    let bundle = t.bundle().probe("sleep").host_hook("poststop", &words);
    let container = bundle.start();
    let first = container.command("delete", &["--force"]).spawn();
    let hook = written(t, &file);
    stop(first.pid());
    fs::write(gate, "").unwrap();
    t.wait_for("the hook's end", || letter(hook) == 'Z');
    // The hook runs once more, and finds its gate open.
    deleted(t, container.id());
    first.wait().exits(137);
    container.wait();
}

/// The record of helpers is a hint: without it, and with anything in its place, all else works.
fn records_that_cannot_be_read(t: &Test) {
    t.only_orlop("the file is its own");
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
            // Of this process, but from another time.
            fs::write(&file, format!("{me} 1 00000000-0000-0000-0000-000000000000\n")).unwrap();
        }
        container.command("delete", &[]).output().refused(&["not stopped"]);
        deleted(t, container.id());
        container.wait();
    }
}

/// A program that has not said that it may be killed is waited for; a claim that names another process is not believed.
fn a_holder_that_may_not_be_killed(t: &Test) {
    t.only_orlop("it cannot tell who holds its lock");
    let container = t.bundle().probe("sleep").start();
    let mut innocent = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let state = fs::File::open(t.root().join(container.id())).unwrap();
    let exclusive = nix::fcntl::FlockArg::LockExclusiveNonblock;
    let state = nix::fcntl::Flock::lock(state, exclusive).unwrap();
    kit::sys::lock_a_byte(&*state, i64::from(innocent.id()) << 2 | 1);
    let output = container.command("delete", &["--force"]).output();
    output.refused(&["another operation is under way on container", &format!("process {}", innocent.id())]);
    assert!(innocent.try_wait().unwrap().is_none(), "it has nothing to do with it");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
    assert_eq!(container.status(), "stopped", "its processes are ended nevertheless");
    drop(state);
    deleted(t, container.id());
    assert_eq!(container.wait(), 137);
}

/// It asks for no lock, and whatever the state is it answers.
fn kill_waits_for_nothing(t: &Test) {
    // While `create` hangs, before there is anything to be signalled and after.
    let (bundle, file) = hanging(t, "createRuntime");
    let create = bundle.command("create", &[]).spawn();
    written(t, &file);
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
    // A record that is written half, of a kind that is not known, or not at all.
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
