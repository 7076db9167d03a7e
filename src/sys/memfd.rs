//! Files in memory: memfd_create(2) and seals.

use super::syscall::{call, open};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// With these seals, neither the content nor the seals can change any more.
pub(crate) const SEAL_ALL: i32 =
    libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

/// memfd_create(2) with `MFD_CLOEXEC`.
pub(crate) fn memfd_create(name: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: the name outlives the call, which returns a new descriptor.
    unsafe { open!(libc::SYS_memfd_create, name.as_ptr(), flags | libc::MFD_CLOEXEC) }
}

/// A memfd that cannot be executed (`MFD_NOEXEC_SEAL`, Linux 6.3) and can be sealed. With `vm.memfd_noexec=2`, some kernels
/// refuse a memfd without that flag.
pub(crate) fn data(name: &CStr) -> Result<OwnedFd, Errno> {
    const MFD_NOEXEC_SEAL: u32 = 8;
    match memfd_create(name, MFD_NOEXEC_SEAL) {
        Err(Errno::EINVAL) => memfd_create(name, libc::MFD_ALLOW_SEALING),
        made => made,
    }
}

/// Adds seals to a memfd.
pub(crate) fn seal(fd: impl AsFd, seals: i32) -> Result<(), Errno> {
    let fd = fd.as_fd();
    // SAFETY: no argument is an address.
    unsafe { call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }.map(drop)
}
