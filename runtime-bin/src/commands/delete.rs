//! `delete`

use super::{matching, open};
use crate::args::{DeleteArgs, DeleteTarget};
use crate::failure::Outcome;
use crate::log::Log;
use orlop::ErrorKind;

pub(super) fn delete(args: &DeleteArgs, log: &Log) -> Outcome {
    let runtime = open::runtime(&args.runtime, log)?;
    let id = match &args.target {
        DeleteTarget::Container(id) => id,
        DeleteTarget::Matching(pattern) => {
            return matching::for_each(&runtime, pattern, "delete", log, |container| {
                container.delete(args.force)
            });
        }
    };
    match runtime.delete(id, args.force) {
        Ok(()) => Ok(0),
        // Managers repeat a deletion with force.
        Err(e) if args.force && e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.into()),
    }
}
