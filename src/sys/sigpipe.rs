//! Writing to a pipe of the caller's that nothing may read any more: an error, and no SIGPIPE.

use super::call;
use nix::errno::Errno;
use std::os::fd::AsFd;

/// The bit of SIGPIPE in the kernel's set of signals.
const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);
/// The size of that set in bytes.
const SIZE: usize = size_of::<u64>();

/// Writes all bytes. What becomes of SIGPIPE is the program's to say, so its disposition stays as it is: the signal is
/// blocked for the calling thread, to which alone the kernel sends it, and taken if this write has raised it.
///
/// # Errors
/// `EPIPE` if nothing can read it.
pub(crate) fn write_all(fd: impl AsFd, data: &[u8]) -> Result<(), Errno> {
    let before = change(libc::SIG_BLOCK, SIGPIPE)?;
    // One that the thread had before is not this write's.
    let written = pending().and_then(|had| {
        let written = super::fs::write_all(fd, data);
        if written == Err(Errno::EPIPE) && had & SIGPIPE == 0 {
            take()?;
        }
        written
    });
    let restored = change(libc::SIG_SETMASK, before);
    written.and(restored.map(drop))
}

/// Changes the calling thread's set of blocked signals; the one before.
fn change(how: i32, set: u64) -> Result<u64, Errno> {
    let mut before = 0u64;
    // SAFETY: both sets are there until the call has returned.
    unsafe { call!(libc::SYS_rt_sigprocmask, how, &raw const set, &raw mut before, SIZE) }.map(|_| before)
}

/// The signals that wait for the calling thread, or for the process.
fn pending() -> Result<u64, Errno> {
    let mut set = 0u64;
    // SAFETY: the set is there until the call has returned.
    unsafe { call!(libc::SYS_rt_sigpending, &raw mut set, SIZE) }.map(|_| set)
}

/// Takes a pending SIGPIPE without waiting for one.
fn take() -> Result<(), Errno> {
    let (set, none) = (SIGPIPE, std::ptr::null::<libc::siginfo_t>());
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let (set, now) = (&raw const set, &raw const now);
    // SAFETY: set and time are there until the call has returned; nothing of the signal is asked for.
    match super::retry(|| unsafe { call!(libc::SYS_rt_sigtimedwait, set, none, now, SIZE) }) {
        // None came: the program ignores it.
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
    fn a_reader_that_has_gone_is_an_error_and_no_signal() {
        let handler = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler touches one atomic number.
        let old = unsafe { sigaction(Signal::SIGPIPE, &handler) }.unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        assert_eq!(write_all(&writer, b"x"), Ok(()));
        drop(reader);
        let mask = change(libc::SIG_BLOCK, 0).unwrap();
        for _ in 0..3 {
            assert_eq!(write_all(&writer, b"x"), Err(Errno::EPIPE));
            assert_eq!(pending().unwrap() & SIGPIPE, 0, "it is left to the thread");
        }
        assert_eq!((CAUGHT.load(Ordering::SeqCst), change(libc::SIG_BLOCK, 0)), (0, Ok(mask)));
        // The caller's own stays.
        let mine = change(libc::SIG_BLOCK, SIGPIPE).unwrap();
        assert_eq!(super::super::fs::write_all(&writer, b"x"), Err(Errno::EPIPE));
        assert_eq!(write_all(&writer, b"x"), Err(Errno::EPIPE));
        assert_ne!(pending().unwrap() & SIGPIPE, 0, "the caller's signal was taken");
        change(libc::SIG_SETMASK, mine).unwrap();
        assert_eq!(CAUGHT.load(Ordering::SeqCst), 1);
        // SAFETY: as it was before.
        unsafe { sigaction(Signal::SIGPIPE, &old) }.unwrap();
    }
}
