//! The sweep over the library's calls, in a program with threads of which one is traced.

use crate::life;
use crate::sweep::{self, Attempt, Tally};
use kit::counted::{self, Deed, Span, Trace};
use kit::{Bundle, Test, Value, calls, json};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn cases() -> Vec<kit::Case> {
    vec![kit::Case::new("sweep::library::fails", fails), kit::Case::new("sweep::library::killed", killed)]
}

/// One run of the program.
struct Life<'t> {
    bundle: Bundle<'t>,
    status: ExitStatus,
    said: Value,
    stderr: String,
    trace: Trace,
}

fn live(t: &Test, deed: Deed) -> Life<'_> {
    let bundle = t.bundle().probe("sleep").set("/linux/resources/pids", json!({"limit": 60}));
    bundle.write();
    let path = |name: &str| t.dir().join(name);
    let (out, err): (PathBuf, PathBuf) = (path("out-life"), path("err-life"));
    let mut command = Command::new("/proc/self/exe");
    command.arg(life::NAME).arg(t.root()).arg(bundle.id()).arg(bundle.dir()).arg(path("life.pid"));
    command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let (status, trace) = counted::run(&mut command, Span::BetweenMarks, deed, PATIENCE);
    let said = life::said(&fs::read_to_string(out).unwrap());
    Life { bundle, status, said, stderr: fs::read_to_string(err).unwrap(), trace }
}

impl Life<'_> {
    /// What is left after `delete --force`.
    fn clear(&self, t: &Test) -> Vec<String> {
        let delete = t.runtime(["delete", "--force", self.bundle.id()]).output();
        let mut left = t.leaks_of(self.bundle.id());
        if delete.code() != 0 {
            left.push(format!("delete --force fails with {}: {}", delete.code(), delete.stderr.trim()));
        }
        left.extend(t.children_left());
        let _ = fs::remove_dir_all(self.bundle.dir());
        t.forget_outputs();
        left.into_iter().map(|thing| format!("delete --force leaves {thing}")).collect()
    }

    /// What is wrong after this call has failed.
    fn judge(&self, t: &Test, attempt: &Attempt<'_>) -> Vec<String> {
        if self.trace.hung {
            return vec!["it hangs".to_owned()];
        }
        let memory = calls::gives_memory(attempt.call.which.number);
        if self.status.code().is_none() && memory && self.stderr.contains("memory allocation of") {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        let step = self.said["step"].as_str();
        let named = format!("{:?}", attempt.errno);
        match (self.status.code(), step) {
            (Some(0), None) => {
                wrong.extend(
                    t.leaks_of(self.bundle.id()).into_iter().map(|l| format!("it succeeds and leaves {l}")),
                );
            }
            (Some(1), Some(step)) => {
                let text = self.said["error"].as_str().unwrap_or_default();
                if text.contains('\n') || !(text.contains(&named) || text.contains(attempt.errno.desc())) {
                    wrong.push(format!("the reason is missing at {step}: {text}"));
                }
                if named == "EINTR" {
                    wrong.push(format!("an interrupted call is not repeated at {step}: {text}"));
                }
                // A failed `create` leaves nothing; a failed `delete` of a stopped container leaves it unchanged.
                if ["load", "new", "create"].contains(&step) {
                    let left = t.leaks_of(self.bundle.id());
                    wrong.extend(left.into_iter().map(|thing| format!("{step} fails and leaves {thing}")));
                }
            }
            _ => wrong.push(format!("it exits with {}: {} {}", self.status, self.said, self.stderr.trim())),
        }
        if self.said["changed"].as_array().is_some_and(|all| !all.is_empty()) {
            wrong.push(format!("it changes the process: {}", self.said["changed"]));
        }
        wrong
    }
}

fn fails(t: &Test) {
    t.only_orlop("it is the library of this repository");
    let right = live(t, Deed::List);
    assert!(right.status.success(), "{}: {} {}", right.status, right.said, right.stderr);
    assert_eq!(right.said["changed"], json!([]));
    assert!(right.clear(t).is_empty());
    let mut tally = Tally::new("library", "fails", &right.trace.calls);
    for attempt in sweep::attempts("library", &right.trace.calls) {
        let life = live(t, Deed::Fail(attempt.call.which, attempt.errno));
        let mut wrong = life.judge(t, &attempt);
        wrong.extend(life.clear(t));
        tally.count(&format!("{:?}", attempt.errno), &attempt.name(), &wrong);
    }
    tally.conclude();
}

fn killed(t: &Test) {
    t.only_orlop("it is the library of this repository");
    let right = live(t, Deed::List);
    assert!(right.clear(t).is_empty());
    let mut tally = Tally::new("library", "killed", &right.trace.calls);
    for call in sweep::sampled(&right.trace.calls) {
        let life = live(t, Deed::Kill(call.which));
        tally.count("SIGKILL", &sweep::name(call), &life.clear(t));
    }
    tally.conclude();
}
