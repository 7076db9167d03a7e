//! Removing a cgroup, with all below it.

use super::create::Cgroup;
use super::{file, procs};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
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
    pub fn exists(&self) -> bool {
        self.paths().any(|directory| file::exists(directory, ""))
    }
}

fn remove_tree(directory: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        // Nearly always there is nothing below: one system call.
        match file::rmdir(directory) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
            Err(e) => return Err(file::failed("rmdir", directory, "", e)),
        }
        for name in file::subdirectories(directory).unwrap_or_default() {
            remove_tree(&directory.join(name), deadline)?;
        }
        match file::rmdir(directory) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => return Ok(()),
            Err(e) if Instant::now() >= deadline => return Err(busy(directory, e)),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) => {}
            Err(e) => return Err(file::failed("rmdir", directory, "", e)),
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn busy(directory: &Path, errno: Errno) -> Error {
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
