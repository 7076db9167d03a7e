//! `--regex`: a command for every container whose id matches a regular expression.

use crate::failure::{Failure, Outcome};
use crate::log::Log;
use orlop::container::{Container, Runtime};
use orlop::{ErrorKind, Result};
use regex_lite::Regex;

/// Calls `action` for each container of the state root whose id `pattern` matches, anywhere in the id unless it is
/// anchored. No match is not a failure. A failed action is logged, and the others still run.
pub(super) fn for_each(
    runtime: &Runtime,
    pattern: &str,
    name: &str,
    log: &Log,
    action: impl Fn(&Container) -> Result<()>,
) -> Outcome {
    let regex = Regex::new(pattern)
        .map_err(|e| Failure::new(format!("--regex: {pattern:?} is no regular expression: {e}")))?;
    let ids: Vec<String> = runtime.list()?.into_iter().map(|state| state.id).collect();
    let (mut tried, mut failed) = (0_usize, 0_usize);
    for id in ids.iter().filter(|id| regex.is_match(id)) {
        tried += 1;
        match runtime.load(id).and_then(|container| action(&container)) {
            Ok(()) => {}
            // Another process has deleted it meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                failed += 1;
                log.warning(&format!("{name} {id}: {e}"));
            }
        }
    }
    match failed {
        0 => Ok(0),
        _ => Err(Failure::new(format!("cannot {name} {failed} of {tried} containers"))),
    }
}
