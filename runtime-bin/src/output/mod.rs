//! What is printed on stdout.

mod list;
mod stats;

pub(crate) use list::table;
pub(crate) use stats::{Event, Stats};

use crate::commands::{Failure, Outcome};
use serde::Serialize;
use std::io::Write;

/// Prints a text that ends with a newline, in one piece.
pub(crate) fn print(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(0),
        Err(e) => Err(Failure::io("write to", "stdout".as_ref(), &e)),
    }
}

/// Prints a value as JSON with two spaces a level.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    finish(serde_json::to_string_pretty(value))
}

/// Prints a value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) -> Outcome {
    finish(serde_json::to_string(value))
}

fn finish(text: serde_json::Result<String>) -> Outcome {
    match text {
        Ok(text) => print(&(text + "\n")),
        // A path that is not UTF-8 has no JSON.
        Err(e) => Err(Failure::new(format!("write as JSON: {e}"), 1)),
    }
}
