//! The English of comments and documents, and the names of things.

use crate::limits::{Findings, compare};
use crate::source::{Comment, Source, files, is_name};
use crate::structure::add;
use crate::{below_top, room_of, top};
use std::fs;
use std::path::PathBuf;

/// Words for persons: a program, a process or a kernel is *it*.
const PERSONS: [&str; 11] =
    ["who", "whoever", "whom", "somebody", "someone", "nobody", "everybody", "anybody", "he", "him", "his"];

/// Phrases that have a usual form: see docs/STYLE.md.
const PHRASES: [&str; 6] = ["asked for", "is no ", "are no ", "has it not", "left aside", "stand still"];

/// Names that say nothing about the thing.
const NAMES: [&str; 14] = [
    "look",
    "glance",
    "hold",
    "presence",
    "usual",
    "held",
    "kept",
    "aside",
    "population",
    "own",
    "host_hears",
    "root_leaves",
    "utils",
    "helpers",
];

const RUST: [&str; 7] = ["src", "runtime-bin", "tests", "benches", "examples", "xtask", "fuzz"];

/// The documents: each is a room of its own.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["", "docs", "fuzz", "tests", "tests/vm", "tests/fixtures/managers", ".github"]
            .iter()
            .flat_map(|directory| fs::read_dir(top().join(directory)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
            // It quotes the words.
            .filter(|path| !path.ends_with("docs/STYLE.md"))
            .collect();
    found.sort();
    found
}

/// Words of a text, in lower case; what stands in backquotes is a name and no word.
fn words(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    prose
        .split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty())
        .collect()
}

fn person(text: &str) -> Option<String> {
    words(text).into_iter().find(|word| PERSONS.contains(&word.trim_end_matches("'s")))
}

fn phrase(text: &str) -> Option<&'static str> {
    let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join("").to_lowercase();
    // "There is no" is how it is said.
    let prose = prose.replace("there is no ", "").replace("there are no ", "");
    PHRASES.into_iter().find(|phrase| prose.contains(phrase))
}

fn each_comment(mut rule: impl FnMut(&Source, &Comment)) {
    for source in files(&RUST) {
        source.comments.iter().for_each(|comment| rule(source, comment));
    }
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let mut code = false;
        let mut comments = Vec::new();
        for (n, line) in text.lines().enumerate() {
            code ^= line.starts_with("```");
            if !code {
                comments.push(Comment { text: line.to_owned(), line: n + 1 });
            }
        }
        let source = Source { comments, ..Source::parse(&path, "") };
        source.comments.iter().for_each(|comment| rule(&source, comment));
    }
}

#[test]
fn programs_are_not_persons() {
    let mut findings = Findings::new();
    each_comment(|source, comment| {
        if let Some(word) = person(&comment.text) {
            add(&mut findings, source, format!("line {}: {word}", comment.line));
        }
    });
    compare("persons", &findings);
}

#[test]
fn phrases_are_the_usual_ones() {
    let mut findings = Findings::new();
    each_comment(|source, comment| {
        if let Some(phrase) = phrase(&comment.text) {
            add(&mut findings, source, format!("line {}: {phrase}", comment.line));
        }
    });
    compare("phrases", &findings);
}

#[test]
fn names_are_the_terms_of_the_field() {
    let mut findings = Findings::new();
    for source in files(&["src", "runtime-bin/src"]) {
        for pair in source.code.windows(2) {
            let [keyword, name] = [&*pair[0].text, &*pair[1].text];
            let defines =
                ["fn", "mod", "struct", "enum", "trait", "type"].contains(&keyword) && is_name(name);
            if defines && NAMES.contains(&&*name.to_lowercase()) {
                add(&mut findings, source, format!("line {}: {keyword} {name}", pair[1].line));
            }
        }
    }
    compare("names", &findings);
}

/// Misspellings that were made here or are made everywhere; a spelling checker knows more of them.
#[test]
fn nothing_is_misspelt() {
    let list = fs::read_to_string(top().join("tests/house/misspellings.txt")).unwrap();
    let wrong_words: Vec<&str> =
        list.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let mut wrong = Vec::new();
    each_comment(|source, comment| {
        for word in words(&comment.text).iter().filter(|word| wrong_words.contains(&&***word)) {
            wrong.push(format!("{}:{}: {word}", below_top(&source.path), comment.line));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_word_rules_see_what_is_there() {
    assert_eq!(person("The one who waits").as_deref(), Some("who"));
    assert_eq!(person("`who` is a program, the whole").as_deref(), None);
    assert_eq!(phrase("There is no cgroup"), None);
    assert_eq!(phrase("This is no cgroup"), Some("is no "));
    assert!(documents().iter().any(|path| path.ends_with("docs/ARCHITECTURE.md")));
    assert_eq!(room_of(&top().join("docs/ARCHITECTURE.md")), "docs/ARCHITECTURE.md");
    assert_eq!(room_of(&top().join("runtime-bin/src/args/mod.rs")), "runtime-bin/args");
}
