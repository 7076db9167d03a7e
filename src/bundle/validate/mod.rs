//! The rules of config.md and config-linux.md which can be checked without the host: every breach is
//! found, none stops the search. What depends on the host (does a path exist, is a controller there)
//! is the compiler's business.

mod checks;
mod linux;
mod process;
mod resources;
mod seccomp;
mod top;

use super::read::{At, Findings};
use super::spec::{Process, Resources, Spec};
use crate::Problem;

/// Checks a whole configuration; gives errors and warnings.
pub fn validate(spec: &Spec) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    check(spec, &mut found);
    (found.errors, found.warnings)
}

/// Checks a process that is to join a container; pointers are relative to it.
pub fn validate_process(process: &Process) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    process::check(process, &At::ROOT, &mut found);
    (found.errors, found.warnings)
}

/// Checks the new limits of an update; pointers are relative to them.
pub fn validate_resources(resources: &Resources) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    resources::check(resources, &At::ROOT, &mut found);
    (found.errors, found.warnings)
}

pub(crate) fn check(spec: &Spec, found: &mut Findings) {
    let at = At::ROOT;
    top::check(spec, &at, found);
    if let Some(process) = &spec.process {
        process::check(process, &at.key("process"), found);
    }
    linux::check(spec, &at, found);
}
