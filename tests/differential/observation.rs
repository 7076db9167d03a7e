//! What a container's program saw, without what differs from run to run.

use super::Difference;
use kit::{Bundle, Output, Value, json};
use std::fs;

/// The exit code, and the lines that the probe printed.
pub(crate) struct Observation {
    code: i32,
    lines: Vec<Value>,
    said: String,
}

/// Numbers of processes, times, and identities.
const VARYING: [&str; 6] = ["pid", "ppid", "pgid", "sid", "boottime", "monotonic"];

impl Observation {
    /// From the output of `run`.
    pub(crate) fn new(output: &Output, bundle: &Bundle<'_>) -> Self {
        let (id, dir) = (bundle.id(), bundle.dir());
        let masked = bundle.spec()["linux"]["maskedPaths"].as_array();
        let masked: Vec<&str> = masked.into_iter().flatten().filter_map(Value::as_str).collect();
        let text = output.stdout.replace(&*dir.to_string_lossy(), "BUNDLE").replace(id, "ID");
        let lines =
            text.lines().filter_map(|line| line.parse().ok()).map(|line| normal(line, &masked)).collect();
        let said = output.stderr.lines().last().unwrap_or_default().to_owned();
        Self { code: output.code(), lines, said }
    }

    /// What differs. If both have failed, nothing does.
    pub(crate) fn compare(&self, other: &Self) -> Difference {
        let mut found = Difference::new();
        if self.code != other.code {
            let told = |one: &Self| format!("{} {}", one.code, one.said);
            found.insert("/exit".into(), (told(self), told(other)));
            return found;
        }
        if self.lines.len() != other.lines.len() {
            let told = |one: &Self| format!("{} lines", one.lines.len());
            found.insert("/lines".into(), (told(self), told(other)));
            return found;
        }
        for (n, (ours, theirs)) in self.lines.iter().zip(&other.lines).enumerate() {
            descend(&format!("/{}", label(n, ours)), ours, theirs, &mut found);
        }
        found
    }
}

/// What a line is about: the action and its path, or its number.
fn label(n: usize, line: &Value) -> String {
    let about = |verb: &str| line[verb].as_str().map(|path| format!("{verb} {path}"));
    ["write", "open", "mkdir"].into_iter().find_map(about).unwrap_or_else(|| n.to_string())
}

fn descend(pointer: &str, ours: &Value, theirs: &Value, found: &mut Difference) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let (a, b) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                descend(&format!("{pointer}/{name}"), a, b, found);
            }
        }
        (a, b) if a != b => {
            found.insert(pointer.to_owned(), (a.to_string(), b.to_string()));
        }
        _ => {}
    }
}

fn normal(mut line: Value, masked: &[&str]) -> Value {
    let Some(object) = line.as_object_mut() else { return line };
    object.retain(|name, _| !VARYING.contains(&name.as_str()));
    if let Some(all) = object.get_mut("namespaces").and_then(Value::as_object_mut) {
        for (kind, value) in all {
            let host = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
            *value = json!(value.as_str() == host.to_str());
        }
    }
    if let Some(mounts) = object.get_mut("mounts") {
        *mounts = mount_table(mounts, masked);
    }
    if let Some(fds) = object.get_mut("fds").and_then(Value::as_object_mut) {
        for target in fds.values_mut() {
            // A runtime may pass on the caller's files, or pipes beside them.
            *target = json!(true);
        }
    }
    if object.get("kind").is_some_and(|kind| kind == "c") && object["major"] == 1 && object["minor"] == 3 {
        // A mask may be the host's null device, whose owner is the host's.
        object.retain(|name, _| !matches!(name.as_str(), "uid" | "gid"));
    }
    let text = object.get("read").and_then(Value::as_str).unwrap_or_default();
    if text.contains(" rwm\n") {
        let mut rules: Vec<&str> = text.lines().collect();
        rules.sort_unstable();
        // A rule that another one covers may be left out.
        let all: Vec<&str> = rules.iter().copied().filter(|rule| rule.ends_with(":* rwm")).collect();
        rules.retain(|rule| {
            let covers = |other: &&str| *other != *rule && rule.starts_with(other.trim_end_matches("* rwm"));
            !all.iter().any(covers)
        });
        let rules = json!(rules);
        object["read"] = rules;
    }
    line
}

/// Mounts by their points, in their order; those at one point are stacked.
fn mount_table(mounts: &Value, masked: &[&str]) -> Value {
    let mut table = json!({});
    for mount in mounts.as_array().into_iter().flatten() {
        let words = |name: &str| {
            let words = mount[name].as_array().into_iter().flatten().filter_map(Value::as_str);
            let mut all: Vec<&str> = words.collect();
            all.sort_unstable();
            all
        };
        let kinds: Vec<String> = words("propagation")
            .iter()
            .map(|tag| tag.chars().filter(|c| c.is_alphabetic() || *c == '_').collect())
            .collect();
        let point = mount["point"].as_str().unwrap_or_default();
        // A superblock that is shared may be writable; its mount says what the container may do.
        let mut superblock = words("super");
        superblock.retain(|word| !matches!(*word, "ro" | "rw"));
        let entry = if masked.contains(&point) {
            // What hides a path differs in its type and its options.
            json!("mask")
        } else {
            json!({"type": mount["type"], "options": words("options"), "super": superblock, "propagation": kinds})
        };
        let point = point.replace('/', "|");
        let mut depth = 0;
        while table.get(format!("{point} {depth}")).is_some() {
            depth += 1;
        }
        table[format!("{point} {depth}")] = entry;
    }
    table
}
