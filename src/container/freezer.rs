//! The freezer: pausing a container, and thawing what has to die.

use super::signal::Signal;
use super::store::StateRecord;
use crate::cgroup::{Controller, FreezerState};
use crate::plan::kernel_version;
use crate::{ErrorKind, Result};
use std::sync::OnceLock;

/// How often a container that freezes itself is thawed and killed again.
const MAX_THAWS: usize = 100;

/// Whether a container whose init process has this state character, as `/proc/PID/stat` shows it, can be frozen.
///
/// A process that the v1 freezer has frozen is in state `D`; before Linux 6.1, one that was already sleeping remained in
/// `S`. The v2 freezer always shows `S`.
pub(super) fn may_be_frozen(record: &StateRecord, state: u8) -> bool {
    static V1_SHOWS_D: OnceLock<bool> = OnceLock::new();
    let by_v1 = || record.cgroup.v1_of(Controller::Freezer).is_some();
    let v1_shows_d = || *V1_SHOWS_D.get_or_init(|| kernel_version().is_ok_and(|version| version >= (6, 1)));
    !(matches!(state, b'R' | b'S') && by_v1() && v1_shows_d())
}

/// Whether the container is frozen; no if it has no freezer.
pub(super) fn is_frozen(record: &StateRecord) -> Result<bool> {
    let Some(cgroup) = record.open_cgroup() else { return Ok(false) };
    match cgroup.is_frozen() {
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
        other => other,
    }
}

/// Whether freezing is under way: some of the processes are not frozen yet.
pub(super) fn is_freezing(record: &StateRecord) -> Result<bool> {
    let Some(cgroup) = record.open_cgroup() else { return Ok(false) };
    match cgroup.freezer_state() {
        Ok(state) => Ok(state == FreezerState::Freezing),
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
        Err(e) => Err(e),
    }
}

/// Thaws the container, so that processes which were killed while frozen can die.
///
/// On cgroup v1 a container that can write to its cgroup can freeze a child cgroup, and freeze it again as soon as it
/// is thawed. In that case all processes are killed, because the whole container is to die anyway.
pub(super) fn thaw_killed(record: &StateRecord) -> Result<()> {
    let Some(cgroup) = record.open_cgroup() else { return Ok(()) };
    if record.cgroup.v1_of(Controller::Freezer).is_none() && is_frozen(record)? {
        return cgroup.begin_thaw();
    }
    for _ in 0..MAX_THAWS {
        if !cgroup.thaw_descendants()? {
            break;
        }
        cgroup.signal(Signal::KILL.number())?;
    }
    Ok(())
}
