//! Runs the lanes, and keeps their reports until they are needed.

use crate::{LEAVES_NOTHING, RUNTIME, STARTS, scripts};
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

/// The result of a scenario under one runtime.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// The time that it took, in seconds.
    Passed(f64),
    /// The end of its log.
    Failed(String),
    /// The reason.
    Skipped(String),
}

/// A manager on top of a runtime, with the selected scenarios.
struct Lane {
    manager: &'static str,
    runtime: String,
    scenarios: Vec<String>,
}

#[derive(Default)]
struct Reports {
    outcomes: Mutex<HashMap<String, Outcome>>,
    changed: Condvar,
}

/// All lanes of a run.
pub(crate) struct Board {
    reports: Arc<Reports>,
    runtimes: Vec<String>,
    refused: Option<String>,
}

impl Board {
    /// Makes the root, and starts the lanes of the scenarios that the command line selects.
    pub(crate) fn begin(plan: &[(&'static str, Vec<String>)], runtimes: &[String]) -> Self {
        let reports = Arc::new(Reports::default());
        let mut board = Self { reports, runtimes: runtimes.to_vec(), refused: None };
        let root = match make_root() {
            Ok(root) => root,
            Err(why) => {
                board.refused = Some(format!("no root with managers: {why}"));
                return board;
            }
        };
        let mut lanes = VecDeque::new();
        for (manager, all) in plan {
            let wanted = |name: &&String| kit::chosen(&format!("{manager}::{name}"));
            let scenarios: Vec<String> = all.iter().filter(wanted).cloned().collect();
            for runtime in runtimes {
                let (manager, runtime, scenarios) = (*manager, runtime.clone(), scenarios.clone());
                if !scenarios.is_empty() {
                    lanes.push_back(Lane { manager, runtime, scenarios });
                }
            }
        }
        let lanes = Arc::new(Mutex::new(lanes));
        let at_a_time = std::env::var("ORLOP_MANAGERS_LANES").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
        for _ in 0..at_a_time {
            let (lanes, root, reports) = (Arc::clone(&lanes), root.clone(), Arc::clone(&board.reports));
            std::thread::spawn(move || {
                loop {
                    let Some(lane) = lanes.lock().unwrap().pop_front() else { break };
                    lane.run(&root, &reports);
                }
            });
        }
        board
    }

    /// Why nothing runs here.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The columns.
    pub(crate) fn runtimes(&self) -> &[String] {
        &self.runtimes
    }

    /// The result of a scenario, if it is known.
    pub(crate) fn outcome(&self, manager: &str, scenario: &str, runtime: &str) -> Option<Outcome> {
        self.reports.outcomes.lock().unwrap().get(&key(manager, scenario, runtime)).cloned()
    }

    /// The result of a scenario, once it is known.
    pub(crate) fn wait_for(&self, manager: &str, scenario: &str, runtime: &str) -> Outcome {
        let key = key(manager, scenario, runtime);
        let outcomes = self.reports.outcomes.lock().unwrap();
        let outcomes = self.reports.changed.wait_while(outcomes, |all| !all.contains_key(&key)).unwrap();
        outcomes[&key].clone()
    }
}

fn key(manager: &str, scenario: &str, runtime: &str) -> String {
    format!("{runtime} {manager}::{scenario}")
}

/// What a log says about a failure, in one line.
pub(crate) fn gist(log: &str) -> &str {
    let telling = |line: &&str| line.starts_with("EXPECTED") || line.starts_with("FAILED");
    log.lines().rfind(telling).or_else(|| log.lines().last()).unwrap_or("no log")
}

/// The cached root; built now if there is none, which takes a minute or two.
fn make_root() -> Result<PathBuf, String> {
    let mut child = Command::new(scripts().join("root"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut last = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        eprintln!("{line}");
        last = line;
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !root.is_empty() { Ok(root.into()) } else { Err(last) }
}

impl Lane {
    /// Runs it until it exits; every selected scenario then has a result.
    fn run(&self, root: &Path, reports: &Reports) {
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("managers");
        let logs = logs.join(format!("{}-{}", self.runtime, self.manager));
        let _ = fs::remove_dir_all(&logs);
        let runtime = match self.runtime.as_str() {
            "orlop" => format!("orlop={RUNTIME}"),
            other => other.to_owned(),
        };
        // A lane must not outlive this thread, which waits for it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "bash"])
            .arg(scripts().join("lane"))
            .args(["--runtime", &runtime, "--out"])
            .arg(&logs)
            .arg(self.manager)
            .args(&self.scenarios)
            .env("ORLOP_MANAGERS_ROOT", root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return self.finish(reports, &format!("no lane: {error}")),
        };
        let mut broken = "the lane exited early".to_owned();
        // The last one waits for the exit of the lane, so that the lane leaves nothing to this program.
        let mut last = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line.starts_with("broken ") {
                broken = line;
                continue;
            }
            let Some((name, outcome)) = self.parse(&line, &logs) else { continue };
            if self.scenarios.last().is_some_and(|last| last == name) {
                last = Some(outcome);
            } else {
                self.report(reports, name, outcome);
            }
        }
        let ended = child.wait();
        if let (Some(outcome), Ok(status)) = (last, ended) {
            let unclean = !status.success() && matches!(outcome, Outcome::Passed(_));
            let name = self.scenarios.last().unwrap();
            if unclean && name == LEAVES_NOTHING {
                self.report(reports, name, Outcome::Failed(format!("the lane exited with {status}")));
            } else {
                self.report(reports, name, outcome);
            }
        }
        self.finish(reports, &broken);
    }

    /// The result of a scenario in a line of the lane's report; prints scenarios that are tried again.
    fn parse<'l>(&self, line: &'l str, logs: &Path) -> Option<(&'l str, Outcome)> {
        let mut words = line.splitn(4, ' ');
        let (word, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let seconds = words.next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        let outcome = match word {
            "pass" => Outcome::Passed(seconds),
            "skip" => Outcome::Skipped(words.next().unwrap_or("").to_owned()),
            "fail" => Outcome::Failed(self.log_of(logs, name)),
            "again" => {
                let first = fs::read_to_string(logs.join(format!("{name}.first.log"))).unwrap_or_default();
                let (manager, runtime) = (self.manager, &self.runtime);
                let why: Vec<_> = line.splitn(3, ' ').skip(2).collect();
                eprintln!(
                    "{manager}::{name} on top of {runtime}: tried again after {} ({})",
                    gist(&first),
                    why.concat()
                );
                return None;
            }
            _ => return None,
        };
        Some((name, outcome))
    }

    fn report(&self, reports: &Reports, scenario: &str, outcome: Outcome) {
        reports.outcomes.lock().unwrap().insert(key(self.manager, scenario, &self.runtime), outcome);
        reports.changed.notify_all();
    }

    /// Scenarios without a result get one now.
    fn finish(&self, reports: &Reports, why: &str) {
        for scenario in &self.scenarios {
            let mut outcomes = reports.outcomes.lock().unwrap();
            let key = key(self.manager, scenario, &self.runtime);
            outcomes.entry(key).or_insert_with(|| Outcome::Failed(why.to_owned()));
        }
        reports.changed.notify_all();
    }

    /// The end of a scenario's log, and the path of the log.
    fn log_of(&self, logs: &Path, scenario: &str) -> String {
        let file = logs.join(format!("{scenario}.log"));
        let text = fs::read(if scenario == STARTS { logs.join("start.log") } else { file.clone() });
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        format!("{} under {}: the end of {}:\n{end}", self.manager, self.runtime, file.display())
    }
}
