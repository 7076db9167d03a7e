//! `create`

use super::new_container::new_container;
use crate::args::CreateArgs;
use crate::failure::Outcome;
use crate::log::Log;
use orlop::container::Runtime;

pub(super) fn create(args: &CreateArgs, log: &Log) -> Outcome {
    new_container(&args.launch, log, false, Runtime::create)?;
    Ok(0)
}
