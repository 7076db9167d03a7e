//! Which file uses which: the paths in `use` and in the code of a crate's files, followed through re-exports.

use crate::source::{Source, Token, after_group, is_name, sources};
use crate::top;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

/// A module's path below its crate.
pub(crate) type Module = Vec<String>;

/// The files of a crate, and the arrows between them.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) files: BTreeMap<Module, &'static Source>,
    /// From a file to the files that define what it names.
    pub(crate) arrows: BTreeMap<Module, BTreeSet<Module>>,
}

/// A `use`: the path from the crate's root, and the name that it has here.
#[derive(Debug)]
struct Import {
    path: Vec<String>,
    name: String,
    exported: bool,
}

/// The crates of this project, and directories below them that are crates of their own.
const CRATES: [(&str, &[&str]); 3] =
    [("src", &["init/stub"]), ("src/init/stub", &[]), ("runtime-bin/src", &[])];

/// The graphs of the library, the stub and the binary.
pub(crate) fn graphs() -> &'static [Graph] {
    static GRAPHS: OnceLock<Vec<Graph>> = OnceLock::new();
    GRAPHS.get_or_init(|| CRATES.iter().map(|(root, without)| Graph::of_crate(root, without)).collect())
}

impl Graph {
    fn of_crate(root: &str, without: &[&str]) -> Self {
        let files = sources(&[root]).filter_map(|source| {
            let below = source.path.strip_prefix(top().join(root)).unwrap();
            (!without.iter().any(|other| below.starts_with(other))).then(|| (module(below), source))
        });
        Self::new(files.collect())
    }

    fn new(files: BTreeMap<Module, &'static Source>) -> Self {
        let imports: BTreeMap<Module, Vec<Import>> =
            files.iter().map(|(module, source)| (module.clone(), imports(module, &source.code))).collect();
        let mut arrows = BTreeMap::new();
        for (module, source) in &files {
            let mut named: Vec<Vec<String>> = imports[module]
                .iter()
                // What a file re-exports, it does not use.
                .filter(|import| !import.exported)
                .map(|import| import.path.clone())
                .collect();
            named.extend(paths(module, &source.code, &files));
            let ends = named.iter().filter_map(|path| resolve(path, &files, &imports, 0));
            arrows.insert(module.clone(), ends.filter(|end| end != module).collect());
        }
        Self { files, arrows }
    }

    /// The files that are part of a circle: each reaches itself.
    pub(crate) fn circles(&self) -> Vec<&Module> {
        self.files.keys().filter(|module| self.reachable(module).contains(module)).collect()
    }

    /// The files that a file of a circle uses, and that use it in turn.
    pub(crate) fn circle_of(&self, module: &Module) -> Vec<&Module> {
        self.arrows[module].iter().filter(|next| self.reachable(next).contains(module)).collect()
    }

    fn reachable(&self, from: &Module) -> BTreeSet<&Module> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Module> = self.arrows[from].iter().collect();
        while let Some(module) = next.pop() {
            if found.insert(module) {
                next.extend(&self.arrows[module]);
            }
        }
        found
    }
}

