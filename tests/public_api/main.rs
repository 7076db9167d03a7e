//! What a user of the library can name, one item per line, compared with `tests/public-api.txt`.
//!
//! `ORLOP_UPDATE_API=1 cargo test --test public_api` writes the file again; review the difference like any other
//! change. The list comes from the compiler's own JSON documentation of the library, which a stable compiler writes
//! only with `RUSTC_BOOTSTRAP` (set for rustdoc alone: nothing else is compiled in another way).

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

mod item;
mod list;
mod types;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The versions of rustdoc's format that the lister supports.
const FORMATS: [u64; 1] = [57];

fn main() -> ExitCode {
    kit::main_plain(kit::plain_cases![the_public_items_match_the_record, the_lister_lists_every_kind_of_item])
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that runs rustdoc and lets it write JSON.
fn rustdoc() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc-for-json");
    let real = std::env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".to_owned());
    // The tests beside this one may be writing or running the program.
    let unfinished = program.with_extension(format!("{:?}", std::thread::current().id()));
    std::fs::write(&unfinished, format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{real}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(unfinished, &program).unwrap();
    program
}

/// What rustdoc has written to `file`, or why it cannot be used.
fn documentation(command: &mut Command, file: &Path) -> Result<Value, String> {
    let answer = command.output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr);
    if !answer.status.success() {
        let unknown = ["unstable-options", "output-format"].iter().any(|word| said.contains(word));
        assert!(unknown, "{command:?}: {}\n{said}", answer.status);
        return Err(format!("the rustdoc of this compiler does not write JSON: {said}"));
    }
    let text = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let documentation: Value = serde_json::from_slice(&text).unwrap();
    match documentation["format_version"].as_u64() {
        Some(version) if FORMATS.contains(&version) => Ok(documentation),
        version => Err(format!("rustdoc's format is {version:?}, and the lister knows {FORMATS:?}")),
    }
}

/// Items that are hidden from the documentation can be named nevertheless.
const JSON: [&str; 5] = ["-Z", "unstable-options", "--output-format", "json", "--document-hidden-items"];

fn the_public_items_match_the_record() {
    let mut command = Command::new(env!("CARGO"));
    command.args(["rustdoc", "--quiet", "--offline", "--package", "orlop", "--lib", "--"]).args(JSON);
    command.current_dir(top()).env("RUSTDOC", rustdoc());
    // Beside the directory that cargo gives to tests, with or without a named target.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("doc/orlop.json");
    let documentation = match documentation(&mut command, &file) {
        Ok(documentation) => documentation,
        Err(reason) => kit::skip(reason),
    };
    let (lines, nameless) = list::list(&documentation);
    assert!(nameless.is_empty(), "public signatures have types that a user cannot name: {nameless:#?}");
    let file = top().join("tests/public-api.txt");
    if std::env::var_os("ORLOP_UPDATE_API").is_some() {
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        return;
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let recorded: Vec<&str> = text.lines().collect();
    let gone: Vec<_> = recorded.iter().filter(|line| !lines.iter().any(|other| other == *line)).collect();
    let new: Vec<_> = lines.iter().filter(|line| !recorded.contains(&line.as_str())).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "the public items have changed; ORLOP_UPDATE_API=1 records them\ngone: {gone:#?}\nnew: {new:#?}"
    );
    assert_eq!(recorded, lines, "tests/public-api.txt is not in order");
}

/// A crate with everything that the lister must distinguish, and the expected list.
fn the_lister_lists_every_kind_of_item() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sample-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let mut command = Command::new(rustdoc());
    command.arg(top().join("tests/public_api/sample.rs")).args([
        "--edition",
        "2024",
        "--crate-name",
        "sample",
    ]);
    command.arg("-o").arg(&directory).args(JSON);
    let found = documentation(&mut command, &directory.join("sample.json"));
    std::fs::remove_dir_all(directory).unwrap();
    let documentation = match found {
        Ok(documentation) => documentation,
        Err(reason) => kit::skip(reason),
    };
    let (lines, nameless) = list::list(&documentation);
    let expected = include_str!("sample.txt");
    assert_eq!(lines, expected.lines().collect::<Vec<_>>(), "{}", lines.join("\n"));
    assert_eq!(nameless, ["pub fn sample::leaks(_: &private sample::hidden::Leaked)"]);
}
