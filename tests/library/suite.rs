//! The library against the real kernel: containers from a program with threads of its own.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod checkpoint;
mod faults;
mod force;
mod lifecycle;
mod limits;
mod program;
mod roots;
mod threads;

use kit::{Bundle, Test, Value, json};
use orlop::container::{Container, CreateOptions, Exit, Runtime, Stdio};
use std::fs::File;
use std::path::Path;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|first| first == program::INSIDE) {
        return program::inside(&words[2..]);
    }
    kit::main("orlop-as-a-library", cases)
}

fn cases() -> Vec<kit::Case> {
    let rooms = [
        lifecycle::cases(),
        threads::cases(),
        faults::cases(),
        force::cases(),
        roots::cases(),
        limits::cases(),
        program::cases(),
        checkpoint::cases(),
    ];
    rooms.into_iter().flatten().collect()
}

/// A runtime with the test's own state root.
fn runtime(t: &Test) -> Runtime {
    Runtime::new(t.root()).unwrap()
}

/// The bundle as the library reads it.
fn load(bundle: &Bundle<'_>) -> orlop::bundle::Bundle {
    bundle.write();
    orlop::bundle::Bundle::load(bundle.dir()).unwrap()
}

/// Standard output and error in a file, standard input empty.
fn output_to(path: &Path) -> CreateOptions {
    let file = || File::options().append(true).create(true).open(path).unwrap().into();
    let null = File::open("/dev/null").unwrap().into();
    CreateOptions { stdio: Stdio::Fds([null, file(), file()]), ..CreateOptions::default() }
}

/// Starts a container, waits for its exit, and deletes it; returns how its process exited.
fn run_to_exit(container: &Container) -> Exit {
    container.start().unwrap();
    let exit = container.wait().unwrap();
    container.delete(false).unwrap();
    exit
}

/// The lines of a file as JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be incomplete.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}
