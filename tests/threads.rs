//! Sixteen threads of one program run programs and containers side by side, while other threads allocate and check
//! that nothing of the process changes. It has no test harness: nothing else happens in this process, so even its
//! descriptors can be counted, and it is the containers' program as well.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use orlop::bundle::Bundle;
use orlop::bundle::spec::{Process, Root, Spec};
use orlop::cgroup::Layout;
use orlop::container::{CreateOptions, Exit, Runtime, Stdio};
use orlop::init::Command;
use orlop::namespace::{NamespaceKind, Namespaces};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const THREADS: usize = 16;
const ROUNDS: usize = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, code] = &arguments[..]
        && word == "inside"
    {
        std::process::exit(code.parse().unwrap());
    }
    if !nix::unistd::geteuid().is_root() {
        println!("test threads ... ignored, skipped: needs root");
        return;
    }
    let directory = std::env::temp_dir().join(format!("orlop-threads-{}", std::process::id()));
    let program = make_rootfs(&directory);
    // What is created once and kept: the stub's file, the C library's own signal handler for threads.
    std::thread::spawn(|| ()).join().unwrap();
    command(&program, &Namespaces::new(), 0);
    life(&directory, "warm", 0);
    many(&directory, &program);
    fs::remove_dir_all(&directory).unwrap();
    println!("threads: {THREADS} threads, {} lives: ok", THREADS * ROUNDS);
}

fn many(directory: &Path, program: &str) {
    // Children that are not the library's: one that runs, one that has exited.
    let mut living =
        std::process::Command::new("sleep").arg("60").stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut ended = std::process::Command::new("sh").args(["-c", "exit 5"]).spawn().unwrap();
    let before = (process_state(), descriptors());
    let set = [NamespaceKind::Pid, NamespaceKind::Mount, NamespaceKind::Ipc, NamespaceKind::Uts]
        .into_iter()
        .fold(Namespaces::new(), Namespaces::create);
    let (start, done, looks) = (Barrier::new(THREADS + 4), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let mut n = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    n = (n * 31 + 17) % 100_000;
                    std::hint::black_box(vec![1_u8; n]);
                    if n.is_multiple_of(64) {
                        assert_unchanged(&before.0);
                        looks.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let workers: Vec<_> = (0..THREADS)
            .map(|n| {
                let (start, set) = (&start, &set);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..ROUNDS {
                        if (n + round).is_multiple_of(2) {
                            command(program, set, n);
                        } else {
                            life(directory, &format!("{n}-{round}"), n);
                        }
                    }
                })
            })
            .collect();
        let all: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(all.iter().all(Result::is_ok));
    });
    assert!(looks.load(Ordering::Relaxed) > 0);
    assert_unchanged(&before.0);
    assert_eq!(descriptors(), before.1);
    assert!(living.try_wait().unwrap().is_none());
    living.kill().unwrap();
    living.wait().unwrap();
    assert_eq!(ended.wait().unwrap().code(), Some(5));
    // No other child is left, not even a zombie.
    assert_eq!(nix::sys::wait::waitpid(None, None), Err(nix::errno::Errno::ECHILD));
}

/// A program in namespaces of its own, and a program that does not exist.
fn command(program: &str, set: &Namespaces, code: usize) {
    let code = i32::try_from(code).unwrap();
    let child = Command::new(program).args(["inside", &code.to_string()]).namespaces(set).spawn().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(code));
    assert!(Command::new("/nowhere").namespaces(set).spawn().is_err());
}

/// The whole life of a container.
fn life(directory: &Path, id: &str, code: usize) {
    let pure = Layout::detect().unwrap().is_some_and(|layout| layout.is_unified());
    let template = Spec::template(pure);
    let process = Process {
        terminal: false,
        args: vec!["/program".into(), "inside".into(), code.to_string()],
        ..template.process.clone().unwrap()
    };
    let root = Root { path: directory.join("rootfs").display().to_string(), readonly: true };
    let spec = Spec { process: Some(process), root: Some(root), ..template };
    let bundle = Bundle::from_spec(None, spec).unwrap();
    let runtime = Runtime::new(directory.join("state")).unwrap();
    let options = CreateOptions { stdio: Stdio::Null, ..CreateOptions::default() };
    let id = format!("orlop-threads-{}-{id}", std::process::id());
    let container = runtime.create(&id, &bundle, &options).unwrap_or_else(|e| panic!("{id}: {e}"));
    container.start().unwrap();
    assert_eq!(container.wait().unwrap(), Exit::Code(i32::try_from(code).unwrap()));
    container.delete(false).unwrap();
}

/// Creates a root with this program in it; returns the program's path.
fn make_rootfs(directory: &Path) -> String {
    let rootfs = directory.join("rootfs");
    for name in ["proc", "dev", "sys"] {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    fs::copy(&own, rootfs.join("program")).unwrap();
    own.display().to_string()
}

/// What a library must not change.
fn process_state() -> BTreeMap<&'static str, String> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |name: &str| {
        status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}")).to_owned()
    };
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let link = |path: &str| fs::read_link(path).unwrap().display().to_string();
    BTreeMap::from([
        ("working directory", link("/proc/self/cwd")),
        ("root", link("/proc/self/root")),
        ("mounts", link("/proc/self/ns/mnt")),
        ("namespace of children", link("/proc/self/ns/pid_for_children")),
        ("umask", field("Umask:")),
        ("ignored signals", field("SigIgn:")),
        ("caught signals", field("SigCgt:")),
        ("blocked signals", field("SigBlk:")),
        ("capabilities", field("CapEff:")),
        ("no new privileges", field("NoNewPrivs:")),
        ("filters", field("Seccomp:")),
        ("oom_score_adj", read("/proc/self/oom_score_adj")),
        ("cgroup", read("/proc/self/cgroup")),
        ("environment", format!("{:?}", std::env::vars().collect::<Vec<_>>())),
        ("dumpable", format!("{:?}", nix::sys::prctl::get_dumpable())),
    ])
}

fn assert_unchanged(before: &BTreeMap<&'static str, String>) {
    for (what, now) in process_state() {
        assert_eq!(before.get(what), Some(&now), "{what}");
    }
}

/// Every open descriptor and its target.
fn descriptors() -> Vec<(PathBuf, PathBuf)> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|entry| entry.path());
    // The descriptor of the directory itself is closed by now.
    let mut all: Vec<_> =
        entries.filter_map(|path| Some((path.clone(), fs::read_link(path).ok()?))).collect();
    all.retain(|(_, target)| !target.to_string_lossy().ends_with("/fd"));
    all.sort();
    all
}
