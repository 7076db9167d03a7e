//! The rules for dependencies: those of deny.toml that need no network, and that each direct one has its reason written down.
//!
//! cargo-deny reads the same file and knows more of it (advisories); this runs everywhere.

use crate::license;
use crate::program::{Failure, cargo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What a package in the lock file says of itself.
#[derive(Debug)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    license: &'a str,
    source: Option<&'a str>,
    direct: Vec<&'a str>,
}

/// Checks them all.
pub(crate) fn check() -> Result<(), Failure> {
    let text = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages: Vec<Package<'_>> =
        metadata["packages"].as_array().into_iter().flatten().map(package).collect();
    let read = |name: &str| fs::read_to_string(name).map_err(|error| format!("{name}: {error}"));
    let wrong = violations(&packages, &read("deny.toml")?, &read("docs/DEPENDENCIES.md")?);
    if !wrong.is_empty() {
        return Err(format!("dependencies:\n  {}", wrong.join("\n  ")).into());
    }
    println!("{} packages: licences, duplicates, sources and reasons are in order", packages.len());
    Ok(())
}

fn package(value: &Value) -> Package<'_> {
    let text = |name: &str| value[name].as_str();
    let own = text("source").is_none();
    let dependencies = value["dependencies"].as_array().into_iter().flatten().filter(|_| own);
    Package {
        name: text("name").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        license: text("license").unwrap_or_default(),
        source: text("source"),
        direct: dependencies.filter_map(|dependency| dependency["name"].as_str()).collect(),
    }
}

fn violations(packages: &[Package<'_>], rules: &str, reasons: &str) -> Vec<String> {
    let allowed = strings(rules, "allow");
    let skipped = strings(rules, "skip");
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| !license::satisfied(package.license, &allowed)) {
        wrong.push(format!(
            "{} {}: licence {:?} is not allowed",
            package.name, package.version, package.license
        ));
    }
    let is_registry = |source: &str| source.starts_with("registry+");
    for package in packages.iter().filter(|package| package.source.is_some_and(|source| !is_registry(source)))
    {
        wrong.push(format!("{}: comes from {:?}, not from the registry", package.name, package.source));
    }
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        versions.entry(package.name).or_default().insert(package.version);
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !skipped.iter().any(|skip| skip == name) {
            wrong.push(format!("{name}: {} versions: {versions:?}", versions.len()));
        }
    }
    for name in &skipped {
        if versions.get(name.as_str()).is_none_or(|versions| versions.len() < 2) {
            wrong.push(format!("deny.toml: {name} has one version, and needs no skip"));
        }
    }
    let direct: BTreeSet<&str> = packages.iter().flat_map(|package| package.direct.iter().copied()).collect();
    for name in direct.iter().filter(|name| **name != "orlop" && !reasons.contains(&format!("`{name}`"))) {
        wrong.push(format!("{name}: docs/DEPENDENCIES.md does not say what it is for"));
    }
    wrong
}

/// The strings of the list `key = [...]`; of tables in it, the first string.
fn strings(rules: &str, key: &str) -> Vec<String> {
    let Some((_, rest)) = rules.split_once(&format!("\n{key} = [")) else { return Vec::new() };
    let list = rest.split("\n]").next().unwrap_or_default();
    list.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str =
        "[licenses]\nallow = [\n    \"MIT\", # why\n]\n[bans]\nskip = [\n    { crate = \"two\" },\n]\n";

    fn one<'a>(name: &'a str, version: &'a str, license: &'a str) -> Package<'a> {
        Package { name, version, license, source: Some("registry+x"), direct: Vec::new() }
    }

    #[test]
    fn what_keeps_the_rules_passes() {
        let mut own = one("own", "1", "MIT");
        (own.source, own.direct) = (None, vec!["two"]);
        assert!(
            violations(&[own, one("two", "1", "MIT"), one("two", "2", "MIT")], RULES, "`two`").is_empty()
        );
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let mut own = one("own", "1", "MIT");
        (own.source, own.direct) = (None, vec!["one"]);
        let mut elsewhere = one("git", "1", "MIT");
        elsewhere.source = Some("git+x");
        let packages =
            [own, elsewhere, one("one", "1", "GPL-3.0"), one("one", "2", "MIT"), one("two", "1", "MIT")];
        let wrong = violations(&packages, RULES, "");
        for part in ["GPL-3.0", "git+x", "one: 2 versions", "two has one version", "does not say"] {
            assert!(wrong.iter().any(|line| line.contains(part)), "{part}: {wrong:?}");
        }
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }
}
