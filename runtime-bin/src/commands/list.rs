//! `list`

use super::Outcome;
use crate::args::{Args, ListFormat};
use crate::output;

pub(super) fn list(args: &Args) -> Outcome {
    let states = super::runtime(args)?.list()?;
    if args.quiet {
        return output::print(&states.iter().map(|s| format!("{}\n", s.id)).collect::<String>());
    }
    match args.list_format.unwrap_or(ListFormat::Table) {
        ListFormat::Table => output::print(&output::table(&states)),
        ListFormat::Json => output::json_line(&states),
    }
}
