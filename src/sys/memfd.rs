//! Memory as files: memfd_create(2), seals, shared mappings.

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

/// A shared, writable mapping of a file from its beginning, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    address: *mut u8,
    length: usize,
}

// SAFETY: the mapping is plain memory; who shares it uses atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of `fd`, which must be at least that long.
    pub fn new(fd: impl AsFd, length: usize) -> Result<Self, Errno> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_fd().as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Self { address: address.cast(), length })
    }

    /// The 32-bit word at byte `offset` (a multiple of 4 inside the mapping), shared with others.
    pub fn word(&self, offset: usize) -> Option<&std::sync::atomic::AtomicU32> {
        if !offset.is_multiple_of(4) || offset + 4 > self.length {
            return None;
        }
        // SAFETY: in bounds, aligned (a mapping begins at a page), and atomics may be shared.
        Some(unsafe { std::sync::atomic::AtomicU32::from_ptr(self.address.add(offset).cast()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.address.cast(), self.length) };
    }
}
