//! The home directory of a user, from the container's `/etc/passwd`.
//!
//! In a running container the file belongs to the container, but the host side reads it. So it is opened only if the
//! container cannot block the reader: a process of the container that serves a file system in userspace (FUSE) answers
//! a request when it likes, and the request cannot be cancelled. The root file system that `create` has seen is served by
//! the host. If something else is mounted on the file, the type of that file system is checked first, without any
//! request to it.

use super::rootfs;
use super::store::StateRecord;
use crate::bundle::Bundle;
use crate::mount::in_root;
use crate::process::{env, passwd};
use crate::sys;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::os::fd::{AsRawFd, OwnedFd};

/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV` of openat2(2).
const WITHIN_ROOT_FS: u64 = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_XDEV;
/// Opening never waits for a writer, and never acquires a controlling terminal.
const READ: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// The home directory of a new container's user, if the environment does not set it.
pub(super) fn in_bundle(bundle: &Bundle) -> Option<String> {
    let process = bundle.spec.process.as_ref().filter(|process| env::needs_home(&process.env))?;
    let text = in_root::read(rootfs::open(&bundle.rootfs)?, "etc/passwd", passwd::LIMIT).ok()?;
    passwd::home(&text, process.user.uid).map(str::to_owned)
}

/// The home directory of a user in a running container; `None` if the file does not exist, or could block the reader.
pub(super) fn in_container(root: &OwnedFd, record: &StateRecord, uid: u32) -> Option<String> {
    if record.device? != sys::fs::identity(root).ok()?.0 {
        return None; // The container has changed its root.
    }
    let file = match sys::fs::openat2(root, c"etc/passwd", READ, 0, WITHIN_ROOT_FS) {
        Err(Errno::EXDEV) => open_mounted_passwd(root, record.init.pid)?,
        other => other.ok()?,
    };
    let stat = nix::sys::stat::fstat(&file).ok()?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return None;
    }
    let text = sys::fs::read_all(&file, passwd::LIMIT).ok()?;
    passwd::home(&text, uid).map(str::to_owned)
}

/// Opens a passwd file that is a mount of its own, as container engines create it, unless a process may serve it.
fn open_mounted_passwd(root: &OwnedFd, pid: i32) -> Option<OwnedFd> {
    let directory =
        sys::fs::openat2(root, c"etc", libc::O_PATH | libc::O_DIRECTORY, 0, WITHIN_ROOT_FS).ok()?;
    let file = sys::fs::openat(directory, c"passwd", libc::O_PATH | libc::O_NOFOLLOW, 0).ok()?;
    let read = |path: String| sys::fs::read_at(sys::fs::cwd(), &sys::fs::cstring(path)?);
    let info = read(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    let mounts = read(format!("/proc/{pid}/mountinfo")).ok()?;
    let mount = mount_id(&String::from_utf8_lossy(&info))?;
    let fs_type = file_system_type(&String::from_utf8_lossy(&mounts), mount)?;
    if is_fuse(&fs_type) {
        return None;
    }
    sys::fs::openat(
        sys::fs::cwd(),
        &sys::fs::cstring(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?,
        READ,
        0,
    )
    .ok()
}

/// The id of the mount that an open file is on, from its file in `/proc/PID/fdinfo`.
fn mount_id(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The file system type of a mount, from `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
fn file_system_type(mountinfo: &str, id: u64) -> Option<String> {
    let line =
        mountinfo.lines().find(|line| line.split(' ').next().and_then(|n| n.parse().ok()) == Some(id))?;
    let mut words = line.split(' ').skip_while(|word| *word != "-").skip(1);
    words.next().map(str::to_owned)
}

/// Whether a process may serve file systems of this type: `fuse`, `fuseblk` and their subtypes.
fn is_fuse(fs_type: &str) -> bool {
    fs_type.starts_with("fuse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_ids_and_file_system_types_are_parsed() {
        let mounts = "61 60 0:5 / /dev rw,nosuid shared:2 - tmpfs udev rw\n\
                      62 60 0:44 / /etc/passwd rw - fuse.bindfs x rw\n63 60 8:1 / / rw master:1 - ext4 /dev/x rw\n";
        assert_eq!(file_system_type(mounts, 61).as_deref(), Some("tmpfs"));
        assert_eq!(file_system_type(mounts, 62).as_deref(), Some("fuse.bindfs"));
        assert_eq!(file_system_type(mounts, 63).as_deref(), Some("ext4"));
        assert_eq!(file_system_type(mounts, 6), None);
        assert_eq!(mount_id("pos:\t0\nflags:\t012000000\nmnt_id:\t62\nino:\t1\n"), Some(62));
        assert_eq!(["fuse", "fuseblk", "fuse.x", "ext4"].map(is_fuse), [true, true, true, false]);
    }
}
