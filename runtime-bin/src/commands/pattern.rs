//! `--regex`: one command for every container whose id a regular expression finds.

use super::{Failure, Outcome};
use crate::log::Log;
use orlop::container::{Container, Runtime};
use orlop::{ErrorKind, Result};
use regex_lite::Regex;

/// Does `act` on each container of the state root in whose id `pattern` is found, anywhere unless it says
/// otherwise. None at all is no failure; one that fails is reported and hinders none of the others.
pub(super) fn for_each(
    runtime: &Runtime,
    pattern: &str,
    what: &str,
    log: &Log,
    act: impl Fn(&Container) -> Result<()>,
) -> Outcome {
    let regex = Regex::new(pattern)
        .map_err(|e| Failure::new(format!("--regex: {pattern:?} is no regular expression: {e}"), 1))?;
    let ids: Vec<String> = runtime.list()?.into_iter().map(|state| state.id).collect();
    let (mut tried, mut failed) = (0_usize, 0_usize);
    for id in ids.iter().filter(|id| regex.is_match(id)) {
        tried += 1;
        match runtime.load(id).and_then(|container| act(&container)) {
            Ok(()) => {}
            // Somebody else has deleted it meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => {
                failed += 1;
                log.warning(&format!("{what} {id}: {e}"));
            }
        }
    }
    match failed {
        0 => Ok(0),
        _ => Err(Failure::new(format!("cannot {what} {failed} of {tried} containers"), 1)),
    }
}
