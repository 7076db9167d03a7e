//! Many threads: containers side by side, while other threads allocate; nothing of the process changes.

use crate::lifecycle::without_stdio;
use crate::{load, run_to_exit, runtime};
use kit::{Case, Test};
use orlop::ErrorKind;
use orlop::container::Exit;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![sixteen_threads_run_containers, one_of_many_creates_with_one_id_succeeds]
}

/// What a library must not change.
fn process_state() -> BTreeMap<&'static str, String> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.to_owned()
    };
    let link = |path: &str| fs::read_link(path).unwrap().display().to_string();
    BTreeMap::from([
        ("cwd", link("/proc/self/cwd")),
        ("root", link("/proc/self/root")),
        ("mounts", link("/proc/self/ns/mnt")),
        ("pids of children", link("/proc/self/ns/pid_for_children")),
        ("umask", field("Umask")),
        ("ignored", field("SigIgn")),
        ("caught", field("SigCgt")),
        ("blocked", field("SigBlk")),
        ("capabilities", field("CapEff")),
        ("cgroup", fs::read_to_string("/proc/self/cgroup").unwrap()),
        ("environment", format!("{:?}", std::env::vars())),
        ("dumpable", format!("{:?}", nix::sys::prctl::get_dumpable())),
    ])
}

fn sixteen_threads_run_containers(t: &Test) {
    const THREADS: u8 = 16;
    let before = process_state();
    let bundles: Vec<_> =
        (0..THREADS).map(|n| (t.id(), load(&t.bundle().probe(&format!("exit {n}"))))).collect();
    let (start, done) = (Barrier::new(usize::from(THREADS) + 2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // The allocator's locks, which other threads hold while a child is created, must not matter.
            scope.spawn(|| {
                start.wait();
                let mut n = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    n = (n * 31 + 17) % 100_000;
                    std::hint::black_box(vec![1_u8; n]);
                }
            });
        }
        let makers: Vec<_> = bundles
            .iter()
            .zip(0..)
            .map(|((id, bundle), n)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    for round in 0..3 {
                        let id = format!("{id}-{round}");
                        let container = runtime(t).create(&id, bundle, &without_stdio()).unwrap();
                        assert_eq!(run_to_exit(&container), Exit::Code(n));
                    }
                })
            })
            .collect();
        let ended: Vec<_> = makers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert_eq!(process_state(), before);
    assert!(runtime(t).list().unwrap().is_empty());
}

/// Of several calls with one ID one succeeds, and nothing of the others is left.
fn one_of_many_creates_with_one_id_succeeds(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    for _ in 0..5 {
        let (id, start) = (t.id(), Barrier::new(8));
        let results: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        runtime(t).create(&id, &bundle, &without_stdio())
                    })
                })
                .collect();
            all.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for e in lost.into_iter().filter_map(Result::err) {
            assert!(
                matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::Busy),
                "{e}: the cgroup of the same name, or the id"
            );
        }
        won.into_iter().next().unwrap().unwrap().delete(true).unwrap();
    }
}
