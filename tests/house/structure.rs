//! How files lean on each other, and how large they are.

use crate::graph::{Graph, Module, graphs};
use crate::limits::{Findings, compare};
use crate::source::{Source, Token, after_group, files, is_name};
use crate::{below_top, room_of, top};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn add(findings: &mut Findings, source: &Source, finding: impl AsRef<str>) {
    let line = format!("{}: {}", below_top(&source.path), finding.as_ref());
    findings.entry(room_of(&source.path)).or_default().push(line);
}

#[test]
fn no_file_is_part_of_a_circle() {
    let mut findings = Findings::new();
    for graph in graphs() {
        for module in graph.circles() {
            let next: Vec<String> = graph.circle_of(module).iter().map(|to| to.join("::")).collect();
            add(&mut findings, graph.files[module], format!("in a circle with {}", next.join(", ")));
        }
    }
    compare("circles", &findings);
}

#[test]
fn no_file_uses_the_file_of_its_directory() {
    let mut findings = Findings::new();
    for graph in graphs() {
        for (module, ends) in &graph.arrows {
            let is_above = |end: &&Module| module.len() > end.len() && module.starts_with(end);
            for end in ends.iter().filter(is_above) {
                add(
                    &mut findings,
                    graph.files[module],
                    format!("uses what {} defines", below_top(&graph.files[end].path)),
                );
            }
        }
    }
    compare("upward", &findings);
}

/// The layers inside a room, from the lowest up, by the names of its files and directories.
#[derive(Debug)]
struct Layers<'a> {
    room: &'a str,
    heights: BTreeMap<&'a str, usize>,
}

impl<'a> Layers<'a> {
    fn parse(line: &'a str) -> Self {
        let (room, layers) = line.split_once(':').unwrap();
        let layer =
            |(height, names): (usize, &'a str)| names.split_whitespace().map(move |name| (name, height));
        Self { room, heights: layers.split('|').enumerate().flat_map(layer).collect() }
    }

    /// The files of a crate's root are a room too, by the crate's name.
    fn part<'b>(&self, module: &'b [String]) -> Option<&'b String> {
        match self.room {
            "runtime-bin" | "stub" => module.first(),
            room => module.get(1).filter(|_| module[0] == room),
        }
    }

    /// Arrows that do not go down, and names that the table lacks or has too many.
    fn check(&self, graph: &Graph, findings: &mut Findings) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut seen = Vec::new();
        for (module, ends) in &graph.arrows {
            let Some(own) = self.part(module) else { continue };
            seen.push(own.as_str());
            let Some(height) = self.heights.get(own.as_str()) else {
                wrong.push(format!("layers.txt: {}/{own} has no layer", self.room));
                continue;
            };
            for other in ends.iter().filter_map(|end| self.part(end)).filter(|other| *other != own) {
                if self.heights.get(other.as_str()).is_some_and(|above| above >= height) {
                    add(
                        findings,
                        graph.files[module],
                        format!("uses {other}, which is not below {own} in layers.txt"),
                    );
                }
            }
        }
        if !wrong.is_empty() {
            wrong.push(format!("today's arrows: {}", self.proposal(graph)));
        }
        let gone = self.heights.keys().filter(|name| !seen.contains(name));
        wrong.extend(gone.map(|name| format!("layers.txt: {}/{name} does not exist", self.room)));
        wrong
    }

    /// Layers that fit the arrows: a part is above all that it uses; the parts of a circle are together.
    fn proposal(&self, graph: &Graph) -> String {
        let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, ends) in &graph.arrows {
            let Some(own) = self.part(module) else { continue };
            let others = ends.iter().filter_map(|end| self.part(end)).map(String::as_str);
            below.entry(own).or_default().extend(others.filter(|other| other != own));
        }
        let mut layers = Vec::new();
        while !below.is_empty() {
            let is_free = |part: &&str| below[*part].iter().all(|other| !below.contains_key(other));
            let mut layer: Vec<&str> = below.keys().copied().filter(is_free).collect();
            if layer.is_empty() {
                // Only circles and what uses them are left: the smallest set that uses nothing else.
                let smallest = below.keys().map(|part| reached(part, &below)).min_by_key(BTreeSet::len);
                layer.extend(smallest.unwrap_or_default());
            }
            below.retain(|part, _| !layer.contains(part));
            layers.push(layer.join(" "));
        }
        format!("{}: {}", self.room, layers.join(" | "))
    }
}

fn reached<'a>(from: &'a str, below: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(part) = next.pop() {
        let others = below[part].iter().filter(|other| below.contains_key(*other));
        next.extend(others.filter(|other| found.insert(other)));
    }
    found
}

#[test]
fn files_of_a_room_depend_only_downward() {
    let text = std::fs::read_to_string(top().join("tests/house/layers.txt")).unwrap();
    let mut findings = Findings::new();
    let mut wrong = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let layers = Layers::parse(line);
        let number =
            ["library", "stub", "runtime-bin"].iter().position(|root| *root == layers.room).unwrap_or(0);
        wrong.extend(layers.check(&graphs()[number], &mut findings));
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
    compare("layers", &findings);
}

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn files_and_functions_are_short() {
    let mut long_files = Findings::new();
    let mut long_functions = Findings::new();
    for source in files(&["src", "runtime-bin", "tests", "benches", "examples", "xtask", "fuzz"]) {
        if source.lines > LONGEST_FILE {
            add(&mut long_files, source, format!("{} lines, {LONGEST_FILE} at most", source.lines));
        }
        for (name, lines) in functions(source).into_iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION) {
            add(&mut long_functions, source, format!("{name} has {lines} lines, {LONGEST_FUNCTION} at most"));
        }
    }
    compare("long-files", &long_files);
    compare("long-functions", &long_functions);
}

