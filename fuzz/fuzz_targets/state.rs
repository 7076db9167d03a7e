//! A container's journal from any bytes: the library's own functions, from its own files, and a state root.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unexpected_cfgs,
    clippy::all,
    reason = "the library's files are linted as parts of the library"
)]

#[path = "../../src/bundle/mod.rs"]
mod bundle;
#[path = "../../src/cgroup/mod.rs"]
mod cgroup;
#[path = "../../src/error.rs"]
mod error;
#[path = "state/init.rs"]
mod init;
#[path = "state/plan.rs"]
mod plan;
#[path = "../../src/sys/mod.rs"]
mod sys;

use error::{Error, ErrorKind, Phase, Problem, Result};

/// The part of the module `container` that the journal needs.
#[path = "state/container.rs"]
mod container;

#[path = "../bodies/state_root.rs"]
mod state_root;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    container::state::run(data);
    state_root::run(data);
});
