//! `delete`

use super::Outcome;
use crate::args::Args;
use crate::log::Log;
use orlop::ErrorKind;

pub(super) fn delete(args: &Args, log: &Log) -> Outcome {
    match super::runtime(args, log)?.delete(super::id(args)?, args.force) {
        Ok(()) => Ok(0),
        // Managers delete once more with force what they have deleted already.
        Err(e) if args.force && e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.into()),
    }
}
