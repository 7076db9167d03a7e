//! Thin typed system calls, and the only `unsafe` of the library.
//!
//! Every function is one system call with typed arguments (descriptors as [`BorrowedFd`](std::os::fd::BorrowedFd), paths as
//! [`CStr`](std::ffi::CStr)) and an [`Errno`] for an answer. Nothing here allocates where it can be
//! helped, retries (but on `EINTR` where the name says so), or knows what a container is.
//!
//! # Safety
//! Numbers and structures follow the kernel's headers (`linux/mount.h`, `linux/sched.h`, …); a
//! pointer handed to the kernel is derived from a reference that outlives the call.
#![allow(unsafe_code)]

pub mod bpf;
pub mod channel;
mod entry;
pub mod fs;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod process;
pub mod raw;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod stdio;
pub mod terminal;
pub mod unix;
pub mod userns;

use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// One raw system call: the non-negative answer, or the errno.
macro_rules! call {
    ($nr:expr $(, $arg:expr)* $(,)?) => {{
        // SAFETY: the arguments are those which the call's manual page asks for; pointers among
        // them come from references that live until the call has returned.
        let r = unsafe { libc::syscall($nr $(, $arg)*) };
        if r < 0 { Err(nix::errno::Errno::last()) } else { Ok(r) }
    }};
}
pub(crate) use call;

/// Takes ownership of a descriptor that a system call has just made.
pub(crate) fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: `fd` is the kernel's answer to a call that creates a descriptor: it is open and
    // nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Repeats `f` while a signal interrupts it.
pub fn retry<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match f() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
