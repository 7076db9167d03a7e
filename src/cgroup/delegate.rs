//! Delegates a cgroup2 cgroup to a user: cgroups(7), "Cgroup delegation".

use super::dir::Dir;
use crate::sys::fs as sysfs;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::Uid;
use std::path::Path;

/// Changes the owner of the directory, and of the files that may be delegated.
pub(super) fn delegate(directory: &Path, uid: u32) -> Result<()> {
    let files = delegatable_files()?;
    let dir = Dir::open(directory)?;
    let owner = Some(Uid::from_raw(uid));
    nix::unistd::fchown(dir.at().fd(), owner, None).map_err(|e| dir.at().failed("chown", "", e))?;
    for name in files.lines().filter(|name| !name.contains('/')) {
        let done = nix::unistd::fchownat(dir.at().fd(), name, owner, None, AtFlags::AT_SYMLINK_NOFOLLOW);
        match done {
            // The file of a controller that is not enabled.
            Err(Errno::ENOENT) => {}
            done => done.map_err(|e| dir.at().failed("chown", name, e))?,
        }
    }
    Ok(())
}

/// The names of the files that may be delegated, one per line.
fn delegatable_files() -> Result<String> {
    match sysfs::read_at(sysfs::cwd(), c"/sys/kernel/cgroup/delegate") {
        Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        // Kernels before 4.15, or no sysfs.
        Err(Errno::ENOENT) => Ok("cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n".into()),
        Err(e) => Err(Error::sys(Phase::Cgroup, "read", e).on("/sys/kernel/cgroup/delegate")),
    }
}
