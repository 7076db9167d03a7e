//! Getting a new process into a cgroup.

use super::dir::{Dir, open_file};
use super::file;
use crate::{Error, Phase, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What the creator of a process needs to start it in a cgroup.
///
/// First [`Join::directory`], if there is one, for `CLONE_INTO_CGROUP`; then the child, while it has one
/// thread only, writes `0` to each of [`Join::files`].
#[derive(Debug, Default)]
pub struct Join {
    into: Option<OwnedFd>,
    pub(super) files: Vec<OwnedFd>,
    fallback: Option<PathBuf>,
}

impl Join {
    /// The cgroup2 directory for `CLONE_INTO_CGROUP`.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.into.as_ref().map(AsFd::as_fd)
    }

    /// Open files into which the child writes `0`: v1 `tasks`, and the cgroup2 `cgroup.procs` where
    /// the child cannot be cloned into its directory.
    pub fn files(&self) -> &[OwnedFd] {
        &self.files
    }

    /// Gives up `CLONE_INTO_CGROUP` for a write to `cgroup.procs`.
    ///
    /// For a clone that the kernel refuses (`EAGAIN` under a `pids.max` of 0, `EOPNOTSUPP`), or
    /// whose child was killed at birth: the kernel compares the *caller's* count of `cgroup.kill`
    /// with the target's, so a caller whose own cgroup was once killed cannot clone elsewhere.
    ///
    /// # Errors
    /// That `cgroup.procs` cannot be opened.
    pub fn use_files(&mut self) -> Result<()> {
        if self.into.take().is_some()
            && let Some(directory) = &self.fallback
        {
            self.files.push(open_file(directory, "cgroup.procs", libc::O_WRONLY)?);
        }
        Ok(())
    }

    /// Adds a cgroup2 directory.
    pub(super) fn unified(&mut self, dir: Dir, clone_into: bool) -> Result<()> {
        if clone_into {
            self.fallback = Some(dir.at().path().to_owned());
            self.into = Some(dir.into_fd());
        } else {
            self.files.push(dir.at().require("cgroup.procs", libc::O_WRONLY)?);
        }
        Ok(())
    }

    /// Moves the calling process: only a single-threaded one may call this.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn enter(&self) -> Result<()> {
        if let (Some(_), Some(directory)) = (&self.into, &self.fallback) {
            Dir::open(directory)?.at().set("cgroup.procs", b"0")?;
        }
        for fd in &self.files {
            file::put(fd, b"0").map_err(|e| Error::sys(Phase::Cgroup, "join cgroup", e))?;
        }
        Ok(())
    }
}
