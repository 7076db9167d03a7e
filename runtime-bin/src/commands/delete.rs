//! `delete`

use super::Outcome;
use crate::args::Args;
use orlop::ErrorKind;

pub(super) fn delete(args: &Args) -> Outcome {
    match super::runtime(args)?.delete(super::id(args)?, args.force) {
        Ok(()) => Ok(0),
        // Managers delete once more with force what they have deleted already.
        Err(e) if args.force && e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.into()),
    }
}
