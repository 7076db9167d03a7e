//! The rules of the house that a machine can check.
//!
//! Some rules are not kept everywhere yet: `limits.txt` says by how much, and its numbers only fall.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may.

mod documents;
mod graph;
mod limits;
mod rooms;
mod safety;
mod source;
mod structure;
mod tree;
mod words;

use std::path::{Path, PathBuf};

/// The rules that have limits.
const RULES: [&str; 12] = [
    "circles",
    "upward",
    "layers",
    "long-files",
    "long-functions",
    "far-methods",
    "same-names",
    "panics",
    "persons",
    "phrases",
    "names",
    "silent-skips",
];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A path as the repository names it.
fn below_top(path: &Path) -> String {
    path.strip_prefix(top()).unwrap_or(path).to_string_lossy().into_owned()
}

/// What a file counts to: the room of the library or of the binary, the directory of tests, the document.
fn room_of(path: &Path) -> String {
    let below = below_top(path);
    let parts: Vec<&str> = below.trim_end_matches(".rs").split('/').collect();
    match parts[..] {
        ["src", "init", "stub", ..] => "stub".into(),
        ["src", room, ..] => room.into(),
        ["runtime-bin", "src", room, ..] => format!("runtime-bin/{room}"),
        ["tests" | "fuzz" | "benches", directory, _, ..] => format!("{}/{directory}", parts[0]),
        _ => parts.join("/"),
    }
}
