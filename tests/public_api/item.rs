//! Items as text: a line for each, and for its fields, variants and methods.

use crate::list::{Documentation, Line, ids};
use crate::types::{generics, named, parameters, type_text, where_clause};
use serde_json::Value;

/// The lines of an item with this path.
pub(crate) fn lines(documentation: &Documentation<'_>, id: u64, path: &str) -> Vec<Line> {
    let item = documentation.item(id).unwrap();
    let (kind, inner) = Documentation::kind(item);
    let mark = if is_non_exhaustive(item) { "#[non_exhaustive] " } else { "" };
    let text = |value: &Value| type_text(documentation, value);
    let (names, conditions) = generics(documentation, &inner["generics"]);
    let mut lines = Vec::new();
    match kind {
        "module" => lines.push(line(path, format!("pub mod {path}"))),
        "function" => lines.push(function(documentation, inner, path)),
        "macro" => lines.push(line(path, format!("pub macro {path}!"))),
        "constant" => lines.push(line(path, format!("pub const {path}: {}", text(&inner["type"])))),
        "static" => lines.push(line(path, format!("pub static {path}: {}", text(&inner["type"])))),
        "type_alias" => {
            lines.push(line(path, format!("pub type {path}{names} = {}{conditions}", text(&inner["type"]))));
        }
        "struct" => {
            let (fields, shape) = fields(documentation, &inner["kind"], path);
            lines.push(line(path, format!("{mark}pub struct {path}{names}{shape}{conditions}")));
            lines.extend(fields);
        }
        "enum" => {
            assert_eq!(inner["has_stripped_variants"], false, "{path}");
            lines.push(line(path, format!("{mark}pub enum {path}{names}{conditions}")));
            for variant in ids(&inner["variants"]) {
                lines.extend(self::variant(documentation, variant, path));
            }
        }
        kind => panic!("unknown kind of item {kind}: {path}"),
    }
    for id in ids(&inner["impls"]) {
        let own = &documentation.item(id).unwrap()["inner"]["impl"];
        if own["trait"].is_null() {
            lines.extend(ids(&own["items"]).map(|id| associated(documentation, id, own, path)));
        }
    }
    lines
}

fn line(path: &str, text: String) -> Line {
    (path.to_owned(), text)
}

fn is_non_exhaustive(item: &Value) -> bool {
    item["attrs"].as_array().unwrap().iter().any(|attribute| attribute == "non_exhaustive")
}

fn function(documentation: &Documentation<'_>, inner: &Value, path: &str) -> Line {
    let header = &inner["header"];
    let word = |name: &str, word: &'static str| if header[name] == true { word } else { "" };
    assert_eq!(header["abi"], "Rust", "{path}");
    let words =
        [word("is_const", "const "), word("is_async", "async "), word("is_unsafe", "unsafe ")].concat();
    let (names, conditions) = generics(documentation, &inner["generics"]);
    let arguments = parameters(documentation, &inner["sig"]);
    line(path, format!("pub {words}fn {path}{names}{arguments}{conditions}"))
}

/// The public fields of a structure, and a mark if there are others.
fn fields(documentation: &Documentation<'_>, kind: &Value, path: &str) -> (Vec<Line>, &'static str) {
    let field = |id: u64| {
        let field = documentation.item(id).unwrap();
        let path = format!("{path}::{}", field["name"].as_str().unwrap());
        line(&path, format!("pub {path}: {}", type_text(documentation, &field["inner"]["struct_field"])))
    };
    if let Some(tuple) = kind["tuple"].as_array() {
        let hidden = tuple.iter().any(Value::is_null);
        return (ids(&kind["tuple"]).map(field).collect(), if hidden { " (..)" } else { " ()" });
    }
    let plain = &kind[if kind["plain"].is_null() { "struct" } else { "plain" }];
    let shape = match (kind == "unit", plain["has_stripped_fields"] == true) {
        (true, _) => "",
        (false, true) => " { .. }",
        (false, false) => " {}",
    };
    (ids(&plain["fields"]).map(field).collect(), shape)
}

fn variant(documentation: &Documentation<'_>, id: u64, path: &str) -> Vec<Line> {
    let variant = documentation.item(id).unwrap();
    let path = format!("{path}::{}", variant["name"].as_str().unwrap());
    let kind = &variant["inner"]["variant"]["kind"];
    let mark = if is_non_exhaustive(variant) { "#[non_exhaustive] " } else { "" };
    if kind == "plain" {
        return vec![line(&path, format!("{mark}pub {path}"))];
    }
    let (mut lines, shape) = fields(documentation, kind, &path);
    lines.push(line(&path, format!("{mark}pub {path}{shape}")));
    lines
}

/// A function or a constant of a type.
fn associated(documentation: &Documentation<'_>, id: u64, own: &Value, path: &str) -> Line {
    let item = documentation.item(id).unwrap();
    let (kind, inner) = Documentation::kind(item);
    let path = format!("{path}::{}", item["name"].as_str().unwrap());
    let condition = where_clause(documentation, &own["generics"]["where_predicates"]);
    let (path, text) = match kind {
        "function" => function(documentation, inner, &path),
        "assoc_const" => {
            let kind = type_text(documentation, &inner["type"]);
            line(&path, format!("pub const {path}: {kind}"))
        }
        kind => panic!("unknown kind of item {kind}: {path}"),
    };
    (path, text + &condition)
}

/// Internal traits of the compiler, which come with derived ones.
const DERIVED: [&str; 2] = ["StructuralPartialEq", "TrivialClone"];

/// A type, and a trait that is implemented for it in the source (no auto traits, no blanket implementations).
pub(crate) fn implementation(documentation: &Documentation<'_>, item: &Value) -> Option<(String, String)> {
    let own = item["inner"].get("impl")?;
    let local = item["crate_id"] == 0 && !own["trait"].is_null();
    if !local || own["is_synthetic"] == true || !own["blanket_impl"].is_null() {
        return None;
    }
    let name = named(documentation, &own["trait"]);
    let (_, conditions) = generics(documentation, &own["generics"]);
    (!DERIVED.contains(&name.as_str()))
        .then(|| (type_text(documentation, &own["for"]), format!("{name}{conditions}")))
}
