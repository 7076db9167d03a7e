//! `start`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;

pub(super) fn start(args: &Args, log: &Log) -> Outcome {
    super::container(args, log)?.start()?;
    Ok(0)
}
