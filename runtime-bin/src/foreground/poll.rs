//! Helpers for calls that signals interrupt, and for poll(2).

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::BorrowedFd;

/// Repeats a call as long as a signal interrupts it.
pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Whether a read or a write would not block. For a pidfd: whether the process has exited.
pub(super) fn is_ready(fd: BorrowedFd<'_>, events: PollFlags) -> Result<bool, Errno> {
    let mut set = [PollFd::new(fd, events)];
    retry(|| poll(&mut set, PollTimeout::ZERO)).map(|ready| ready > 0)
}
