//! The scope of an existing container, if systemd has created its cgroup.

use super::store::StateRecord;
use crate::Result;
use crate::cgroup::systemd::{Scope, Systemd};
use crate::cgroup::{Cgroup, Settings};

/// Stops the container's unit, whose processes have exited. It is not an error if neither systemd nor the cgroup exists any
/// more.
pub(super) fn stop(record: &StateRecord) -> Result<()> {
    let Some(scope) = &record.scope else { return Ok(()) };
    let stopped = Systemd::connect(&scope.bus).and_then(|mut systemd| systemd.stop(&scope.unit));
    stopped.or_else(|e| match Cgroup::open(record.cgroup.clone()).exists() {
        Ok(false) => Ok(()),
        _ => Err(e),
    })
}

/// Tells systemd the new limits; otherwise it would write the old ones again when it reloads.
pub(super) fn set_limits(scope: &Scope, settings: &Settings) -> Result<()> {
    Systemd::connect(&scope.bus)?.set_limits(&scope.unit, settings)
}
