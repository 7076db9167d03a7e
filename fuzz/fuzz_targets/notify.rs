//! Messages to the service manager from any bytes.
#![no_main]

#[path = "../bodies/notify.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
