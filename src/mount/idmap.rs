//! Idmapped mounts; mount_setattr(2) `MOUNT_ATTR_IDMAP`.

use super::error::failed;
use crate::Result;
use crate::sys::mount::mount_idmap;
use crate::sys::userns::{self, IdMap};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// A user namespace with these maps and without a process, for [`Detached::idmap`](super::Detached::idmap).
///
/// # Errors
/// EPERM if the caller may not map these ids.
pub fn user_namespace(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd> {
    userns::with_maps(uids, gids).map_err(|e| failed("create a user namespace for an idmapped mount", e))
}

/// The type of a file's file system: its name for fsopen(2), or its magic number; statfs(2).
fn type_name(fd: impl AsFd) -> String {
    let Ok(found) = nix::sys::statfs::fstatfs(fd) else { return "unknown".to_owned() };
    let magic = found.filesystem_type().0 as u32;
    let known = TYPES.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("type {magic:#x}"), |(_, name)| (*name).to_owned())
}

/// Magic numbers of <linux/magic.h>.
const TYPES: &[(u32, &str)] = &[
    (0x0000_9fa0, "proc"),
    (0x0102_1994, "tmpfs"),
    (0x0102_1997, "9p"),
    (0x1980_0202, "mqueue"),
    (0x2fc1_2fc1, "zfs"),
    (0x5346_4846, "wslfs"),
    (0x5346_544e, "ntfs"),
    (0x5846_5342, "xfs"),
    (0x6265_6572, "sysfs"),
    (0x6573_5546, "fuse"),
    (0x794c_7630, "overlay"),
    (0x8584_58f6, "ramfs"),
    (0x9123_683e, "btrfs"),
    (0xca45_1a4e, "bcachefs"),
    (0xe0f5_e1e2, "erofs"),
    (0xef53, "ext4"),
    (0xf2f5_2010, "f2fs"),
    (0xff53_4d42, "cifs"),
    (0x4d44, "vfat"),
    (0x6969, "nfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0x1cd1, "devpts"),
    (0x7371_7368, "squashfs"),
];

fn release() -> String {
    nix::sys::utsname::uname()
        .map_or_else(|_| "this kernel".into(), |u| format!("Linux {}", u.release().display()))
}

/// Maps the owners of a detached mount's files; see [`Detached::idmap`](super::Detached::idmap).
pub(super) fn map_owners(mount: impl AsFd, user_namespace: impl AsFd, recursive: bool) -> Result<()> {
    let mount = mount.as_fd();
    mount_idmap(mount, recursive, user_namespace).map_err(|e| {
        let error = failed("mount_setattr MOUNT_ATTR_IDMAP", e);
        let about = format!("file system {}, {}", type_name(mount), release());
        match e {
            Errno::EINVAL => error.with_detail(about).with_hint(
                "this file system (or, with ridmap, one mounted below it) does not support idmapped mounts on \
                 this kernel, or is idmapped already",
            ),
            Errno::EPERM => error.with_detail(about).with_hint(
                "idmapping requires CAP_SYS_ADMIN in the user namespace that the file system belongs to",
            ),
            _ => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::{Detached, MountOptions};

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
            // A detached mount can be copied since Linux 6.15.
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
