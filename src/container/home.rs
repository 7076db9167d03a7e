//! The home directory of a user, from the passwd file of a running container.
//!
//! The file is the container's, and the host side reads it. So it is opened only where the container cannot keep the
//! reader waiting: a file system in userspace (FUSE) that a process of the container serves answers when that process
//! likes, and a request to it cannot be given up. Of the root file system as `create` found it, what serves it is the
//! host's. What else is mounted on the file is looked at first, without a question to it.

use super::store::Record;
use crate::process::passwd;
use crate::sys;
use nix::errno::Errno;
use nix::sys::stat::SFlag;
use std::os::fd::{AsRawFd, OwnedFd};

/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV` of openat2(2).
const WITHIN: u64 = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_XDEV;
/// Never waits for a writer, and makes nothing the controlling terminal.
const READ: i32 = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// The home directory that the container's passwd file has for a user; none if there is no such file, or it may be
/// one that keeps its reader waiting.
pub(super) fn of(root: &OwnedFd, record: &Record, uid: u32) -> Option<String> {
    if record.device? != sys::fs::identity(root).ok()?.0 {
        return None; // The container has another root by now.
    }
    let file = match sys::fs::openat2(root, c"etc/passwd", READ, 0, WITHIN) {
        Err(Errno::EXDEV) => mounted(root, record.init.pid)?,
        other => other.ok()?,
    };
    let stat = nix::sys::stat::fstat(&file).ok()?;
    if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return None;
    }
    let text = sys::fs::read_all(&file, passwd::LIMIT).ok()?;
    passwd::home(&text, uid).map(str::to_owned)
}

/// A passwd file that is a mount of its own, as engines make them, unless a process may serve it.
fn mounted(root: &OwnedFd, pid: i32) -> Option<OwnedFd> {
    let directory = sys::fs::openat2(root, c"etc", libc::O_PATH | libc::O_DIRECTORY, 0, WITHIN).ok()?;
    let place = sys::fs::openat(directory, c"passwd", libc::O_PATH | libc::O_NOFOLLOW, 0).ok()?;
    let read = |path: String| sys::fs::read_at(sys::fs::cwd(), &sys::fs::cstring(path)?);
    let info = read(format!("/proc/self/fdinfo/{}", place.as_raw_fd())).ok()?;
    let mounts = read(format!("/proc/{pid}/mountinfo")).ok()?;
    let kind = kind(&String::from_utf8_lossy(&mounts), mount(&String::from_utf8_lossy(&info))?)?;
    if is_served(&kind) {
        return None;
    }
    sys::fs::openat(
        sys::fs::cwd(),
        &sys::fs::cstring(format!("/proc/self/fd/{}", place.as_raw_fd())).ok()?,
        READ,
        0,
    )
    .ok()
}

/// The number of the mount in which an open file lies, by its file in `/proc/PID/fdinfo`.
fn mount(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The file system's type of a mount, by `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
fn kind(mounts: &str, number: u64) -> Option<String> {
    let line =
        mounts.lines().find(|line| line.split(' ').next().and_then(|n| n.parse().ok()) == Some(number))?;
    let mut words = line.split(' ').skip_while(|word| *word != "-").skip(1);
    words.next().map(str::to_owned)
}

/// Whether a process may serve file systems of this type: `fuse`, `fuseblk` and their subtypes.
fn is_served(kind: &str) -> bool {
    kind.starts_with("fuse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_mount() {
        let mounts = "61 60 0:5 / /dev rw,nosuid shared:2 - tmpfs udev rw\n\
                      62 60 0:44 / /etc/passwd rw - fuse.bindfs x rw\n63 60 8:1 / / rw master:1 - ext4 /dev/x rw\n";
        assert_eq!(kind(mounts, 61).as_deref(), Some("tmpfs"));
        assert_eq!(kind(mounts, 62).as_deref(), Some("fuse.bindfs"));
        assert_eq!(kind(mounts, 63).as_deref(), Some("ext4"));
        assert_eq!(kind(mounts, 6), None);
        assert_eq!(mount("pos:\t0\nflags:\t012000000\nmnt_id:\t62\nino:\t1\n"), Some(62));
        assert_eq!(["fuse", "fuseblk", "fuse.x", "ext4"].map(is_served), [true, true, true, false]);
    }
}
