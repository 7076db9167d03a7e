//! `delete`

use super::{Outcome, pattern};
use crate::args::Args;
use crate::log::Log;
use orlop::ErrorKind;

pub(super) fn delete(args: &Args, log: &Log) -> Outcome {
    let (runtime, id) = (super::runtime(args, log)?, super::id(args)?);
    if args.regex {
        return pattern::for_each(&runtime, id, "delete", log, |container| container.delete(args.force));
    }
    match runtime.delete(id, args.force) {
        Ok(()) => Ok(0),
        // Managers delete once more with force what they have deleted already.
        Err(e) if args.force && e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.into()),
    }
}
