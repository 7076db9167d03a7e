//! The init stub's machine with any bytes as a blob.
#![no_main]

#[path = "../bodies/interpreter.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
