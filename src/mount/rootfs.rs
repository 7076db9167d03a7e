//! A root file system as a detached mount.

use super::detached::Detached;
use super::overlay::Overlay;
use super::propagation::{Propagation, PropagationKind};
use super::{idmap, pivot};
use crate::sys::userns::IdMap;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// A root file system that is not attached yet.
#[derive(Debug)]
pub struct Rootfs {
    mount: Detached,
}

impl Rootfs {
    /// A directory, by its absolute path, with all mounts below it. Later mounts of the host propagate to it, but not back: see
    /// [`Rootfs::propagation`].
    ///
    /// # Errors
    /// ENOENT or ENOTDIR, with the path.
    pub fn directory(path: &Path) -> Result<Self> {
        let on = |operation, e| Error::sys(Phase::Mount, operation, e).on(path.display().to_string());
        let fd = super::detached::open_path(path).map_err(|e| on("open rootfs", e))?;
        let stat = fstat(&fd).map_err(|e| on("stat rootfs", e))?;
        if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFDIR {
            return Err(on("open rootfs", Errno::ENOTDIR));
        }
        let mount = Detached::clone_of(&fd, true).map_err(|e| e.on(path.display().to_string()))?;
        // The copy of a shared mount is its peer, and pivot_root(2) refuses a shared root.
        mount.propagate(Propagation::recursive(PropagationKind::Slave))?;
        Ok(Self { mount })
    }

    /// An overlay.
    pub fn overlay(overlay: &Overlay) -> Result<Self> {
        overlay.mount().map(Self::from)
    }

    /// Maps the owners of its files: see [`Detached::idmap`].
    pub fn idmapped(self, uids: &[IdMap], gids: &[IdMap]) -> Result<Self> {
        self.mount.idmap(idmap::user_namespace(uids, gids)?, true)?;
        Ok(self)
    }

    /// Makes it read-only; mounts below it stay as they are.
    pub fn read_only(self) -> Result<Self> {
        self.mount.read_only(false)?;
        Ok(self)
    }

    /// Sets the propagation of all its mounts.
    pub fn propagation(self, kind: PropagationKind) -> Result<Self> {
        self.mount.propagate(Propagation::recursive(kind))?;
        Ok(self)
    }

    /// Makes it the calling thread's root: see [`pivot::pivot_root_into`].
    pub fn enter(&self) -> Result<()> {
        pivot::pivot_root_into(&self.mount)
    }

    /// The mount, to be attached or sent to another process.
    pub fn into_mount(self) -> Detached {
        self.mount
    }
}

impl From<Detached> for Rootfs {
    fn from(mount: Detached) -> Self {
        Self { mount }
    }
}

impl AsFd for Rootfs {
    /// The root directory, for [`in_root`](super::in_root).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;

    #[test]
    fn a_directory_becomes_a_root() {
        let error = |path: &str| Rootfs::directory(Path::new(path)).unwrap_err();
        assert_eq!(error("/nowhere/rootfs").errno(), Some(Errno::ENOENT));
        assert_eq!(error("/proc/version").errno(), Some(Errno::ENOTDIR));
        assert_eq!(error("relative").errno(), Some(Errno::EINVAL));
        match Rootfs::directory(Path::new("/usr")).and_then(Rootfs::read_only) {
            Ok(root) => {
                assert!(crate::mount::in_root::open(&root, "/bin", OFlag::O_PATH).is_ok());
                let e = crate::mount::in_root::mkdir_all(&root, "orlop-test", 0o755).unwrap_err();
                assert_eq!(e.errno(), Some(Errno::EROFS));
            }
            Err(e) => println!("skipped: {e}"),
        }
    }
}
