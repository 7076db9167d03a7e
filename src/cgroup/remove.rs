//! Removing a cgroup, with all below it.

use super::create::Cgroup;
use super::dir::{Dir, DirRef, failed, gone, is_there, rmdir};
use super::procs;
use super::walk::{self, Found, Visit, walk};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a cgroup whose last process is just ending is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Removes the cgroup from every hierarchy, with those that were made below it. What is gone
    /// already is no error. All directories are tried, whatever the first one says.
    ///
    /// # Errors
    /// `EBUSY`, with the processes that are left in it.
    pub fn remove(&self) -> Result<()> {
        self.remove_within(PATIENCE)
    }

    /// [`Cgroup::remove`] with a bound of its own for processes which are still ending.
    ///
    /// # Errors
    /// As [`Cgroup::remove`].
    pub fn remove_within(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mut first = Ok(());
        for directory in self.paths() {
            let done = remove_tree(directory, deadline);
            if first.is_ok() {
                first = done;
            }
        }
        first
    }

    /// Whether any of its directories is there.
    ///
    /// # Errors
    /// That one cannot be looked at.
    pub fn exists(&self) -> Result<bool> {
        for directory in self.paths() {
            if is_there(directory)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Removes a cgroup and all below it.
pub(super) fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        // Nearly always there is nothing below: one system call.
        match rmdir(directory) {
            Ok(()) => return Ok(()),
            Err(e) if gone(e) => return Ok(()),
            Err(e) if is_busy(e) => {}
            Err(e) => return Err(failed("rmdir", directory, "", e)),
        }
        let Some(dir) = Dir::find(directory)? else { return Ok(()) };
        walk(dir.at(), walk::PATIENT, &mut Removal)?;
        match rmdir(directory) {
            Ok(()) => return Ok(()),
            Err(e) if gone(e) => return Ok(()),
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

/// Removes the cgroups below a cgroup, children first. Those with processes stay.
struct Removal;

impl Removal {
    fn rmdir(parent: DirRef<'_>, name: &CStr) -> Result<Found> {
        match parent.rmdir(name) {
            Ok(()) => Ok(Found::Done),
            Err(e) if gone(e) => Ok(Found::Gone),
            Err(e) if is_busy(e) => Ok(Found::There),
            Err(e) => Err(parent.failed("rmdir", &name.to_string_lossy(), e)),
        }
    }
}

impl Visit for Removal {
    fn before(&mut self, parent: DirRef<'_>, name: &CStr) -> Result<Found> {
        Self::rmdir(parent, name)
    }

    fn at(&mut self, _cgroup: DirRef<'_>) -> Result<()> {
        Ok(())
    }

    fn after(&mut self, parent: DirRef<'_>, name: &CStr) -> Result<Found> {
        Self::rmdir(parent, name)
    }
}

fn busy(directory: &Path, errno: Errno) -> Error {
    // Without the list the error is still correct.
    let pids = procs::tree(directory).unwrap_or_default();
    let error = Error::sys(Phase::Cgroup, "rmdir", errno).on(directory.display().to_string());
    if pids.is_empty() { error } else { error.with_detail(format!("processes left: {}", names(&pids))) }
}

/// Pids for a message: the first twenty.
pub(super) fn names(pids: &[i32]) -> String {
    let mut text = pids.iter().take(20).map(i32::to_string).collect::<Vec<_>>().join(", ");
    if pids.len() > 20 {
        let _ = write!(text, " and {} more", pids.len() - 20);
    }
    text
}
