//! `unsafe` has its rooms and its reasons; nothing panics on input.

use crate::below_top;
use crate::limits::{Findings, compare};
use crate::source::{Source, Token, files, sources};
use crate::structure::add;

/// The rooms that may have `unsafe` in them.
const UNSAFE: [&str; 4] = ["src/sys/", "src/init/stub/", "runtime-bin/src/sys/", "benches/"];

#[test]
fn unsafe_stays_in_its_rooms() {
    let mut wrong = Vec::new();
    let allows = |pair: &[Token]| pair[0].text == "(" && pair[1].text == "unsafe_code";
    for source in files(&["src", "runtime-bin", "examples", "benches", "xtask"]) {
        let below = below_top(&source.path);
        let forbids = source.code.iter().any(|token| ["forbid", "deny"].contains(&&*token.text));
        let mut uses =
            source.code.windows(2).filter(|pair| pair[1].text == "unsafe" || allows(pair) && !forbids);
        if let Some(pair) = uses.next().filter(|_| !UNSAFE.iter().any(|room| below.starts_with(room))) {
            wrong.push(format!("{below}:{}", pair[1].line));
        }
    }
    assert!(wrong.is_empty(), "unsafe outside of {UNSAFE:?}: {wrong:#?}");
}

#[test]
fn every_unsafe_block_has_its_reason() {
    let mut wrong = Vec::new();
    for source in files(&UNSAFE) {
        let below = below_top(&source.path);
        wrong.extend(without_reason(source).into_iter().map(|line| format!("{below}:{line}")));
    }
    assert!(wrong.is_empty(), "unsafe without a SAFETY comment before it: {wrong:#?}");
}

/// The lines of `unsafe { }` and `unsafe impl` whose statement has no SAFETY comment at its beginning.
fn without_reason(source: &Source) -> Vec<usize> {
    let mut wrong = Vec::new();
    for (at, token) in source.all.iter().enumerate().filter(|(_, token)| token.text == "unsafe") {
        let next = source.all.get(at + 1).map_or("", |token| &token.text);
        if !["{", "impl"].contains(&next) {
            continue;
        }
        let before = statement_start(&source.all[..at]);
        let says = |line: usize| before <= line && line <= token.line;
        if !source.comments.iter().any(|comment| comment.text.contains("SAFETY") && says(comment.line)) {
            wrong.push(token.line);
        }
    }
    wrong
}

/// The line on which the statement or match arm begins that these tokens are the first part of.
fn statement_start(before: &[Token]) -> usize {
    let mut depth = 0_usize;
    for token in before.iter().rev() {
        match token.text.as_str() {
            ")" | "]" => depth += 1,
            "(" | "[" => depth = depth.saturating_sub(1),
            ";" | "{" | "}" | "," if depth == 0 => return token.line,
            _ => {}
        }
    }
    0
}

/// Calls that end the process on an unchecked value.
#[test]
fn nothing_panics_on_input() {
    let mut findings = Findings::new();
    for source in sources(&["src", "runtime-bin/src"]) {
        for line in panics(source) {
            add(&mut findings, source, format!("line {line}"));
        }
    }
    compare("panics", &findings);
}

fn panics(source: &Source) -> Vec<usize> {
    let is_one = |three: &&[Token]| {
        let [before, name, after] = [&*three[0].text, &*three[1].text, &*three[2].text];
        match name {
            "unwrap" | "expect" => before == "." && after == "(",
            "panic" | "unreachable" | "todo" | "unimplemented" => after == "!",
            _ => false,
        }
    };
    source.code.windows(3).filter(is_one).map(|three| three[1].line).collect()
}

#[test]
fn the_safety_rules_see_what_is_there() {
    let text = "fn a() {\n// SAFETY: why.\nlet (a, x) = f(unsafe { 1 });\nlet y = unsafe { 2 };\nx.unwrap();\npanic!();\n}\n\
        #[test]\nfn t() { x.unwrap() }";
    let source = Source::parse("src/room/file.rs".as_ref(), text);
    assert_eq!(without_reason(&source), [4]);
    assert_eq!(panics(&source), [5, 6]);
}
