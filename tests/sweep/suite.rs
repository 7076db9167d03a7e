//! Every system call of the host side fails in turn, or is the last one: of the command and of the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod descriptors;
mod judge;
mod library;
mod life;
mod named;
mod scene;
mod subjects;
mod sweep;

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == life::NAME) {
        return life::main();
    }
    kit::main_in_turn(env!("CARGO_BIN_EXE_orlop"), cases)
}

fn cases() -> Vec<kit::Case> {
    let mut all = library::cases();
    all.extend(descriptors::cases());
    for subject in subjects::ALL {
        all.push(kit::Case::new(format!("sweep::fails::{}", subject.name), |t| sweep::faults(t, subject)));
        if !subject.slow {
            all.push(kit::Case::new(format!("sweep::killed::{}", subject.name), |t| {
                sweep::kills(t, subject);
            }));
        }
    }
    all
}
