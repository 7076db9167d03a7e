//! The runtime against the real kernel: bundles in, containers out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may stop where it stands.

mod mount_options;
mod mounts;
mod namespaces;
mod process;

fn main() -> std::process::ExitCode {
    let rooms = [namespaces::cases(), process::cases(), mounts::cases(), mount_options::cases()];
    kit::main(env!("CARGO_BIN_EXE_orlop"), rooms.into_iter().flatten().collect())
}
