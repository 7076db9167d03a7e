//! Idmapped mounts; mount_setattr(2) `MOUNT_ATTR_IDMAP`.

use super::{Detached, failed};
use crate::Result;
use crate::sys::mount::{MountAttr, attr};
use crate::sys::userns::{self, IdMap};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A user namespace with these maps, for [`Detached::idmap`]. It has no process: see
/// [`userns::with_maps`].
///
/// # Errors
/// EPERM where the caller may not map these ids.
pub fn user_namespace(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd> {
    userns::with_maps(uids, gids).map_err(|e| failed("make a user namespace for an idmapped mount", e))
}

impl Detached {
    /// Shows the files of the mount with their owners mapped: an id of the file system that is `container`
    /// in a range of the namespace's map appears as `host`. Only a mount that has never been attached can
    /// be mapped, and only once.
    ///
    /// # Errors
    /// EINVAL where the file system cannot be mapped (`config.md#posix-platform-mounts`: an error), EPERM
    /// where the mount or the file system belongs to another user namespace.
    pub fn idmap(&self, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
        let userns_fd = user_namespace.as_fd().as_raw_fd() as u64;
        let attributes = MountAttr { set: attr::IDMAP, userns_fd, ..MountAttr::default() };
        crate::sys::mount::mount_setattr(self, recursive, &attributes).map_err(|e| {
            let error = failed("mount_setattr MOUNT_ATTR_IDMAP", e);
            match e {
                Errno::EINVAL => {
                    error.with_hint("the file system does not support idmapped mounts on this kernel")
                }
                Errno::EPERM => error.with_hint(
                    "idmapping needs CAP_SYS_ADMIN in the user namespace which the file system belongs to",
                ),
                _ => error,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::MountOptions;

    #[test]
    fn owners_are_mapped() {
        let maps = [IdMap { container: 0, host: 100_000, size: 1000 }];
        let Ok(tmpfs) = Detached::filesystem("tmpfs", None, &MountOptions::default()) else {
            println!("skipped: may not mount");
            return;
        };
        let namespace = match user_namespace(&maps, &maps) {
            Ok(namespace) => namespace,
            Err(e) => {
                println!("skipped: {e}");
                return;
            }
        };
        let clone = match Detached::clone_of(&tmpfs, true) {
            Ok(clone) => clone,
            // What is detached itself, since Linux 6.15.
            Err(e) => return println!("skipped: {e}"),
        };
        match clone.idmap(&namespace, true) {
            Ok(()) => {
                assert_eq!(nix::sys::stat::fstat(&tmpfs).unwrap().st_uid, 0);
                assert_eq!(nix::sys::stat::fstat(&clone).unwrap().st_uid, 100_000);
                assert!(clone.idmap(&namespace, true).is_err(), "only once");
            }
            // tmpfs since Linux 6.3.
            Err(e) => println!("skipped: {e}"),
        }
    }
}
