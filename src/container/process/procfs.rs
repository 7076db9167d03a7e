//! The procfs of the caller's pid namespace.

use crate::sys::fs as sysfs;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statfs::PROC_SUPER_MAGIC;
use std::os::fd::OwnedFd;

/// The device and the inode number of a pid namespace.
pub(super) type PidNamespaceId = (u64, u64);

/// An open `/proc`, verified to be a procfs.
pub(super) struct Procfs(OwnedFd);

impl Procfs {
    pub(super) fn open() -> Result<Self> {
        let failed = |e| Error::sys(Phase::Lifecycle, "open", e).on("/proc");
        let fd =
            sysfs::openat(sysfs::cwd(), c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0).map_err(failed)?;
        if sysfs::file_system(&fd).map_err(failed)? != PROC_SUPER_MAGIC {
            return Err(failed(Errno::ENODEV).with_detail("it is not a procfs"));
        }
        Ok(Self(fd))
    }

    /// The pid namespace of a process; `None` if the process does not exist any more.
    pub(super) fn pid_namespace(&self, pid: i32) -> Result<Option<PidNamespaceId>, Errno> {
        match fstatat(&self.0, format!("{pid}/ns/pid").as_str(), AtFlags::empty()) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The pids of all processes that it shows.
    pub(super) fn pids(&self) -> Result<Vec<i32>> {
        let failed = |e| Error::sys(Phase::Lifecycle, "list the processes below", e).on("/proc");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = nix::dir::Dir::openat(&self.0, c".", flags, Mode::empty()).map_err(failed)?;
        let mut found = Vec::new();
        for entry in listing.iter() {
            let name = entry.map_err(failed)?;
            found.extend(name.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
        }
        Ok(found)
    }
}
