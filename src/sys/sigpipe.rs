//! Writes to a pipe that may have lost its reader: that is an error, and raises no SIGPIPE.

use super::signal_mask::{SIZE, change};
use super::syscall::call;
use nix::errno::Errno;
use std::os::fd::AsFd;

/// The bit of SIGPIPE in the kernel's set of signals.
const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);

/// Writes all bytes. The disposition of SIGPIPE belongs to the program and is not changed. Instead, the signal is blocked
/// for the calling thread, the only one that the kernel sends it to, and accepted if this write has raised it.
///
/// # Errors
/// `EPIPE` if the pipe has no reader.
pub(crate) fn write_all(fd: impl AsFd, data: &[u8]) -> Result<(), Errno> {
    let before = change(libc::SIG_BLOCK, SIGPIPE)?;
    // A signal that was pending before was not raised by this write.
    let written = pending().and_then(|had| {
        let written = super::fs::write_all(fd, data);
        if written == Err(Errno::EPIPE) && had & SIGPIPE == 0 {
            accept()?;
        }
        written
    });
    let restored = change(libc::SIG_SETMASK, before);
    written.and(restored.map(drop))
}

/// The signals that are pending for the calling thread or for the process.
fn pending() -> Result<u64, Errno> {
    let mut set = 0u64;
    // SAFETY: the set outlives the call.
    unsafe { call!(libc::SYS_rt_sigpending, &raw mut set, SIZE) }.map(|_| set)
}

/// Accepts a pending SIGPIPE without waiting for one.
fn accept() -> Result<(), Errno> {
    let (set, none) = (SIGPIPE, std::ptr::null::<libc::siginfo_t>());
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let (set, now) = (&raw const set, &raw const now);
    // SAFETY: set and time outlive the call; the information about the signal is not wanted.
    match super::syscall::retry(|| unsafe { call!(libc::SYS_rt_sigtimedwait, set, none, now, SIZE) }) {
        // Nothing is pending: the program ignores the signal.
        Ok(_) | Err(Errno::EAGAIN) => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
    use std::sync::atomic::{AtomicUsize, Ordering};

    static CAUGHT: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn count(_: i32) {
        CAUGHT.fetch_add(1, Ordering::SeqCst);
    }

    #[test]
    fn a_lost_reader_is_an_error_and_raises_no_signal() {
        let handler = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler writes to one atomic number.
        let old = unsafe { sigaction(Signal::SIGPIPE, &handler) }.unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        assert_eq!(write_all(&writer, b"x"), Ok(()));
        drop(reader);
        let mask = change(libc::SIG_BLOCK, 0).unwrap();
        for _ in 0..3 {
            assert_eq!(write_all(&writer, b"x"), Err(Errno::EPIPE));
            assert_eq!(pending().unwrap() & SIGPIPE, 0, "a signal is left pending");
        }
        assert_eq!((CAUGHT.load(Ordering::SeqCst), change(libc::SIG_BLOCK, 0)), (0, Ok(mask)));
        // A signal of the caller stays pending.
        let mine = change(libc::SIG_BLOCK, SIGPIPE).unwrap();
        assert_eq!(super::super::fs::write_all(&writer, b"x"), Err(Errno::EPIPE));
        assert_eq!(write_all(&writer, b"x"), Err(Errno::EPIPE));
        assert_ne!(pending().unwrap() & SIGPIPE, 0, "the caller's signal is gone");
        change(libc::SIG_SETMASK, mine).unwrap();
        assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
        // SAFETY: as it was before.
        unsafe { sigaction(Signal::SIGPIPE, &old) }.unwrap();
    }
}
