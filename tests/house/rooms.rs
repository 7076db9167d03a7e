//! The rooms of the library and their layers.

use crate::source::{Token, is_name, sources};
use crate::{below_top, room_of};

/// Each room with its layer; a room may use rooms of lower layers, and itself.
const LAYERS: [(&str, u8); 13] = [
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
    ("stub", 4),
    ("container", 5),
    ("lib", 6),
];

fn layer(room: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == room).map(|(_, layer)| *layer)
}

/// The names after `crate::`, also in a list: `use crate::{error, sys::fs}`.
fn used(code: &[Token]) -> Vec<&str> {
    let text = |at: usize| code.get(at).map_or("", |token| &token.text);
    let mut found = Vec::new();
    for at in (0..code.len()).filter(|at| text(*at) == "crate" && text(at + 1) == "::") {
        if is_name(text(at + 2)) {
            found.push(text(at + 2));
        }
        if text(at + 2) != "{" {
            continue;
        }
        let mut depth = 0;
        for n in at + 2..code.len() {
            match text(n) {
                "{" => depth += 1,
                "}" => depth -= 1,
                name if depth == 1 && is_name(name) && ["{", ","].contains(&text(n - 1)) => found.push(name),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

#[test]
fn rooms_depend_only_downward() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]) {
        let room = room_of(&source.path);
        let Some(height) = layer(&room) else {
            wrong.push(format!("{}: the room {room} has no layer in {}", below_top(&source.path), file!()));
            continue;
        };
        // The stub is a program: `crate` is its own root.
        for other in used(&source.code).into_iter().filter(|_| room != "stub") {
            // Names that are not rooms are items of the crate's root: Error, Result.
            if layer(other)
                .is_some_and(|above| above > height || above == height && other != room && height > 0)
            {
                wrong.push(format!("{}: {room} uses {other}", below_top(&source.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_layer_test_sees_what_is_there() {
    let text =
        "use crate::sys::fs; use crate::{error::Error, plan, init::{a, b}}; fn f() { crate::container::g() }";
    let source = crate::source::Source::parse("src/room/file.rs".as_ref(), text);
    assert_eq!(used(&source.code), ["sys", "error", "plan", "init", "container"]);
    let all: Vec<String> = sources(&["src"]).map(|source| room_of(&source.path)).collect();
    for (name, _) in LAYERS {
        assert!(all.iter().any(|room| room == name), "the room {name} is gone");
    }
}
