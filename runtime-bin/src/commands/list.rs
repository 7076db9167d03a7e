//! `list`

use super::open;
use crate::args::{ListArgs, ListOutput};
use crate::failure::Outcome;
use crate::log::Log;
use crate::output;

pub(super) fn list(args: &ListArgs, log: &Log) -> Outcome {
    let states = open::runtime(&args.runtime, log)?.list()?;
    match args.output {
        ListOutput::Ids => output::print(&states.into_iter().map(|s| s.id + "\n").collect::<String>()),
        ListOutput::Table => output::print(&output::list_table(&states)),
        ListOutput::Json => output::json_line(&states),
    }
}
