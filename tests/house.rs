//! The rules of the house that a machine can check.

#![allow(clippy::unwrap_used)] // A test may.

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with its floor; a room may use rooms of lower floors, and itself.
const FLOORS: [(&str, u8); 13] = [
    ("error", 0),
    ("sys", 0),
    ("bundle", 1),
    ("namespace", 2),
    ("cgroup", 2),
    ("mount", 2),
    ("process", 2),
    ("seccomp", 2),
    ("plan", 3),
    ("init", 4),
    ("container", 5),
    ("lib", 6),
    ("main", 7),
];

/// The rooms that may have `unsafe` in them.
const UNSAFE: [&str; 3] = ["src/sys/", "src/init/stub/", "runtime-bin/src/sys/"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `dir`.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room of a file below src/: its first directory, or its own name.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(top().join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The code of a file: without comments, and without the tests at its end.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms named after `crate::`, also in a list: `use crate::{error, sys::fs}`.
fn used(code: &str) -> Vec<String> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text: &str| text.chars().take_while(|c| is_name(*c)).collect::<String>();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(is_name) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (n, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && is_name(c) => {
                    found.push(name(&list[n..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn rooms_depend_only_downward() {
    let mut wrong = Vec::new();
    for path in sources(&top().join("src")) {
        let own = room(&path);
        let Some(height) = floor(&own) else {
            wrong.push(format!("{}: the room {own} has no floor in tests/house.rs", path.display()));
            continue;
        };
        for other in used(&code(&path)) {
            // Names that are no room are items of the crate's root: Error, Result.
            if let Some(above) = floor(&other) {
                let same_floor = above == height && other != own && height > 0;
                if above > height || same_floor {
                    wrong.push(format!("{}: {own} uses {other}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_floor_test_sees_what_is_there() {
    let found = used(
        "use crate::sys::fs; use crate::{error::Error, plan, init::{a, b}}; fn f() { crate::container::g() }",
    );
    assert_eq!(found, ["sys", "error", "plan", "init", "container"]);
    let all: Vec<String> = sources(&top().join("src")).iter().map(|path| room(path)).collect();
    for (name, _) in FLOORS.iter().filter(|(name, _)| *name != "main") {
        assert!(all.iter().any(|room| room == name), "the room {name} is gone");
    }
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut wrong = Vec::new();
    for dir in ["src", "runtime-bin/src", "examples", "benches"] {
        let dir = top().join(dir);
        for path in if dir.is_dir() { sources(&dir) } else { Vec::new() } {
            let below = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
            let allowed = UNSAFE.iter().any(|room| below.starts_with(room)) || below.starts_with("benches/");
            let text = code(&path);
            let uses =
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code", "#[unsafe("];
            if !allowed && uses.iter().any(|word| text.contains(word)) {
                wrong.push(below);
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe outside {UNSAFE:?}: {wrong:?}");
}

#[test]
fn every_unsafe_block_says_why() {
    for path in UNSAFE.iter().flat_map(|room| sources(&top().join(room))) {
        let text = fs::read_to_string(&path).unwrap();
        let blocks = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//") && line.contains("unsafe {"))
            .count();
        assert!(blocks == 0 || text.contains("SAFETY:"), "{}", path.display());
    }
}

/// Files that people read, and scripts: nothing in them is true on one machine only.
#[test]
fn nothing_names_the_workplace() {
    let mut files: Vec<PathBuf> = Vec::new();
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml", "runtime-bin/Cargo.toml", ".ci/run", "build.rs"] {
        files.push(top().join(name));
    }
    for dir in ["docs", "examples", "src", "runtime-bin/src", "runtime-bin/build", "runtime-bin/order"] {
        let dir = top().join(dir);
        if dir.is_dir() {
            files.extend(
                fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_file()),
            );
            files.extend(sources(&dir));
        }
    }
    for dir in ["tests", "tests/vm", "tests/managers", "tests/managers/inside", "tests/managers/scenarios"] {
        let dir = fs::read_dir(top().join(dir)).into_iter().flatten().flatten().map(|entry| entry.path());
        // This file has the words.
        files.extend(dir.filter(|path| path.is_file() && !path.ends_with("tests/house.rs")));
    }
    let words = ["/work/", ".cargo/registry", "deb.debian.org", "proxy.golang.org"];
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| path.exists()) {
        let text = fs::read_to_string(path).unwrap_or_default();
        for word in words.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{} names {word}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_function_or_file_is_left_half_done() {
    let mut wrong = Vec::new();
    for dir in ["src", "runtime-bin/src"] {
        for path in sources(&top().join(dir)) {
            let text = code(&path);
            for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"] {
                if text.contains(word) {
                    wrong.push(format!("{} has {word}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a step says, and what becomes of it, is decided for each step by name: clippy refuses a wildcard arm there.
#[test]
fn no_match_over_steps_has_a_wildcard() {
    const LINTS: [&str; 2] =
        ["clippy::match_wildcard_for_single_variants", "clippy::wildcard_enum_match_arm"];
    let mut wrong = Vec::new();
    for dir in ["src/plan/step", "src/plan/lower"] {
        let dir = top().join(dir);
        let room = dir.join("mod.rs");
        let denied = format!("#![deny({})]", LINTS.join(", "));
        if !code(&room).lines().any(|line| line == denied) {
            wrong.push(format!("{} has no {denied}", room.display()));
        }
        // No other attribute names them, such as one that lets them pass.
        for path in sources(&dir) {
            let text = code(&path).replace(&denied, "");
            if LINTS.iter().any(|lint| text.contains(lint)) {
                wrong.push(format!("{} has another level for them", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The README's second command is what CI runs.
#[test]
fn ci_runs_what_the_readme_says() {
    let read = |name: &str| fs::read_to_string(top().join(name)).unwrap();
    let readme = read("README.md");
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert!(blocks.len() >= 2 && blocks.iter().take(2).all(|b| b.lines().count() == 1), "{blocks:?}");
    let program = blocks[0].split_whitespace().next().unwrap();
    assert!(top().join(program).is_file(), "{program} is not there");
    let last = read(".ci/run").lines().last().unwrap().to_owned();
    assert_eq!(last.strip_prefix("exec "), Some(blocks[1]));
}