fn module(below: &Path) -> Module {
    let mut parts: Module =
        below.with_extension("").components().map(|part| part.as_os_str().to_string_lossy().into()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The file that defines what a path names; `None` if it is of another crate.
fn resolve(
    path: &[String],
    files: &BTreeMap<Module, &Source>,
    imports: &BTreeMap<Module, Vec<Import>>,
    depth: usize,
) -> Option<Module> {
    let mut at = Module::new();
    for (n, part) in path.iter().enumerate() {
        let mut child = at.clone();
        child.push(part.clone());
        if files.contains_key(&child) {
            at = child;
            continue;
        }
        let import = imports[&at].iter().find(|import| import.name == *part && import.path != path[..=n]);
        if let Some(import) = import.filter(|_| depth < 8) {
            let whole: Vec<String> = import.path.iter().chain(&path[n + 1..]).cloned().collect();
            return resolve(&whole, files, imports, depth + 1);
        }
        if declares_module(&files[&at].all, part) {
            // A file of another crate, by #[path]; or a module in line, which is a part of this file.
            return if has_body(&files[&at].all, part) { Some(at) } else { None };
        }
        break;
    }
    let external = path.first().is_some_and(|first| first == EXTERNAL);
    (!external).then_some(at)
}

/// The first part of a path that leads out of the crate.
const EXTERNAL: &str = "::";

fn declares_module(tokens: &[Token], name: &str) -> bool {
    tokens.windows(2).any(|pair| pair[0].text == "mod" && pair[1].text == name)
}

fn has_body(tokens: &[Token], name: &str) -> bool {
    tokens.windows(3).any(|three| three[0].text == "mod" && three[1].text == name && three[2].text == "{")
}

/// The module that `self` means at each token: the file's, and within it `mod name { ... }`.
fn inline_depths(code: &[Token]) -> Vec<usize> {
    let mut depths = vec![0; code.len()];
    for at in 0..code.len().saturating_sub(2) {
        if code[at].text == "mod" && code[at + 2].text == "{" {
            depths[at + 2..after_group(code, at + 2)].iter_mut().for_each(|depth| *depth += 1);
        }
    }
    depths
}

/// The absolute path of what begins with `head`, or `None` if the words before it do not say where it begins.
fn absolute(module: &Module, inline: usize, words: &[String]) -> Option<Vec<String>> {
    let mut base = module.clone();
    let mut inline = inline;
    let mut rest = words;
    match rest.first()?.as_str() {
        "crate" => (base, rest) = (Module::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                if inline > 0 {
                    inline -= 1;
                } else {
                    base.pop();
                }
                rest = &rest[1..];
            }
        }
        _ => return None,
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

fn imports(module: &Module, code: &[Token]) -> Vec<Import> {
    let depths = inline_depths(code);
    let mut found = Vec::new();
    for at in 0..code.len() {
        if code[at].text != "use"
            || (at > 0 && ![";", "}", "{", ")", "]", "pub"].contains(&&*code[at - 1].text))
        {
            continue;
        }
        let exported = at > 0 && ["pub", ")"].contains(&&*code[at - 1].text);
        let mut leaves = Vec::new();
        tree(&code[at + 1..], &mut 0, &mut Vec::new(), &mut leaves);
        for (words, name) in leaves {
            let path = absolute(module, depths[at], &words).unwrap_or_else(|| {
                // A module of this file, or another crate.
                let local = declares_module(code, &words[0]);
                let start = if local { module.clone() } else { vec![EXTERNAL.to_owned()] };
                start.into_iter().chain(words.clone()).collect()
            });
            found.push(Import { path, name, exported });
        }
    }
    found
}

/// The leaves of a use tree: its words, and the name that it gets.
fn tree(tokens: &[Token], at: &mut usize, words: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let length = words.len();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.text.as_str() {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|token| token.text != "}") {
                    tree(tokens, at, words, leaves);
                    if tokens.get(*at).is_some_and(|token| token.text == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                words.truncate(length);
                return;
            }
            "*" => {
                leaves.push((words.clone(), "*".into()));
                words.truncate(length);
                return;
            }
            word if is_name(word) => {
                // `a::{self}` is `a`.
                if word != "self" || words.is_empty() {
                    words.push(word.to_owned());
                }
                let next = tokens.get(*at).map_or("", |token| &token.text);
                if next == "::" {
                    continue;
                }
                let mut name = words.last().cloned().unwrap_or_default();
                if next == "as" {
                    name = tokens.get(*at + 1).map_or(name, |token| token.text.clone());
                    *at += 2;
                }
                leaves.push((words.clone(), name));
                words.truncate(length);
                return;
            }
            _ => return,
        }
    }
}

/// The paths in a file's code, outside of `use`: those that begin with `crate`, `self` or `super`, or with a module of this file.
fn paths(module: &Module, code: &[Token], files: &BTreeMap<Module, &Source>) -> Vec<Vec<String>> {
    let depths = inline_depths(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let before = at.checked_sub(1).map_or("", |before| &code[before].text);
        if code[at].text == "use" && [";", "}", "{", ")", "]", "pub", ""].contains(&before) {
            at += code[at..].iter().position(|token| token.text == ";").unwrap_or(1);
            continue;
        }
        let mut words = Vec::new();
        let mut end = at;
        while is_name(&code[end].text) && before != "::" && before != "." {
            words.push(code[end].text.clone());
            if code.get(end + 1).is_none_or(|token| token.text != "::") || end + 2 >= code.len() {
                break;
            }
            end += 2;
        }
        // `pub(in crate::x)` and `pub(super)` name no item.
        let visibility = at > 1
            && (before == "(" && code[at - 2].text == "pub" || before == "in" && code[at - 2].text == "(");
        if words.len() > 1 && !visibility {
            let mut child = module.clone();
            child.push(words[0].clone());
            if let Some(path) = absolute(module, depths[at], &words) {
                found.push(path);
            } else if files.contains_key(&child) {
                child.extend(words[1..].iter().cloned());
                found.push(child);
            }
        }
        at += 1;
    }
    found
}

#[cfg(test)]
fn made_up(files: &[(&str, &str)]) -> Graph {
    Graph::new(
        files
            .iter()
            .map(|(name, text)| {
                (module(Path::new(name)), &*Box::leak(Box::new(Source::parse(Path::new(name), text))))
            })
            .collect(),
    )
}

#[test]
fn the_graph_sees_what_is_there() {
    let graph = made_up(&[
        ("lib.rs", "mod error; mod room; pub use error::Error;"),
        ("error.rs", "pub struct Error;"),
        ("room/mod.rs", "mod a; mod b; mod c; pub use a::A; pub(crate) fn helper() {}"),
        (
            "room/a.rs",
            "use super::b::B; use crate::Error; use nix::b::X; pub struct A; #[cfg(test)] use super::c;",
        ),
        ("room/b.rs", "use super::{A, c::{self, C as D}}; pub struct B;"),
        ("room/c.rs", "fn f() { super::helper(); } pub mod inner { fn g() { super::f() } }"),
    ]);
    let arrow =
        |from: &str, to: &str| graph.arrows[&module(Path::new(from))].contains(&module(Path::new(to)));
    assert!(arrow("room/a.rs", "room/b.rs") && arrow("room/a.rs", "error.rs"));
    assert!(!arrow("room/a.rs", "room/c.rs"), "tests do not count");
    assert!(arrow("room/b.rs", "room/a.rs"), "through the re-export");
    assert!(!arrow("room/b.rs", "room/mod.rs") && !arrow("room/mod.rs", "room/a.rs"));
    assert!(arrow("room/b.rs", "room/c.rs") && arrow("room/c.rs", "room/mod.rs"));
    let circles: Vec<String> = graph.circles().iter().map(|module| module.join("::")).collect();
    assert_eq!(circles, ["room::a", "room::b"]);
}
