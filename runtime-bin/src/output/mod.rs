//! Printing on standard output.

mod list;
mod stats;
mod text;

pub(crate) use list::list_table;
pub(crate) use stats::{EventJson, StatsJson};
pub(crate) use text::{json, json_line, print};
