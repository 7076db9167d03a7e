//! The process of the container: reports what it sees, and performs actions.
//!
//! `probe ACTION WORDS , ACTION WORDS …`: each action prints at most one line of JSON.

mod act;
mod attack;
mod hostile;
mod prowl;
mod report;

pub use report::capability_names;

use std::process::ExitCode;

/// A variable that makes the test program the probe under any name (a hook may choose its first argument).
pub const MARKER: &str = "ORLOP_PROBE";

/// Performs the actions in turn.
pub fn main(words: &[String]) -> ExitCode {
    let mut code = 0;
    for action in words.split(|word| word == ",") {
        let Some((name, args)) = action.split_first() else { continue };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if let Some(wanted) = act::act(name, &args) {
            code = wanted;
            break;
        }
    }
    ExitCode::from(code)
}
