//! Printing on standard output.

mod list;
mod stats;
mod text;

pub(crate) use list::table;
pub(crate) use stats::{Event, Stats};
pub(crate) use text::{json, json_line, print};
