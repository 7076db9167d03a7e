//! Thin typed system calls, and the only `unsafe` of the library.
//!
//! Every function is one system call with typed arguments (descriptors as [`BorrowedFd`](std::os::fd::BorrowedFd), paths as
//! [`CStr`](std::ffi::CStr)) and an [`Errno`] for an answer. Nothing here allocates where it can be
//! helped, retries (but on `EINTR` where the name says so), or knows what a container is.
//!
//! # Safety
//! The module is private to the crate: a system call can do anything, so none that is not needed can be named from
//! outside, and those which are needed take arguments that cannot break memory or I/O safety. Numbers and structures
//! follow the kernel's headers (`linux/mount.h`, `linux/sched.h`, …).
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod channel;
pub(crate) mod fs;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod process;
mod raw;
pub(crate) mod seccomp;
mod signal_mask;
pub(crate) mod sigpipe;
pub(crate) mod spawn;
pub(crate) mod unix;
pub(crate) mod userns;

use nix::errno::Errno;

/// One raw system call: the non-negative answer, or the errno. It is for `unsafe` blocks: what is a number here may be
/// an address, or somebody's descriptor, to the kernel.
macro_rules! call {
    ($nr:expr $(, $arg:expr)* $(,)?) => {{
        let answer = libc::syscall($nr $(, $arg)*);
        if answer < 0 { Err(nix::errno::Errno::last()) } else { Ok(answer) }
    }};
}
use call;

/// A raw system call whose answer is a new descriptor.
macro_rules! open {
    ($($arg:expr),+ $(,)?) => {
        $crate::sys::call!($($arg),+).map(|fd| std::os::fd::OwnedFd::from_raw_fd(fd as i32))
    };
}
use open;

/// Repeats `f` while a signal interrupts it.
pub(crate) fn retry<T>(mut f: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match f() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
