//! The bodies of the fuzz targets over their corpora, as ordinary tests. (Functions that only the library can call
//! are tested there: `src/container/corpora.rs`.)

// The bodies are public because fuzzers use them; one of them compiles the init stub.
#![allow(clippy::panic, clippy::expect_used, unreachable_pub, unsafe_code)]

#[path = "../fuzz/bodies/cgroups.rs"]
mod cgroups;
#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/interpreter.rs"]
mod interpreter;
#[path = "fixtures/made_up.rs"]
mod made_up;
#[path = "../fuzz/bodies/notify.rs"]
mod notify;
#[path = "../fuzz/bodies/plan.rs"]
mod plan;
#[path = "fuzz_corpora/plans.rs"]
mod plans;
#[path = "../fuzz/bodies/replay.rs"]
mod replay;
#[path = "../fuzz/bodies/seccomp.rs"]
mod seccomp;
#[path = "../fuzz/bodies/state_root.rs"]
mod state_root;
#[path = "../fuzz/bodies/walk.rs"]
mod walk;

use replay::replay;
use std::path::Path;

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

#[test]
fn interpreter_corpus() {
    replay("interpreter", interpreter::run);
}

/// The plans of configurations that managers wrote, unchanged and with changes, in the target `interpreter`.
/// `ORLOP_FUZZ_SEEDS=DIRECTORY` writes them there as seeds for a fuzzer.
#[test]
fn plans_in_the_interpreter() {
    let seeds = std::env::var_os("ORLOP_FUZZ_SEEDS");
    let mut random = 1u64;
    let plans = plans::of_managers();
    assert!(plans.len() > 20, "{} plans", plans.len());
    for (name, blob) in plans {
        println!("{name}");
        if let Some(directory) = &seeds {
            std::fs::write(Path::new(directory).join(&name), [&[0, 0], &blob[..]].concat()).expect("seeds");
        }
        // First every call succeeds; then a call fails at some point.
        for answers in
            [&[][..], &[1, 2, 3], &[3; 40], &[0, 0, 0, 0, 0xc1], &[5, 0x7f, 0x80, 9, 0xc5, 0xff, 0]]
        {
            let (blob, answers) = (blob.clone(), answers.to_vec());
            replay::on_a_large_stack(move || interpreter::run_plan(&blob, &answers));
        }
        let changed: Vec<Vec<u8>> = (0..20).map(|_| plans::changed(&blob, &mut random)).collect();
        replay::on_a_large_stack(move || changed.iter().for_each(|input| interpreter::run(input)));
    }
}

#[test]
fn walk_corpus() {
    replay("walk", walk::run);
}

#[test]
fn state_corpus() {
    replay("state", state_root::run);
}

#[test]
fn notify_corpus() {
    replay("notify", notify::run);
}

#[test]
fn cgroups_corpus() {
    replay("cgroups", cgroups::run);
}
