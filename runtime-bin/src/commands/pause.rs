//! `pause`, `resume`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;

pub(super) fn pause(args: &Args, log: &Log) -> Outcome {
    super::container(args, log)?.pause()?;
    Ok(0)
}

pub(super) fn resume(args: &Args, log: &Log) -> Outcome {
    super::container(args, log)?.resume()?;
    Ok(0)
}
