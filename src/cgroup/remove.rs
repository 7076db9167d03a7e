//! Removes a cgroup with its descendants.

use super::dir::{Dir, DirRef, exists, failed, rmdir};
use super::file::is_gone_errno;
use super::procs;
use super::record::CgroupRecord;
use super::walk::{self, ChildState, Visitor, walk};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Removes the cgroup from every hierarchy. A directory that cannot be removed does not keep the others. The first error
/// is returned.
pub(super) fn remove(record: &CgroupRecord, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let mut first = Ok(());
    for directory in record.paths() {
        let done = remove_tree(directory, deadline);
        if first.is_ok() {
            first = done;
        }
    }
    first
}

/// Whether any of the cgroup's directories exists.
pub(super) fn any_exists(record: &CgroupRecord) -> Result<bool> {
    for directory in record.paths() {
        if exists(directory)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a directory and everything below it.
fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        // Usually there is nothing below, and this is the only system call.
        match rmdir(directory) {
            Ok(()) => return Ok(()),
            Err(e) if is_gone_errno(e) => return Ok(()),
            Err(e) if is_busy(e) => {}
            Err(e) => return Err(failed("rmdir", directory, "", e)),
        }
        let Some(dir) = Dir::open_if_exists(directory)? else { return Ok(()) };
        walk(dir.at(), walk::REMOVAL_TIMEOUT, &mut Removal)?;
        match rmdir(directory) {
            Ok(()) => return Ok(()),
            Err(e) if is_gone_errno(e) => return Ok(()),
            Err(e) if Instant::now() >= deadline => return Err(busy(directory, e)),
            Err(e) if is_busy(e) => {}
            Err(e) => return Err(failed("rmdir", directory, "", e)),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn is_busy(errno: Errno) -> bool {
    matches!(errno, Errno::EBUSY | Errno::ENOTEMPTY)
}

/// Removes the descendants of a cgroup, children first. Those with processes are kept.
struct Removal;

impl Removal {
    fn rmdir(parent: DirRef<'_>, name: &CStr) -> Result<ChildState> {
        match parent.rmdir(name) {
            Ok(()) => Ok(ChildState::Done),
            Err(e) if is_gone_errno(e) => Ok(ChildState::Gone),
            Err(e) if is_busy(e) => Ok(ChildState::Present),
            Err(e) => Err(parent.failed("rmdir", &name.to_string_lossy(), e)),
        }
    }
}

impl Visitor for Removal {
    fn before(&mut self, parent: DirRef<'_>, name: &CStr) -> Result<ChildState> {
        Self::rmdir(parent, name)
    }

    fn at(&mut self, _cgroup: DirRef<'_>) -> Result<()> {
        Ok(())
    }

    fn after(&mut self, parent: DirRef<'_>, name: &CStr) -> Result<ChildState> {
        Self::rmdir(parent, name)
    }
}

fn busy(directory: &Path, errno: Errno) -> Error {
    // If the list cannot be read, the error is still correct.
    let pids = procs::processes_in(directory).unwrap_or_default();
    let error = Error::sys(Phase::Cgroup, "rmdir", errno).on(directory.display().to_string());
    if pids.is_empty() {
        error
    } else {
        error.with_detail(format!("processes left: {}", procs::summary(&pids)))
    }
}
