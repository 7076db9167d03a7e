//! The rules of config.md and config-linux.md that do not depend on the host. All violations are found. What depends on
//! the host, such as existing paths and available controllers, is checked by the plan's compiler.
//!
//! Layers: `checks`; then `process`, `resources`, `seccomp` and `top`; then `linux`; then this module.

mod checks;
mod linux;
mod process;
mod resources;
mod seccomp;
mod top;

use super::findings::{Findings, Pointer};
use super::spec::{Process, Resources, Spec};
use crate::Problem;

/// Checks a whole configuration. Returns errors and warnings.
pub fn validate(spec: &Spec) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    check(spec, &mut found);
    (found.errors, found.warnings)
}

/// Checks a process that will join a container. Returns errors and warnings, whose pointers are relative to it.
pub fn validate_process(process: &Process) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    process::check(process, &Pointer::ROOT, &mut found);
    (found.errors, found.warnings)
}

/// Checks the limits of an update. Returns errors and warnings, whose pointers are relative to them.
pub fn validate_resources(resources: &Resources) -> (Vec<Problem>, Vec<Problem>) {
    let mut found = Findings::default();
    resources::check(resources, &Pointer::ROOT, &mut found);
    (found.errors, found.warnings)
}

pub(crate) fn check(spec: &Spec, found: &mut Findings) {
    let at = Pointer::ROOT;
    top::check(spec, &at, found);
    if let Some(process) = &spec.process {
        process::check(process, &at.key("process"), found);
    }
    linux::check(spec, &at, found);
}
