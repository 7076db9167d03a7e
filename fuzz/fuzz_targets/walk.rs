//! Path walking against a model.
#![no_main]

#[path = "../bodies/walk.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
