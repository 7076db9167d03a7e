//! `list`

use super::Outcome;
use crate::args::{Args, ListFormat};
use crate::log::Log;
use crate::output;

pub(super) fn list(args: &Args, log: &Log) -> Outcome {
    let states = super::runtime(args, log)?.list()?;
    if args.quiet {
        return output::print(&states.into_iter().map(|s| s.id + "\n").collect::<String>());
    }
    match args.list_format.unwrap_or(ListFormat::Table) {
        ListFormat::Table => output::print(&output::table(&states)),
        ListFormat::Json => output::json_line(&states),
    }
}
