//! What no file may contain.

use crate::limits::{Findings, compare};
use crate::source::{Token, files};
use crate::structure::add;
use crate::{below_top, top};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file of the repository that is text; not what is built, and not the corpora.
fn texts(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if ["target", ".git", "corpus", "corpora"].contains(&&*name.to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.is_file() {
            found.extend(fs::read_to_string(&path).ok().map(|text| (path, text)));
        }
    }
    found
}

/// Nothing in the repository is true on one machine only.
#[test]
fn nothing_names_the_workplace() {
    let words = ["/work/", ".cargo/registry", "deb.debian.org", "proxy.golang.org"];
    let mut wrong = Vec::new();
    // This file has the words.
    for (path, text) in texts(&top()).iter().filter(|(path, _)| !path.ends_with("tests/house/tree.rs")) {
        for word in words.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{} names {word}", below_top(path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A test that prints why it cannot run, and returns, counts as passed. The kit's harness reports it as skipped; the unit
/// tests in `src` have another harness, and their limits only fall.
#[test]
fn no_test_skips_itself_in_silence() {
    let mut findings = Findings::new();
    for source in files(&["src", "runtime-bin", "tests", "xtask"]) {
        // This file has the words.
        if source.path.ends_with("tests/house/tree.rs") {
            continue;
        }
        let text = fs::read_to_string(&source.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("\"skipped: ")) {
            let is_printed = line.contains("println!") || lines[number - 1].trim_end().ends_with("println!(");
            if is_printed {
                add(&mut findings, source, format!("line {}", number + 1));
            }
        }
    }
    compare("silent-skips", &findings);
}

#[test]
fn no_function_or_file_is_left_half_done() {
    let mut wrong = Vec::new();
    let half =
        |pair: &[Token]| ["todo", "unimplemented", "dbg"].contains(&&*pair[0].text) && pair[1].text == "!";
    let mark = |text: &str| ["TODO", "FIXME", "XXX"].iter().any(|mark| text.contains(mark));
    for source in files(&["src", "runtime-bin", "xtask"]) {
        let macros = source.code.windows(2).filter(|pair| half(pair)).map(|pair| pair[0].line);
        let marks = source.comments.iter().filter(|comment| mark(&comment.text)).map(|comment| comment.line);
        wrong.extend(macros.chain(marks).map(|line| format!("{}:{line}", below_top(&source.path))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a step says, and what becomes of it, is decided for each step by name: clippy refuses a wildcard arm there.
#[test]
fn no_match_over_steps_has_a_wildcard() {
    const LINTS: [&str; 2] = ["match_wildcard_for_single_variants", "wildcard_enum_match_arm"];
    let denied = format!("#![deny(clippy::{}, clippy::{})]", LINTS[0], LINTS[1]);
    let mut wrong = Vec::new();
    for directory in ["src/plan/step", "src/plan/lower"] {
        let room = top().join(directory).join("mod.rs");
        if !fs::read_to_string(&room).unwrap().lines().any(|line| line == denied) {
            wrong.push(format!("{} has no {denied}", below_top(&room)));
        }
        // No other attribute names them, such as one that lets them pass.
        for source in files(&[directory]) {
            let named = source.code.iter().filter(|token| LINTS.contains(&&*token.text)).count();
            if named != if source.path == room { 2 } else { 0 } {
                wrong.push(format!("{} has another level for {LINTS:?}", below_top(&source.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
