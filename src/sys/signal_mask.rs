//! The signal mask of the calling thread, without the C library, which keeps some signals for itself; rt_sigprocmask(2).

use super::syscall::call;
use nix::errno::Errno;

/// The size of the kernel's set of signals in bytes.
pub(super) const SIZE: usize = size_of::<u64>();

/// Changes the mask (`SIG_BLOCK`, `SIG_UNBLOCK`, `SIG_SETMASK`); the mask before.
pub(super) fn change(how: i32, set: u64) -> Result<u64, Errno> {
    let mut before = 0u64;
    // SAFETY: both sets outlive the call.
    unsafe { call!(libc::SYS_rt_sigprocmask, how, &raw const set, &raw mut before, SIZE) }.map(|_| before)
}

/// All signals of the calling thread are blocked until this is dropped.
pub(super) struct AllSignalsBlocked {
    before: u64,
}

impl AllSignalsBlocked {
    /// Blocks them.
    ///
    /// # Errors
    /// If they cannot be blocked, a handler of the caller could run in a child that shares the caller's memory.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self { before: change(libc::SIG_SETMASK, !0)? })
    }
}

impl Drop for AllSignalsBlocked {
    fn drop(&mut self) {
        // The call succeeded before, and restoring the mask cannot fail in another way.
        let _ = change(libc::SIG_SETMASK, self.before);
    }
}
