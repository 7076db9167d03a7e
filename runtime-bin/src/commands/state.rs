//! `state`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;
use crate::output;

pub(super) fn state(args: &Args, log: &Log) -> Outcome {
    let state = super::container(args, log)?.state()?;
    output::json(&state)
}
