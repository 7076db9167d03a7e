//! A program that may not use `unsafe`: what it can do with the library, and what does not compile.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

mod public;
mod refused;

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::main_plain([public::cases(), refused::cases()].into_iter().flatten().collect())
}
