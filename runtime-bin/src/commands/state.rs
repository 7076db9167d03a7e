//! `state`

use super::open;
use crate::args::ContainerArgs;
use crate::failure::Outcome;
use crate::log::Log;
use crate::output;

pub(super) fn state(args: &ContainerArgs, log: &Log) -> Outcome {
    let state = open::container(args, log)?.state()?;
    output::json(&state)
}
