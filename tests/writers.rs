//! The code that may create files. All files for a caller are written by `sys::fs::replace_at` and
//! `sys::fs::create_at`; the few other places are listed here with the reason.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::fs;
use std::path::{Path, PathBuf};

/// What creates or truncates a file, in code.
const WORDS: [&str; 8] = [
    "O_CREAT",
    "O_TRUNC",
    "File::create",
    "fs::write(",
    ".create(true)",
    ".create_new(",
    ".truncate(true)",
    "fs::copy(",
];

/// Source files that may contain one of these words, and why.
const ALLOWED: [(&str, &str); 11] = [
    ("src/sys/fs.rs", "the implementation: O_EXCL, O_NOFOLLOW, a random name, an exact mode"),
    ("src/mount/in_root.rs", "in a container's root, one component at a time, O_EXCL and O_NOFOLLOW"),
    ("src/init/stub_file.rs", "the stub's own file: O_EXCL, on a file system of its own"),
    ("src/container/store/helper_processes.rs", "appended to, in the state directory: O_NOFOLLOW"),
    ("src/plan/lower/terminal.rs", "the stub's instructions: O_EXCL and O_NOFOLLOW"),
    ("src/plan/lower/device.rs", "the stub's instructions: O_EXCL and O_NOFOLLOW"),
    ("src/init/stub/abi.rs", "the flag's number"),
    ("src/init/stub/make_path.rs", "the stub: O_EXCL and O_NOFOLLOW"),
    ("src/init/stub/copy_tree.rs", "the stub: O_EXCL, into a new tmpfs"),
    ("runtime-bin/src/log.rs", "appended to: O_NOFOLLOW and O_NONBLOCK"),
    ("runtime-bin/src/commands/spec.rs", "config.json, O_EXCL"),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let of_tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(super) mod "];
    let end = of_tests.iter().filter_map(|attribute| text.find(attribute)).min().unwrap_or(text.len());
    let text = &text[..end];
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn only_listed_code_creates_files() {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "runtime-bin/src"] {
        sources(&top.join(dir), &mut files);
    }
    let (mut wrong, mut used) = (Vec::new(), Vec::new());
    for path in files {
        let below = path.strip_prefix(&top).unwrap().to_string_lossy().into_owned();
        let text = code(&fs::read_to_string(&path).unwrap());
        let found: Vec<&str> = WORDS.into_iter().filter(|word| text.contains(word)).collect();
        if found.is_empty() {
            continue;
        }
        match ALLOWED.iter().find(|(file, _)| *file == below) {
            Some((file, _)) => used.push(*file),
            None => wrong.push(format!("{below} has {}: use sys::fs::replace_at", found.join(", "))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let idle: Vec<_> = ALLOWED.iter().filter(|(file, _)| !used.contains(file)).collect();
    assert!(idle.is_empty(), "allowed without need: {idle:?}");
}

#[test]
fn comments_and_tests_are_not_code() {
    let text = "fn a() {} // O_CREAT\nlet b = 1;\n#[cfg(test)]\nmod tests { fs::write(x); }";
    assert_eq!(code(text), "fn a() {} \nlet b = 1;");
}
