//! The scope of an existing container, if systemd has created its cgroup.

use super::store::StateRecord;
use crate::cgroup::systemd::{Scope, Systemd};
use crate::cgroup::{Cgroup, Settings};
use crate::{Error, Phase, Result};
use nix::errno::Errno;

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

/// Whether a process could not join a cgroup because the caller may not move it there. An unprivileged caller may only move
/// processes within the cgroups that it owns: not from its login session to the units of its systemd.
pub(super) fn may_move_instead(e: &Error) -> bool {
    e.phase() == Phase::Cgroup && matches!(e.errno(), Some(Errno::EACCES | Errno::EPERM))
}

/// Moves a process into the container's cgroup, or one below it. If the caller may not do that, systemd does.
pub(super) fn add(record: &StateRecord, cgroup: &Cgroup, pid: i32) -> Result<()> {
    let added = cgroup.add(pid);
    let (Err(e), Some(scope), Some(top)) = (&added, &record.scope, &record.cgroup.unified) else {
        return added;
    };
    let below = cgroup.record().unified.as_deref().and_then(|directory| directory.strip_prefix(top).ok());
    match below.filter(|_| may_move_instead(e)) {
        Some(below) => Systemd::connect(&scope.bus)?.attach_below(&scope.unit, below, pid),
        None => added,
    }
}

/// Tells systemd the new limits; otherwise it would write the old ones again when it reloads.
pub(super) fn set_limits(scope: &Scope, settings: &Settings) -> Result<()> {
    Systemd::connect(&scope.bus)?.set_limits(&scope.unit, settings)
}
