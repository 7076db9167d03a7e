//! Processes by pidfd.

use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// pidfd_send_signal(2).
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    let null = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the address is null: the kernel fills in the signal's information.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) };
    Errno::result(result).map(drop)
}
