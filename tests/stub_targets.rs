//! The init stub compiles for every processor that the library supports, if the compiler has the core library for
//! it.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    kit::main_plain(kit::plain_cases![the_stub_compiles_for_x86_64, the_stub_compiles_for_aarch64])
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Whether the compiler has a core library for `target`.
fn has_core(target: &str) -> bool {
    let answer = rustc().args(["--print", "target-libdir", "--target", target]).output().unwrap();
    let directory = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    let mut files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
}

fn compiles(target: &str) {
    if !has_core(target) {
        kit::skip(format!("this compiler has no core library for {target}"));
    }
    let out = std::env::temp_dir().join(format!("orlop-stub-{}-{target}", std::process::id()));
    std::fs::create_dir(&out).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/init/stub/main.rs");
    let mut command = rustc();
    command.args(["--edition", "2024", "--crate-type", "bin", "--emit", "obj", "--target", target]);
    command.args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "relocation-model=static"]);
    let answer = command.arg("--out-dir").arg(&out).arg(source).output().unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
}

fn the_stub_compiles_for_x86_64() {
    compiles("x86_64-unknown-linux-gnu");
}

fn the_stub_compiles_for_aarch64() {
    compiles("aarch64-unknown-linux-gnu");
}
