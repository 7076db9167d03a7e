//! Types, bounds and signatures as text.

use crate::list::Documentation;
use serde_json::Value;

fn list(value: &Value) -> impl Iterator<Item = &Value> + '_ {
    value.as_array().into_iter().flatten()
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn lifetime(value: &Value) -> String {
    value.as_str().map_or_else(String::new, |name| format!("{name} "))
}

/// A type.
pub(crate) fn type_text(documentation: &Documentation<'_>, value: &Value) -> String {
    let text = |value: &Value| type_text(documentation, value);
    let Some((kind, inner)) = value.as_object().and_then(|kinds| kinds.iter().next()) else {
        assert_eq!(value, "infer", "a type");
        return "_".to_owned();
    };
    let mutable =
        |word: &'static str, other: &'static str| if inner["is_mutable"] == true { word } else { other };
    match kind.as_str() {
        "resolved_path" => named(documentation, inner),
        "primitive" if inner == "never" => "!".to_owned(),
        "primitive" | "generic" => inner.as_str().unwrap().to_owned(),
        "borrowed_ref" => {
            format!("&{}{}{}", lifetime(&inner["lifetime"]), mutable("mut ", ""), text(&inner["type"]))
        }
        "raw_pointer" => format!("*{} {}", mutable("mut", "const"), text(&inner["type"])),
        "tuple" => match inner.as_array().unwrap().as_slice() {
            [one] => format!("({},)", text(one)),
            _ => format!("({})", joined(list(inner).map(text))),
        },
        "slice" => format!("[{}]", text(inner)),
        "array" => format!("[{}; {}]", text(&inner["type"]), inner["len"].as_str().unwrap()),
        "impl_trait" => format!("impl {}", bounds(documentation, inner)),
        "dyn_trait" => {
            let traits = list(&inner["traits"]).map(|one| named(documentation, &one["trait"]));
            let life = inner["lifetime"].as_str().map(str::to_owned);
            format!("dyn {}", traits.chain(life).collect::<Vec<_>>().join(" + "))
        }
        "qualified_path" => {
            let of = &inner["trait"];
            let owner = text(&inner["self_type"]);
            let name = inner["name"].as_str().unwrap();
            if of.is_null() {
                format!("{owner}::{name}")
            } else {
                format!("<{owner} as {}>::{name}", named(documentation, of))
            }
        }
        "function_pointer" => format!("fn{}", parameters(documentation, &inner["sig"])),
        kind => panic!("unknown kind of type {kind}: {inner}"),
    }
}

/// A path with its arguments.
pub(crate) fn named(documentation: &Documentation<'_>, path: &Value) -> String {
    documentation.name(path["id"].as_u64().unwrap()) + &arguments(documentation, &path["args"])
}

fn arguments(documentation: &Documentation<'_>, args: &Value) -> String {
    if let Some(call) = args.get("parenthesized") {
        let inputs = joined(list(&call["inputs"]).map(|one| type_text(documentation, one)));
        return format!("({inputs}){}", output(documentation, &call["output"]));
    }
    let Some(brackets) = args.get("angle_bracketed") else {
        assert!(args.is_null(), "{args}");
        return String::new();
    };
    let given = list(&brackets["args"]).map(|one| argument(documentation, one));
    let constraints = list(&brackets["constraints"]).map(|one| {
        let name = one["name"].as_str().unwrap();
        let binding = &one["binding"];
        match binding.get("equality") {
            Some(equal) => format!("{name} = {}", argument(documentation, equal)),
            None => format!("{name}: {}", bounds(documentation, &binding["constraint"])),
        }
    });
    let all = joined(given.chain(constraints));
    if all.is_empty() { all } else { format!("<{all}>") }
}

fn argument(documentation: &Documentation<'_>, argument: &Value) -> String {
    let one = argument.as_object().and_then(|kinds| kinds.iter().next());
    match one {
        Some((kind, inner)) if kind == "type" => type_text(documentation, inner),
        Some((kind, inner)) if kind == "lifetime" => inner.as_str().unwrap().to_owned(),
        Some((kind, inner)) if kind == "const" => inner["expr"].as_str().unwrap().to_owned(),
        _ => panic!("unknown generic argument {argument}"),
    }
}

