//! A cgroup that exists already may be used only if it is empty and not frozen.

use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::dir::Dir;
use crate::cgroup::procs::processes_in;
use crate::{Error, ErrorKind, Phase, Result};
use std::path::Path;

/// The JSON pointer of the cgroup's path.
pub(super) const POINTER: &str = "/linux/cgroupsPath";

fn not_empty(directory: &Path, count: usize) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Cgroup, "container's cgroup is not empty")
        .with_detail(format!("{count} process(es) found in {}", directory.display()))
        .with_pointer(POINTER)
}

fn frozen(directory: &Path) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Cgroup, "container's cgroup unexpectedly frozen")
        .with_detail(directory.display().to_string())
        .with_pointer(POINTER)
}

/// Rejects a v1 cgroup that has processes or is frozen.
pub(super) fn reject_used_v1(directory: &Path, controllers: Controllers) -> Result<()> {
    let pids = processes_in(directory)?;
    if !pids.is_empty() {
        return Err(not_empty(directory, pids.len()));
    }
    if controllers.contains(Controller::Freezer)
        && Dir::open(directory)?.at().text("freezer.state")?.is_some_and(|s| s.trim() != "THAWED")
    {
        return Err(frozen(directory));
    }
    Ok(())
}

/// Rejects a cgroup2 cgroup that has processes or is frozen.
pub(super) fn reject_used_v2(directory: &Path) -> Result<()> {
    let dir = Dir::open(directory)?;
    let events = dir.at().text("cgroup.events")?.unwrap_or_default();
    if events.lines().any(|l| l == "populated 1") {
        return Err(not_empty(directory, processes_in(directory)?.len()));
    }
    if events.lines().any(|l| l == "frozen 1") {
        return Err(frozen(directory));
    }
    let requested = dir.at().text("cgroup.freeze")?;
    if requested.is_some_and(|s| s.trim() == "1") { Err(frozen(directory)) } else { Ok(()) }
}
