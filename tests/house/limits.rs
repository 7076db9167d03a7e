//! What the rooms are still allowed: `limits.txt` has a number for each rule and room that breaks it.
//!
//! A number may only fall. One that is too small or too large fails the test, so that what was
//! repaired stays repaired; `ORLOP_UPDATE_LIMITS=1` lowers those which are too large, and raises none.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// What breaks a rule, by room: one line for each finding.
pub(crate) type Findings = BTreeMap<String, Vec<String>>;

/// Compares findings with `limits.txt`.
pub(crate) fn compare(rule: &str, findings: &Findings) {
    let allowed = read();
    let found = |room: &str| findings.get(room).map_or(0, Vec::len);
    let mut lowered = allowed.clone();
    let mut wrong = String::new();
    for ((_, room), limit) in allowed.iter().filter(|((of, _), _)| of == rule) {
        let now = found(room);
        if now < *limit {
            lowered.insert((rule.to_owned(), room.clone()), now);
            let _ =
                writeln!(wrong, "{rule} {room}: {limit} are allowed, but {now} are left: lower the limit");
        }
    }
    for (room, lines) in findings {
        let limit = allowed.get(&(rule.to_owned(), room.clone())).copied().unwrap_or(0);
        if lines.len() > limit {
            let _ = writeln!(
                wrong,
                "{rule} {room}: {} found, {limit} allowed\n  {}",
                lines.len(),
                lines.join("\n  ")
            );
        }
    }
    if env::var_os("ORLOP_UPDATE_LIMITS").is_some() && lowered != allowed {
        write(rule, &lowered);
    }
    assert!(
        wrong.is_empty(),
        "\n{wrong}Limits that are too high: ORLOP_UPDATE_LIMITS=1 cargo test --test house, once more without it.\n"
    );
}

fn path() -> PathBuf {
    crate::top().join("tests/house/limits.txt")
}

type Limits = BTreeMap<(String, String), usize>;

fn parse(text: &str) -> Limits {
    let mut limits = Limits::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let [rule, room, limit] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line:?}: expected a rule, a room and a number");
        };
        let limit = limit.parse().unwrap();
        assert!(limit > 0, "{line:?}: a limit of 0 needs no line");
        assert!(limits.insert((rule.into(), room.into()), limit).is_none(), "{line:?}: a second limit");
    }
    limits
}

fn read() -> Limits {
    parse(&fs::read_to_string(path()).unwrap())
}

/// Writes the limits of one rule; tests of other rules may be doing the same.
fn write(rule: &str, limits: &Limits) {
    static WRITING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _writing = WRITING.lock();
    let text = fs::read_to_string(path()).unwrap();
    let mut all = parse(&text);
    all.retain(|(of, _), _| of != rule);
    all.extend(limits.iter().filter(|((of, _), _)| of == rule).map(|(key, limit)| (key.clone(), *limit)));
    let mut out = String::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let _ = writeln!(out, "{line}");
    }
    for ((rule, room), limit) in all.iter().filter(|(_, limit)| **limit > 0) {
        let _ = writeln!(out, "{rule} {room} {limit}");
    }
    fs::write(path(), out).unwrap();
}

#[test]
fn every_limit_is_of_a_rule() {
    for (rule, room) in read().keys() {
        assert!(crate::RULES.contains(&rule.as_str()), "limits.txt: there is no rule {rule} (of {room})");
    }
}
