//! Cgroup paths from any bytes.
#![no_main]

#[path = "../bodies/cgroups.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