/// Traits and lifetimes, with a plus between them.
fn bounds(documentation: &Documentation<'_>, value: &Value) -> String {
    let words = list(value).map(|one| {
        let bound = &one["trait_bound"];
        if bound.is_null() {
            let other = one.get("outlives").or_else(|| one.get("use"));
            return other.map_or_else(
                || panic!("unknown bound {one}"),
                |other| other.as_str().map_or_else(|| format!("use{other}"), str::to_owned),
            );
        }
        let maybe = if bound["modifier"] == "maybe" { "?" } else { "" };
        let lifetimes =
            joined(list(&bound["generic_params"]).map(|one| one["name"].as_str().unwrap().to_owned()));
        let lifetimes = if lifetimes.is_empty() { lifetimes } else { format!("for<{lifetimes}> ") };
        format!("{maybe}{lifetimes}{}", named(documentation, &bound["trait"]))
    });
    words.collect::<Vec<_>>().join(" + ")
}

/// The parameters between angle brackets, and the conditions after `where`.
pub(crate) fn generics(documentation: &Documentation<'_>, generics: &Value) -> (String, String) {
    let names = list(&generics["params"]).filter_map(|one| {
        let (name, kind) = (one["name"].as_str().unwrap(), &one["kind"]);
        if let Some(constant) = kind.get("const") {
            let default =
                constant["default"].as_str().map_or_else(String::new, |value| format!(" = {value}"));
            return Some(format!("const {name}: {}{default}", type_text(documentation, &constant["type"])));
        }
        let Some(about) = kind.get("type") else {
            let longer =
                joined(list(&kind["lifetime"]["outlives"]).map(|one| one.as_str().unwrap().to_owned()));
            return Some(if longer.is_empty() { name.to_owned() } else { format!("{name}: {longer}") });
        };
        if about["is_synthetic"] == true {
            return None; // impl Trait, which is printed where it is used.
        }
        let bounds = bounds(documentation, &about["bounds"]);
        let default = &about["default"];
        let default = if default.is_null() {
            String::new()
        } else {
            format!(" = {}", type_text(documentation, default))
        };
        Some(if bounds.is_empty() {
            format!("{name}{default}")
        } else {
            format!("{name}: {bounds}{default}")
        })
    });
    let names = joined(names);
    let names = if names.is_empty() { names } else { format!("<{names}>") };
    (names, where_clause(documentation, &generics["where_predicates"]))
}

/// The conditions after `where`, if there are any.
pub(crate) fn where_clause(documentation: &Documentation<'_>, predicates: &Value) -> String {
    let words = joined(list(predicates).map(|one| {
        let Some(about) = one.get("bound_predicate") else { panic!("unknown where clause {one}") };
        format!("{}: {}", type_text(documentation, &about["type"]), bounds(documentation, &about["bounds"]))
    }));
    if words.is_empty() { words } else { format!(" where {words}") }
}

/// The arguments and the result of a function.
pub(crate) fn parameters(documentation: &Documentation<'_>, signature: &Value) -> String {
    let arguments = joined(list(&signature["inputs"]).map(|input| {
        let (name, kind) = (input[0].as_str().unwrap(), type_text(documentation, &input[1]));
        match (name, kind.as_str()) {
            ("self", "Self") => "self".to_owned(),
            ("self", "&Self") => "&self".to_owned(),
            ("self", "&mut Self") => "&mut self".to_owned(),
            _ => format!("{name}: {kind}"),
        }
    }));
    format!("({arguments}){}", output(documentation, &signature["output"]))
}

fn output(documentation: &Documentation<'_>, output: &Value) -> String {
    if output.is_null() { String::new() } else { format!(" -> {}", type_text(documentation, output)) }
}
