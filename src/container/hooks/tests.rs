use super::*;
use crate::container::hooks::launcher::{HookLauncher, HookLocation};
use crate::container::state::{OCI_VERSION, Status};
use crate::container::store::lock::OperationLock;
use std::collections::BTreeMap;
use std::path::Path;

fn state(status: Status) -> State {
    State {
        oci_version: OCI_VERSION.into(),
        id: "box".into(),
        pid: 42,
        status,
        bundle: "/bundle".into(),
        rootfs: "/bundle/rootfs".into(),
        created: "2026-01-01T00:00:00Z".into(),
        annotations: BTreeMap::new(),
        owner: "root".into(),
    }
}

fn shell(script: &str) -> Hook {
    Hook { path: "/bin/sh".into(), args: ["sh", "-c", script].map(String::from).to_vec(), ..Hook::default() }
}

/// An operation on a container that consists only of a directory, and the processes that the operation has started.
struct Operation {
    directory: &'static str,
    state: std::path::PathBuf,
    lock: OperationLock,
    pids: std::cell::RefCell<Vec<i32>>,
}

impl SpawnHook for Operation {
    fn spawn(&self, hook: &Hook, stdio: [OwnedFd; 3]) -> Result<StartedHook, String> {
        let launcher = HookLauncher {
            kernel: (6, 18),
            location: HookLocation::Host(Path::new(self.directory)),
            lock: &self.lock,
        };
        let started = launcher.spawn(hook, stdio)?;
        self.pids.borrow_mut().push(started.pid);
        Ok(started)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

fn on_host(directory: &'static str) -> Operation {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let state = tempfile_dir(&format!("hook-state-{n}"));
    let lock = OperationLock::take(std::fs::File::open(&state).unwrap(), "box", false).unwrap();
    Operation { directory, state, lock, pids: Vec::new().into() }
}

fn run_here(kind: HookKind, hooks: &[Hook]) -> Result<()> {
    run(kind, hooks, &state(Status::Creating), &on_host("/tmp"))
}

#[test]
fn a_failing_hook_is_named_with_what_it_printed() {
    let hooks = [shell("exit 0"), shell("echo said; echo boom >&2; exit 3")];
    let e = run_here(HookKind::CreateRuntime, &hooks).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Hook);
    assert_eq!(e.pointer(), Some("/hooks/createRuntime/1"));
    let text = e.to_string();
    assert!(
        text.starts_with("error running createRuntime hook #1: exit status 3, stdout: said, stderr: boom"),
        "{text}"
    );
    let e = run_here(HookKind::Prestart, &[shell("kill -9 $$")]).unwrap_err();
    assert!(e.to_string().contains("hook #0: signal 9"), "{e}");
}

#[test]
fn the_state_is_on_standard_input() {
    let hook = shell(
        r#"s=$(cat); case "$s" in '{"ociVersion":"1.3.0","id":"box","pid":42,"status":"creating","bundle":"/bundle"'*) exit 0;; esac; echo "$s"; exit 1"#,
    );
    run_here(HookKind::CreateRuntime, std::slice::from_ref(&hook)).unwrap();
    // It can also be opened by its path, which would fail for a socket.
    run_here(HookKind::CreateRuntime, &[shell("test -s /dev/stdin && cat /dev/stdin | grep -q creating")])
        .unwrap();
}

#[test]
fn a_hook_need_not_read_its_input() {
    for _ in 0..20 {
        run_here(HookKind::Prestart, &[shell("exec <&-; exit 0")]).unwrap();
    }
}

#[test]
fn environment_and_first_argument_are_those_of_the_hook() {
    let mut hook = shell("test \"$0|$A|$B|$HOME\" = 'name|1|x=y|'");
    hook.args[0] = "other".into();
    hook.args.push("name".into());
    hook.env = vec!["A=1".into(), "B=x=y".into()];
    run_here(HookKind::Prestart, &[hook]).unwrap();
    let argv0 = Hook {
        path: "/bin/cat".into(),
        args: ["renamed", "/proc/self/cmdline"].map(String::from).to_vec(),
        ..Hook::default()
    };
    let failing = Hook { args: ["renamed", "/does-not-exist"].map(String::from).to_vec(), ..argv0.clone() };
    run_here(HookKind::Prestart, &[argv0]).unwrap();
    let e = run_here(HookKind::Prestart, &[failing]).unwrap_err();
    assert!(e.to_string().contains("stderr: renamed: /does-not-exist"), "{e}");
    let order = shell("tr '\\0' ' ' < /proc/$$/environ; exit 1");
    let order = Hook { env: ["Z=1", "A=2", "M=3"].map(String::from).to_vec(), ..order };
    let e = run_here(HookKind::Prestart, &[order]).unwrap_err();
    assert!(e.to_string().contains("stdout: Z=1 A=2 M=3"), "{e}");
    // Without `env`, the environment is empty.
    let e =
        run_here(HookKind::Prestart, &[shell("cat /proc/self/environ | tr '\\0' ' '; exit 1")]).unwrap_err();
    assert!(!e.to_string().contains("CARGO"), "{e}");
}

#[test]
fn a_hook_inherits_no_descriptor_or_working_directory_of_the_caller() {
    let leak = std::fs::File::open("/etc/hostname").unwrap();
    nix::fcntl::fcntl(&leak, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let hook = shell(
        "test \"$(pwd)\" = /tmp && cd /proc/self/fd && for f in 3 4 5 6 7 8 9; do readlink $f; done; exit 1",
    );
    let e = run_here(HookKind::Prestart, &[hook]).unwrap_err();
    assert!(!e.to_string().contains("hostname"), "{e}");
    drop(leak);
}

#[test]
fn a_missing_program_is_named() {
    let hook = Hook { path: "/does/not/exist".into(), ..Hook::default() };
    let e = run_here(HookKind::Poststop, &[hook]).unwrap_err();
    assert!(
        e.to_string()
            .starts_with("error running poststop hook #0: exec: \"/does/not/exist\": stat /does/not/exist: no such file or directory"),
        "{e}"
    );
}

#[test]
fn the_timeout_kills_the_whole_process_group() {
    let directory = tempfile_dir("hook-timeout");
    let mark = directory.join("mark");
    let mut hook = shell(&format!("(sleep 3; touch {}) & sleep 60", mark.display()));
    hook.timeout = Some(1);
    let began = Instant::now();
    let e = run_here(HookKind::CreateRuntime, &[hook]).unwrap_err();
    assert!(e.to_string().contains("hook ran past specified timeout of 1s"), "{e}");
    assert!(began.elapsed() < Duration::from_millis(2900), "{:?}", began.elapsed());
    std::thread::sleep(Duration::from_millis(3300).saturating_sub(began.elapsed()));
    assert!(!mark.exists(), "a grandchild has survived the timeout");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_grandchild_with_the_pipes_open_is_not_waited_for() {
    let began = Instant::now();
    run_here(HookKind::CreateRuntime, &[shell("sleep 5 & exit 0")]).unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_grandchild_that_prints_without_end_is_not_waited_for() {
    let began = Instant::now();
    for code in [0, 7] {
        let done = run_here(HookKind::CreateRuntime, &[shell(&format!("yes & yes >&2 & exit {code}"))]);
        assert_eq!(done.is_ok(), code == 0);
        assert!(done.err().is_none_or(|e| e.to_string().len() < 3 * OUTPUT_LIMIT));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn output_is_bounded_and_never_blocks_the_hook() {
    let e = run_here(HookKind::CreateRuntime, &[shell("head -c 1000000 /dev/zero | tr '\\0' x; exit 7")])
        .unwrap_err();
    let text = e.to_string();
    assert!(text.contains("exit status 7") && text.len() < 3 * OUTPUT_LIMIT, "{}", text.len());
    let mut endless = shell("while :; do echo yes; done");
    endless.timeout = Some(1);
    assert!(run_here(HookKind::CreateRuntime, &[endless]).is_err());
}

#[test]
fn run_all_continues_after_a_failure() {
    let directory = tempfile_dir("hook-all");
    let mark = directory.join("mark");
    let hooks = [shell("exit 1"), shell(&format!("grep -q stopped && touch {}", mark.display()))];
    let mut reports = Vec::new();
    let operation = on_host("/does/not/exist");
    run_all(HookKind::Poststop, &hooks, &state(Status::Stopped), &operation, |e| reports.push(e.to_string()))
        .unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(mark.exists());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn every_hook_is_reaped() {
    let operation = on_host("/");
    let mut slow = shell("sleep 60");
    slow.timeout = Some(1);
    for hook in [shell("exit 0"), shell("exit 1"), slow] {
        let _ = run(HookKind::Prestart, &[hook], &state(Status::Creating), &operation);
    }
    let pids = operation.pids.borrow().clone();
    assert_eq!(pids.len(), 3);
    let recorded = std::fs::read_to_string(operation.state.join("helpers")).unwrap();
    for pid in pids {
        assert!(recorded.lines().any(|line| line.starts_with(&format!("{pid} "))), "{pid} in {recorded}");
        // EINVAL: a thread has the number by now.
        let error = sys::process::pidfd_open(pid).unwrap_err();
        assert!(matches!(error, Errno::ESRCH | Errno::EINVAL), "{error}");
    }
}

/// If the operation is killed before, nothing would find the hook.
#[test]
fn a_hook_runs_only_after_it_was_recorded() {
    let operation = on_host("/");
    let (helpers, ran) = (operation.state.join("helpers"), operation.state.join("ran"));
    // Writing the record waits until the FIFO has a reader.
    nix::unistd::mkfifo(&helpers, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let hook = shell(&format!("touch {}", ran.display()));
    let (ran_before, record) = std::thread::scope(|scope| {
        let recorder = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            (ran.exists(), std::fs::read_to_string(&helpers).unwrap())
        });
        run(HookKind::Prestart, &[hook], &state(Status::Creating), &operation).unwrap();
        recorder.join().unwrap()
    });
    assert!(!ran_before, "the hook ran before it was recorded");
    assert!(record.starts_with(&format!("{} ", operation.pids.borrow()[0])), "{record}");
    assert!(ran.exists());
}

fn tempfile_dir(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("orlop-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
