//! What is right and what is wrong after a command of which one call has failed.

use crate::scene::{Scene, comparable};
use crate::subjects::{After, Prints, Subject};
use kit::counted::{Call, Trace};
use kit::{Output, Value, calls};
use nix::errno::Errno;
use std::time::Duration;

/// What the command does if nothing fails.
pub(crate) struct Right {
    pub(crate) before: Value,
    pub(crate) after: Value,
    pub(crate) printed: Value,
}

/// Its output, in a form that can be compared.
pub(crate) fn printed(scene: &Scene<'_>, subject: &Subject, output: &Output) -> Value {
    match subject.prints {
        Prints::Nothing => Value::Null,
        Prints::Same => Value::String(output.stdout.clone()),
        Prints::Report => {
            let mut lines = output.stdout.lines();
            let report = comparable(lines.next().unwrap_or_default());
            assert_eq!(lines.next(), None);
            scene.anonymous(&report.to_string())
        }
        Prints::Words => {
            let word = |word: &str| if word.parse::<u64>().is_ok() { "number" } else { word }.to_owned();
            output.stdout.split_whitespace().map(word).collect()
        }
        Prints::Members => members(&scene.anonymous(&output.stdout)),
    }
}

/// A document with its strings and limits; other numbers are replaced by a mark.
fn members(value: &Value) -> Value {
    match value {
        Value::Object(all) => {
            let kept =
                |name: &str, value: &Value| if name == "limit" { value.clone() } else { members(value) };
            all.iter().map(|(name, value)| (name.clone(), kept(name, value))).collect()
        }
        Value::Array(all) => all.iter().map(members).collect(),
        Value::Number(_) => Value::String("number".to_owned()),
        // A point in time.
        Value::String(text) if text.ends_with('Z') && text.starts_with("20") => Value::Null,
        other => other.clone(),
    }
}

/// What is wrong with the command and with what it has left.
pub(crate) fn of_fault(
    scene: &Scene<'_>,
    subject: &Subject,
    right: &Right,
    (output, trace): &(Output, Trace),
    errno: Errno,
) -> Vec<String> {
    if trace.hung {
        return vec!["it hangs".to_owned()];
    }
    let mut wrong = Vec::new();
    let memory = trace.hit.as_ref().is_some_and(|call| calls::gives_memory(call.which.number));
    if output.code() == subject.codes.0 {
        if output.stderr.contains("level=error") {
            wrong.push(format!("it succeeds with an error: {}", output.stderr.trim()));
        }
        let printed = printed(scene, subject, output);
        if printed != right.printed {
            wrong.push(format!("it prints {}", difference(&right.printed, &printed)));
        }
        let facts = scene.facts(output);
        if facts != right.after {
            wrong.push(format!("it succeeds, and then there is {}", difference(&right.after, &facts)));
        }
    } else if memory && output.code() == 134 {
        // Rust aborts if there is no memory; like SIGKILL, that leaves what `delete --force` removes.
        if !output.stderr.contains("memory allocation of") {
            wrong.push(format!("it aborts without a message: {}", output.stderr.trim()));
        }
    } else {
        wrong.extend(of_words(subject, output, trace.hit.as_ref(), errno));
        wrong.extend(of_rest(scene, subject, right, output));
    }
    wrong.extend(scene.leftovers(output.code() != subject.codes.0));
    wrong
}

/// A failure must have the right exit code, and one error that says what has failed and why.
fn of_words(subject: &Subject, output: &Output, hit: Option<&Call>, errno: Errno) -> Vec<String> {
    let mut wrong = Vec::new();
    if output.code() != subject.codes.1 {
        wrong.push(format!("exit code {}", output.code()));
    }
    if hit.is_some_and(|call| calls::name(call.which.number) == "write" && call.args[0] == 2) {
        return wrong; // There is no place for a message.
    }
    let errors: Vec<&str> = output.stderr.lines().filter(|line| line.contains("level=error")).collect();
    let warnings = output.stderr.lines().filter(|line| line.contains("level=warning")).count();
    if errors.len() != 1 || output.stderr.lines().count() != 1 + warnings {
        wrong.push(format!("not exactly one error: {}", output.stderr.trim()));
    }
    let says = |line: &str| {
        line.contains(&format!("{errno:?}")) || line.to_lowercase().contains(&errno.desc().to_lowercase())
    };
    // pthread_create(3) returns EAGAIN for any reason.
    let thread = hit.is_some_and(|call| calls::name(call.which.number) == "clone3");
    let says = |line: &str| says(line) || thread && line.contains("set up the terminal: try again");
    if !errors.iter().any(|line| says(line)) {
        wrong.push(format!("the reason is missing: {}", output.stderr.trim()));
    }
    if errno == Errno::EINTR {
        wrong.push(format!("an interrupted call is not repeated: {}", output.stderr.trim()));
    }
    wrong
}

/// What a failed command may leave.
fn of_rest(scene: &Scene<'_>, subject: &Subject, right: &Right, output: &Output) -> Vec<String> {
    let mut left = scene.t.leaks_of(scene.id());
    if subject.after == After::Nothing {
        left.extend(scene.t.children_left());
        return left.into_iter().map(|thing| format!("it fails and leaves {thing}")).collect();
    }
    let mut facts = scene.facts(output);
    if facts["status"] == "running" && facts != right.before && facts != right.after {
        // It may be about to exit.
        std::thread::sleep(Duration::from_millis(200));
        facts = scene.facts(output);
    }
    let (before, after) = (facts == right.before, facts == right.after);
    let wrong = match subject.after {
        After::Nothing => None,
        After::Stopped => {
            let empty = facts["members"].as_array().is_none_or(|all| all.iter().all(|n| n == 0));
            // A container that was being created has no record yet, and must have disappeared.
            let stopped = facts["status"] == "stopped" && facts["bundle"] == "BUNDLE" && empty;
            let known = left.is_empty() || stopped;
            (!known).then(|| format!("it fails and leaves {left:?}, {}", facts["status"]))
        }
        After::Same => {
            (!before).then(|| format!("it fails and changes {}", difference(&right.before, &facts)))
        }
        After::Either => {
            let known = before || after;
            (!known).then(|| format!("it fails half-way: {}", difference(&right.before, &facts)))
        }
        After::Anything => {
            // A container that runs has everything that its configuration requests.
            let whole = if right.after["status"] == "running" { &right.after } else { &right.before };
            let mut facts = facts.clone();
            facts["criu"] = whole["criu"].clone(); // The progress of a checkpoint.
            let known = facts["status"] != "running" || before || facts == *whole;
            (!known).then(|| format!("the running container lacks something: {}", difference(whole, &facts)))
        }
    };
    wrong.into_iter().collect()
}

/// Where two documents differ, in short.
fn difference(expected: &Value, found: &Value) -> String {
    fn walk(at: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
        match (a, b) {
            (Value::Object(x), Value::Object(y)) => {
                for name in x.keys().chain(y.keys().filter(|name| !x.contains_key(*name))) {
                    let none = &Value::Null;
                    walk(
                        &format!("{at}/{name}"),
                        x.get(name).unwrap_or(none),
                        y.get(name).unwrap_or(none),
                        out,
                    );
                }
            }
            (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
                for (n, (x, y)) in x.iter().zip(y).enumerate() {
                    walk(&format!("{at}/{n}"), x, y, out);
                }
            }
            _ if a != b => out.push(format!("{at}: {} instead of {}", short(b), short(a))),
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk("", expected, found, &mut all);
    all.truncate(6);
    all.join(", ")
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.len() > 200 { format!("{}…", text.chars().take(200).collect::<String>()) } else { text }
}