/// Each function with the number of lines between its braces.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let tokens = &source.all;
    let mut found = Vec::new();
    for at in 0..tokens.len().saturating_sub(1) {
        if tokens[at].text != "fn" || !is_name(&tokens[at + 1].text) {
            continue;
        }
        let mut open = at + 2;
        while open < tokens.len() && !["{", ";"].contains(&&*tokens[open].text) {
            open =
                if ["(", "["].contains(&&*tokens[open].text) { after_group(tokens, open) } else { open + 1 };
        }
        if open < tokens.len() && tokens[open].text == "{" {
            let close = after_group(tokens, open) - 1;
            found.push((
                tokens[at + 1].text.clone(),
                (tokens[close].line - tokens[open].line).saturating_sub(1),
            ));
        }
    }
    found
}

/// A reader finds a method beside its type.
#[test]
fn methods_are_in_the_file_of_their_type() {
    let mut findings = Findings::new();
    for graph in graphs() {
        for source in graph.files.values() {
            let tokens = &source.code;
            for at in 0..tokens.len() {
                let Some(name) = inherent_impl(source, at) else { continue };
                if !tokens
                    .windows(2)
                    .any(|pair| ["struct", "enum", "union"].contains(&&*pair[0].text) && pair[1].text == name)
                {
                    add(&mut findings, source, format!("has methods of {name}, which another file defines"));
                }
            }
        }
    }
    compare("far-methods", &findings);
}

/// The type of `impl Type {` at a token.
fn inherent_impl(source: &Source, at: usize) -> Option<String> {
    let tokens = &source.code;
    let starts = tokens[at].text == "impl"
        && tokens[at + 1].text != "$"
        && (at == 0 || ["}", ";", "]", "{"].contains(&&*tokens[at - 1].text));
    if !starts {
        return None;
    }
    let head: Vec<&str> =
        tokens[at + 1..].iter().map(|token| &*token.text).take_while(|text| *text != "{").collect();
    let head = if head.first() == Some(&"<") { after_angles(&head) } else { &head[..] };
    (!head.contains(&"for"))
        .then(|| {
            head.iter()
                .take_while(|text| **text != "<" && **text != "where")
                .filter(|text| is_name(text))
                .last()
                .map(ToString::to_string)
        })
        .flatten()
}

fn after_angles<'a>(head: &'a [&'a str]) -> &'a [&'a str] {
    let mut depth = 0_usize;
    for (n, text) in head.iter().enumerate() {
        match *text {
            "<" => depth += 1,
            ">" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &head[n + 1..];
        }
    }
    &[]
}

/// One name, one type: a reader of `Kind` does not have to ask of what.
#[test]
fn no_two_types_have_one_name() {
    let mut findings = Findings::new();
    for graph in graphs() {
        let mut types: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
        for source in graph.files.values() {
            for (at, pair) in source.code.windows(2).enumerate() {
                if ["struct", "enum", "trait"].contains(&&*pair[0].text) && is_name(&pair[1].text) {
                    let places = types.entry(&pair[1].text).or_default();
                    // A type that is defined once for each processor is one type.
                    let again = places.last().is_some_and(|place| place.path == source.path);
                    if !(again && is_for_one_processor(&source.code, at)) {
                        places.push(source);
                    }
                }
            }
        }
        for (name, places) in types.iter().filter(|(_, places)| places.len() > 1) {
            for source in places {
                add(&mut findings, source, format!("{name} is the name of {} types", places.len()));
            }
        }
    }
    compare("same-names", &findings);
}

/// Whether an attribute of the type whose keyword is at `at` names a processor.
fn is_for_one_processor(tokens: &[Token], at: usize) -> bool {
    let item =
        tokens[..at].iter().rposition(|token| [";", "}"].contains(&&*token.text)).map_or(0, |end| end + 1);
    tokens[item..at].iter().any(|token| token.text == "target_arch")
}

#[test]
fn the_measures_see_what_is_there() {
    let text = "impl<T: A<B>> Far<T> { fn a(x: [u8; 2]) -> u8 {\n1\n\n} }\nimpl Near { fn b() {} }\nimpl X for Far {}\nstruct Near;";
    let source = Source::parse("src/room/file.rs".as_ref(), text);
    assert_eq!(functions(&source), [("a".to_owned(), 2), ("b".to_owned(), 0)]);
    let types: Vec<String> = (0..source.code.len()).filter_map(|at| inherent_impl(&source, at)).collect();
    assert_eq!(types, ["Far", "Near"]);
    let text = "#[cfg(target_arch = \"a\")] struct A { x: u8 }\n#[repr(C)] pub struct B;";
    let code = Source::parse("src/room/file.rs".as_ref(), text).code;
    let types = (0..code.len()).filter(|at| code[*at].text == "struct");
    assert_eq!(types.map(|at| is_for_one_processor(&code, at)).collect::<Vec<_>>(), [true, false]);
}
