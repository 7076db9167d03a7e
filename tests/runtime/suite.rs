//! The runtime against the real kernel: bundles in, containers out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may stop where it stands.

mod process;

fn main() -> std::process::ExitCode {
    let cases = [process::cases()].into_iter().flatten().collect();
    kit::main(env!("CARGO_BIN_EXE_orlop"), cases)
}
