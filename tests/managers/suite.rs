//! Container managers on top of the runtime, and on top of other runtimes: `lane` runs the scenarios, this program
//! compares.
//!
//! `ORLOP_MANAGERS_RUNTIMES` names the columns (default: `orlop,runc`; empty: nothing runs), `ORLOP_MANAGERS_LANES`
//! how many lanes run at a time (2). A scenario fails if it fails with orlop and succeeds with another runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test may panic.

mod board;
mod table;

use board::{Board, Outcome};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

const RUNTIME: &str = env!("CARGO_BIN_EXE_orlop");

/// In the order in which they start: the longest first.
const MANAGERS: [&str; 7] =
    ["docker", "podman-rootless", "podman", "podman-options", "containerd", "cri", "buildah"];

/// What every lane reports in addition to the scenarios of its file.
const STARTS: &str = "starts";
const LEAVES_NOTHING: &str = "leaves-nothing";

static BOARD: OnceLock<Board> = OnceLock::new();

fn main() -> ExitCode {
    let code = kit::main(RUNTIME, cases);
    if let Some(board) = BOARD.get() {
        table::print(board, &plan());
    }
    code
}

/// The directory of the lane's scripts.
fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/managers")).canonicalize().unwrap()
}

/// Each manager with the names of its scenarios: the functions `t_name` of its file.
fn plan() -> Vec<(&'static str, Vec<String>)> {
    let read = |manager: &str| std::fs::read_to_string(scripts().join(format!("scenarios/{manager}.sh")));
    let mut all = Vec::new();
    for manager in MANAGERS {
        let Ok(text) = read(manager) else { continue };
        let functions = text.lines().filter_map(|line| line.strip_prefix("t_")?.split_once("()"));
        let mut names = vec![STARTS.to_owned()];
        names.extend(functions.map(|(name, _)| name.replace('_', "-")));
        names.push(LEAVES_NOTHING.to_owned());
        all.push((manager, names));
    }
    all
}

fn runtimes() -> Vec<String> {
    let named = std::env::var("ORLOP_MANAGERS_RUNTIMES").unwrap_or_else(|_| "orlop,runc".to_owned());
    named.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn cases() -> Vec<kit::Case> {
    let mut cases = Vec::new();
    for (manager, scenarios) in plan() {
        for scenario in scenarios {
            let name = format!("managers::{manager}::{scenario}");
            cases.push(kit::Case::new(name, move |_| verdict(manager, &scenario)));
        }
    }
    cases
}

/// Waits for the result with each runtime, and compares.
fn verdict(manager: &str, scenario: &str) {
    if runtimes().is_empty() {
        kit::skip("ORLOP_MANAGERS_RUNTIMES names no runtime");
    }
    let board = BOARD.get_or_init(|| Board::begin(&plan(), &runtimes()));
    if let Some(why) = board.refused() {
        kit::skip(why);
    }
    let mut outcomes = Vec::new();
    for runtime in board.runtimes() {
        outcomes.push((runtime, board.wait_for(manager, scenario, runtime)));
    }
    let ours = outcomes.iter().position(|(name, _)| *name == "orlop").unwrap_or(0);
    let (_, ours) = outcomes.remove(ours);
    match ours {
        Outcome::Passed(_) => {}
        Outcome::Skipped(why) => kit::skip(why),
        Outcome::Failed(log) => {
            let passed = outcomes.iter().any(|(_, other)| matches!(other, Outcome::Passed(_)));
            match outcomes.first() {
                Some((name, Outcome::Failed(same))) if !passed => {
                    kit::skip(format!("fails with {name} too: {}", board::gist(same)));
                }
                _ => panic!("{log}"),
            }
        }
    }
}
