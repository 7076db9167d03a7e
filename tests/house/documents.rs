//! The documents say what is there.

use crate::top;
use std::fs;
use std::path::{Path, PathBuf};

fn read(name: &str) -> String {
    fs::read_to_string(top().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The README's second command is a gate of CI that is never skipped.
#[test]
fn ci_runs_what_the_readme_says() {
    let readme = read("README.md");
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert!(blocks.len() >= 2 && blocks.iter().take(2).all(|b| b.lines().count() == 1), "{blocks:?}");
    let program = blocks[0].split_whitespace().next().unwrap();
    assert!(top().join(program).is_file(), "{program} is not there");
    assert_eq!(read(".ci/run").lines().last(), Some("exec cargo xtask gates \"$@\""));
    let constant = format!("const README_TESTS: &str = \"{}\";", blocks[1]);
    assert!(read("xtask/src/gates.rs").contains(&constant), "xtask/src/gates.rs lacks {constant}");
}

/// A walk is a section of CONTRIBUTING.md below "Walks"; its numbered items begin with the file to edit.
fn walks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let walks = text.split("\n## ").find(|part| part.starts_with("Walks")).unwrap();
    walks
        .split("\n### ")
        .skip(1)
        .map(|walk| {
            let items = walk.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
            (walk.lines().next().unwrap(), items.map(|line| line.split('`').nth(1).unwrap_or(line)).collect())
        })
        .collect()
}

#[test]
fn every_walk_names_at_most_five_files() {
    let text = read("CONTRIBUTING.md");
    let walks = walks(&text);
    assert!(walks.len() >= 7, "{walks:?}");
    for (title, files) in walks {
        assert!((1..=5).contains(&files.len()), "{title}: {} files", files.len());
        for file in files {
            assert!(top().join(file).exists(), "{title}: {file} does not exist");
        }
    }
}

/// Every Markdown file outside of what is built.
fn documents(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_link_leads_to_a_file() {
    let mut wrong = Vec::new();
    for path in documents(&top()) {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let is_local = !file.is_empty() && !file.contains("://") && !file.contains(' ');
            if is_local && !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {link}", crate::below_top(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `docs/TESTING.md` is a map of all tests.
#[test]
fn every_test_program_is_on_the_map() {
    let map = read("docs/TESTING.md");
    let mut missing = Vec::new();
    for entry in fs::read_dir(top().join("tests")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_program = entry.path().extension().is_some_and(|extension| extension == "rs")
            || ["main.rs", "suite.rs", "run"].iter().any(|file| entry.path().join(file).exists());
        if is_program && !map.contains(&format!("`{name}`")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/TESTING.md does not have {missing:?}");
}

/// The files that these documents name in backquotes, if they look like paths. In ARCHITECTURE.md, paths begin at a room or
/// in the room of the section.
#[test]
fn every_path_that_is_named_exists() {
    let mut wrong = Vec::new();
    let names =
        ["CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/TESTING.md", "docs/STYLE.md", "docs/RELEASING.md"];
    for name in names {
        let below = if name.ends_with("ARCHITECTURE.md") { &["", "src", "src/plan"][..] } else { &[""] };
        for word in read(name).split('`').skip(1).step_by(2) {
            let is_path = word.contains('/')
                && !word.contains(|c: char| c.is_whitespace() || "*<>${}=~:".contains(c))
                && !word.starts_with('/')
                && !word.starts_with("target/");
            if is_path && !below.iter().any(|room| top().join(room).join(word).exists()) {
                wrong.push(format!("{name}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
