//! The items that can be reached from the crate's root.

use crate::item;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The prefix of a type of the crate that has no public path.
const NAMELESS: &str = "private ";

/// State while items are listed.
pub(crate) struct Documentation<'a> {
    json: &'a Value,
    /// The shortest public path of each item.
    pub(crate) names: BTreeMap<u64, String>,
}

/// A line, after the path by which it is sorted.
pub(crate) type Line = (String, String);

/// The sorted lines; those with a type of the crate that has no public path are returned once more.
pub(crate) fn list(json: &Value) -> (Vec<String>, Vec<String>) {
    let mut documentation = Documentation { json, names: BTreeMap::new() };
    let root = json["root"].as_u64().unwrap();
    let mut found = Vec::new();
    let name = documentation.item(root).unwrap()["name"].as_str().unwrap();
    documentation.walk(root, name, &mut found);
    for (id, path) in &found {
        let length = |path: &str| (path.matches("::").count(), path.to_owned());
        let name = documentation.names.entry(*id).or_insert_with(|| path.clone());
        if length(path) < length(name) {
            name.clone_from(path);
        }
    }
    let mut lines = BTreeSet::new();
    for (id, path) in &found {
        match &documentation.names[id] {
            name if name == path => lines.extend(item::lines(&documentation, *id, path)),
            name => drop(lines.insert((path.clone(), format!("pub use {path} = {name}")))),
        }
    }
    let mut traits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in json["index"].as_object().unwrap().values() {
        if let Some((what, name)) = item::implementation(&documentation, item) {
            traits.entry(what).or_default().insert(name);
        }
    }
    for (what, names) in traits {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        lines.insert((what.clone(), format!("impl {what}: {names}")));
    }
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    let nameless = lines.iter().filter(|line| line.contains(NAMELESS)).cloned().collect();
    (lines, nameless)
}

impl<'a> Documentation<'a> {
    /// An item of this crate, if it is documented.
    pub(crate) fn item(&self, id: u64) -> Option<&'a Value> {
        self.json["index"].get(id.to_string())
    }

    /// The kind of an item, and what it is made of.
    pub(crate) fn kind(item: &'a Value) -> (&'a str, &'a Value) {
        let (kind, inner) = item["inner"].as_object().unwrap().iter().next().unwrap();
        (kind, inner)
    }

    /// The name of a type: its public path if it belongs to the crate, its last name if it belongs to the standard
    /// library.
    pub(crate) fn name(&self, id: u64) -> String {
        if let Some(name) = self.names.get(&id) {
            return name.clone();
        }
        let about = &self.json["paths"][id.to_string()];
        let path: Vec<&str> =
            about["path"].as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
        match (about["crate_id"].as_u64(), path[0]) {
            (Some(0), _) => format!("{NAMELESS}{}", path.join("::")),
            // Two items with one name: a trait and a structure.
            (_, "std" | "core" | "alloc") if path[1] == "io" => format!("io::{}", path[path.len() - 1]),
            (_, "std" | "core" | "alloc") => path[path.len() - 1].to_owned(),
            _ => path.join("::"),
        }
    }

    /// Everything public below a module, with the path by which it was found.
    fn walk(&self, id: u64, path: &str, found: &mut Vec<(u64, String)>) {
        let module = self.item(id).unwrap();
        found.push((id, path.to_owned()));
        for id in ids(&module["inner"]["module"]["items"]) {
            let item = self.item(id).unwrap();
            let (kind, inner) = Self::kind(item);
            let name = |item: &Value| format!("{path}::{}", item["name"].as_str().unwrap());
            match kind {
                "module" => self.walk(id, &name(item), found),
                "use" => {
                    assert_eq!(inner["is_glob"], false, "`pub use {path}::*` is not supported");
                    let id = inner["id"].as_u64().unwrap();
                    // Without an item it belongs to another crate.
                    match self.item(id) {
                        Some(target) if Self::kind(target).0 == "module" => {
                            self.walk(id, &name(inner), found);
                        }
                        Some(_) => found.push((id, name(inner))),
                        None => panic!("{path} exports an item of another crate: {inner}"),
                    }
                }
                _ => found.push((id, name(item))),
            }
        }
    }
}

/// A list of numbers.
pub(crate) fn ids(list: &Value) -> impl Iterator<Item = u64> + '_ {
    list.as_array().into_iter().flatten().filter_map(Value::as_u64)
}
