//! Texts and JSON.

use crate::failure::{Failure, Outcome};
use serde::Serialize;
use std::io::Write;

/// Prints a text at once. It ends with a newline.
pub(crate) fn print(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(0),
        Err(e) => Err(Failure::io("write to", "stdout".as_ref(), &e)),
    }
}

/// Prints a value as JSON, indented by two spaces per level.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    print_line(serde_json::to_string_pretty(value))
}

/// Prints a value as JSON on one line.
pub(crate) fn json_line(value: &impl Serialize) -> Outcome {
    print_line(serde_json::to_string(value))
}

fn print_line(text: serde_json::Result<String>) -> Outcome {
    match text {
        Ok(text) => print(&(text + "\n")),
        // A path that is not UTF-8 cannot be written as JSON.
        Err(e) => Err(Failure::new(format!("write as JSON: {e}"))),
    }
}
