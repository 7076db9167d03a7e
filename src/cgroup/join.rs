//! Starting a process in a cgroup.

use super::dir::{Dir, open_file};
use super::file;
use super::record::CgroupRecord;
use crate::{Error, Phase, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What is needed to start a process in a cgroup.
///
/// Clone the process into [`Join::directory`] (`CLONE_INTO_CGROUP`), if there is one. While it has only one thread, the
/// process then writes `0` to each of [`Join::files`].
#[derive(Debug, Default)]
pub struct Join {
    clone_into: Option<OwnedFd>,
    files: Vec<OwnedFd>,
    /// The path of `clone_into`.
    unified: Option<PathBuf>,
}

impl Join {
    /// The cgroup2 directory for `CLONE_INTO_CGROUP`.
    pub fn directory(&self) -> Option<BorrowedFd<'_>> {
        self.clone_into.as_ref().map(AsFd::as_fd)
    }

    /// Open files to which the process writes `0`: `tasks` on v1, and `cgroup.procs` of a cgroup2 directory into which
    /// it cannot be cloned.
    pub fn files(&self) -> &[OwnedFd] {
        &self.files
    }

    /// Replaces `CLONE_INTO_CGROUP` by a write to `cgroup.procs`.
    ///
    /// For a clone that the kernel refuses (`EAGAIN` if `pids.max` is 0, `EOPNOTSUPP`), or whose child is killed at
    /// once: the kernel compares how often the *caller's* cgroup and the target were killed by `cgroup.kill`, so a
    /// caller in a cgroup that was once killed cannot clone into another one.
    ///
    /// # Errors
    /// If `cgroup.procs` cannot be opened.
    pub fn use_files(&mut self) -> Result<()> {
        if self.clone_into.take().is_some()
            && let Some(directory) = &self.unified
        {
            self.files.push(open_file(directory, "cgroup.procs", libc::O_WRONLY)?);
        }
        Ok(())
    }

    pub(super) fn reserve(&mut self, files: usize) {
        self.files.reserve(files);
    }

    pub(super) fn add_file(&mut self, file: OwnedFd) {
        self.files.push(file);
    }

    /// Adds a cgroup2 directory.
    pub(super) fn add_unified(&mut self, dir: Dir, clone_into: bool) -> Result<()> {
        if clone_into {
            self.unified = Some(dir.at().path().to_owned());
            self.clone_into = Some(dir.into_fd());
        } else {
            self.files.push(dir.at().require("cgroup.procs", libc::O_WRONLY)?);
        }
        Ok(())
    }

    /// Opens what is needed to start a process in an existing cgroup.
    pub(super) fn open(record: &CgroupRecord) -> Result<Self> {
        let mut join = Self::default();
        for v1 in &record.v1 {
            join.files.push(open_file(&v1.directory, "tasks", libc::O_WRONLY)?);
        }
        if let Some(directory) = &record.unified {
            join.add_unified(Dir::open(directory)?, !record.reused)?;
        }
        Ok(join)
    }

    /// Moves the calling process, which must have only one thread.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn enter(&self) -> Result<()> {
        if let (Some(_), Some(directory)) = (&self.clone_into, &self.unified) {
            Dir::open(directory)?.at().set("cgroup.procs", b"0")?;
        }
        for fd in &self.files {
            file::write_once(fd, b"0").map_err(|e| Error::sys(Phase::Cgroup, "join cgroup", e))?;
        }
        Ok(())
    }
}
