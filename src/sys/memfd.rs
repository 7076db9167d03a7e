//! Memory as files: memfd_create(2) and seals.

use super::{call, owned};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// All seals: the content can never change again, nor the seals.
pub const SEAL_ALL: i32 = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// memfd_create(2) with `MFD_CLOEXEC`.
pub fn memfd_create(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    call!(libc::SYS_memfd_create, name.as_ptr(), flags | libc::MFD_CLOEXEC).map(owned)
}

/// Adds seals to a memfd.
pub fn seal(fd: impl AsFd, seals: i32) -> Result<(), Errno> {
    call!(libc::SYS_fcntl, fd.as_fd().as_raw_fd(), libc::F_ADD_SEALS, seals).map(drop)
}
