//! The bodies of the fuzz targets over their corpora, as ordinary tests: one line a target below.

#![allow(clippy::panic, unreachable_pub)] // The bodies are tests, and public where fuzzers use them.

use std::fs;
use std::path::Path;

#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/plan.rs"]
mod plan;
#[path = "../fuzz/bodies/seccomp.rs"]
mod seccomp;

/// Runs `body` over every file of a target's corpus.
fn replay(target: &str, body: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<_> = fs::read_dir(&directory).into_iter().flatten().flatten().collect();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    for file in files {
        println!("{}", file.path().display());
        body(&fs::read(file.path()).unwrap_or_default());
    }
}

#[test]
fn config_corpus() {
    replay("config", config::run);
}

#[test]
fn seccomp_corpus() {
    replay("seccomp", seccomp::run);
}

#[test]
fn plan_corpus() {
    replay("plan", plan::run);
}
