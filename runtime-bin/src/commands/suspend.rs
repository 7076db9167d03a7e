//! `pause`, `resume`

use super::open;
use crate::args::ContainerArgs;
use crate::failure::Outcome;
use crate::log::Log;

pub(super) fn pause(args: &ContainerArgs, log: &Log) -> Outcome {
    open::container(args, log)?.pause()?;
    Ok(0)
}

pub(super) fn resume(args: &ContainerArgs, log: &Log) -> Outcome {
    open::container(args, log)?.resume()?;
    Ok(0)
}
