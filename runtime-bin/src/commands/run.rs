//! `run`

use super::new_container::new_container;
use super::supervise::supervise;
use crate::args::RunArgs;
use crate::failure::Outcome;
use crate::log::Log;
use orlop::container::Runtime;

pub(super) fn run(args: &RunArgs, log: &Log) -> Outcome {
    let foreground = args.mode.is_foreground();
    supervise(args.mode, log, || new_container(&args.launch, log, foreground, Runtime::run))
}
