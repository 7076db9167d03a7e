//! What the holder of a container's lock declares about itself.

use nix::fcntl::{FcntlArg, fcntl};
use std::os::fd::AsFd;

/// Which process holds the lock, and whether it may be killed to end the operation.
///
/// The holder declares this by an open file description lock (`F_OFD_SETLK`) on one byte of the directory, whose offset
/// encodes the fields. It takes one system call and no file, it is released together with the flock(2), and it is as hard
/// to forge as the flock itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockClaim {
    /// The holder's pid in its own pid namespace.
    pub(super) pid: i32,
    /// The operation removes the container.
    pub(super) removes: bool,
    /// The holder performs one operation at a time and does nothing else.
    pub(super) dedicated: bool,
}

impl LockClaim {
    /// The claim of the lock's holder, if any.
    pub(super) fn read(directory: impl AsFd) -> Option<Self> {
        let mut all = byte_range(libc::F_WRLCK, 0, 0);
        fcntl(directory, FcntlArg::F_OFD_GETLK(&mut all)).ok()?;
        if i32::from(all.l_type) == libc::F_UNLCK {
            return None;
        }
        let pid = i32::try_from(all.l_start >> 2).ok()?;
        Some(Self { pid, removes: all.l_start & 2 != 0, dedicated: all.l_start & 1 != 0 })
    }

    fn offset(self) -> libc::off_t {
        libc::off_t::from(self.pid) << 2
            | libc::off_t::from(self.removes) << 1
            | libc::off_t::from(self.dedicated)
    }

    /// On a file system without such locks the holder stays unknown, and other operations wait for it.
    pub(super) fn set(self, directory: impl AsFd) {
        let _ = fcntl(directory, FcntlArg::F_OFD_SETLK(&byte_range(libc::F_RDLCK, self.offset(), 1)));
    }

    pub(super) fn unset(self, directory: impl AsFd) {
        let _ = fcntl(directory, FcntlArg::F_OFD_SETLK(&byte_range(libc::F_UNLCK, self.offset(), 1)));
    }
}

/// A lock on a range of bytes; a length of 0 means up to the end of the file.
fn byte_range(lock_type: i32, start: libc::off_t, length: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: lock_type as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}
