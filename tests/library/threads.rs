//! Many threads: containers side by side, while others allocate and nothing of the process changes.

use crate::lifecycle::nothing;
use crate::{live, load, runtime};
use kit::{Case, Test};
use orlop::ErrorKind;
use orlop::container::Exit;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![sixteen_threads, one_id_for_many]
}

/// What a library has no business to change.
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

fn sixteen_threads(t: &Test) {
    const THREADS: u8 = 16;
    let before = process_state();
    let bundles: Vec<_> =
        (0..THREADS).map(|n| (t.id(), load(&t.bundle().probe(&format!("exit {n}"))))).collect();
    let (start, done) = (Barrier::new(usize::from(THREADS) + 2), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // Whoever holds the allocator's locks while a child is made must not matter.
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
                        let container = runtime(t).create(&id, bundle, &nothing()).unwrap();
                        assert_eq!(live(&container), Exit::Code(n));
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

/// Of those who want one id one wins, and nothing that the others tried is left.
fn one_id_for_many(t: &Test) {
    let bundle = load(&t.bundle().probe("sleep"));
    for _ in 0..5 {
        let (id, start) = (t.id(), Barrier::new(8));
        let results: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        runtime(t).create(&id, &bundle, &nothing())
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
