//! Standard output, written without blocking the main thread.
//!
//! The reader may have stopped, and poll(2) does not say how much a terminal accepts before a write blocks. Nor may the
//! file description be made non-blocking, because the caller shares it. So a thread writes from a pipe: only that thread
//! blocks, and it exits with the program.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::tcdrain;
use nix::unistd::{pipe2, read, write};
use std::io::Stdout;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// A pipe to the thread that writes standard output. Its write end never blocks.
pub(super) struct StdoutWriter {
    /// The write end, until everything is in the pipe.
    pipe: Option<OwnedFd>,
    /// Hangs up once everything is written.
    done: OwnedFd,
    /// The errno of the first write that failed; zero if none has.
    failure: Arc<AtomicI32>,
}

impl StdoutWriter {
    /// Starts the thread, which inherits the caller's signal mask.
    pub(super) fn open(stdout: Stdout) -> Result<Self, Errno> {
        let (from, pipe) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let (done, end) = pipe2(OFlag::O_CLOEXEC)?;
        let failure = Arc::new(AtomicI32::new(0));
        let failed = Arc::clone(&failure);
        let write = move || {
            if let Err(e) = copy(from.as_fd(), stdout.as_fd()) {
                failed.store(e as i32, Ordering::Release);
            }
            drop(end);
        };
        let started = std::thread::Builder::new().name("orlop-stdout".to_owned()).spawn(write);
        started.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(nix::libc::EAGAIN)))?;
        Ok(Self { pipe: Some(pipe), done, failure })
    }

    /// Marks the end of the output.
    pub(super) fn close(&mut self) {
        self.pipe = None;
    }

    /// Why output was lost. It does not count if the reader of the pipe, or the terminal, has gone.
    pub(super) fn failure(&self) -> Option<Errno> {
        match Errno::from_raw(self.failure.load(Ordering::Acquire)) {
            Errno::UnknownErrno | Errno::EPIPE | Errno::EIO => None,
            other => Some(other),
        }
    }

    /// What to wait for after the process has exited: room in the pipe, then the end of the thread. `None` once it is done.
    pub(super) fn event(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.pipe {
            Some(pipe) => Some((pipe.as_fd(), PollFlags::POLLOUT)),
            None if has_hung_up(self.done.as_fd()) => None,
            None => Some((self.done.as_fd(), PollFlags::POLLIN)),
        }
    }
}

impl AsFd for StdoutWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_ref().unwrap_or(&self.done).as_fd()
    }
}

fn has_hung_up(done: BorrowedFd<'_>) -> bool {
    matches!(poll(&mut [PollFd::new(done, PollFlags::POLLIN)], PollTimeout::ZERO), Ok(1..))
}

/// Copies until the end of the pipe. After a failed write the rest is read and discarded, so that the pipe never fills up.
///
/// # Errors
/// The error of the first failed write.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let (mut buffer, mut written) = ([0; 16 << 10], Ok(()));
    loop {
        let n = match read(from, &mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(Errno::EINTR) => continue,
            Err(_) => break,
        };
        written = written.and_then(|()| write_all(to, &buffer[..n]));
    }
    // The terminal's modes are restored afterwards.
    let _ = tcdrain(to);
    written
}

fn write_all(to: BorrowedFd<'_>, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match write(to, data) {
            Ok(n) => data = &data[n..],
            Err(Errno::EINTR) => {}
            // Another process may have made it non-blocking.
            Err(Errno::EAGAIN) => drop(poll(&mut [PollFd::new(to, PollFlags::POLLOUT)], PollTimeout::NONE)?),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_output_is_copied_completely() {
        let ((from, into), (mut out, to)) = (pipe2(OFlag::O_CLOEXEC).unwrap(), std::io::pipe().unwrap());
        let text: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                write_all(into.as_fd(), &text).unwrap();
                drop(into);
            });
            scope.spawn(|| {
                copy(from.as_fd(), to.as_fd()).unwrap();
                drop(to);
            });
            let mut all = Vec::new();
            out.read_to_end(&mut all).unwrap();
            assert!(all == text, "{} bytes", all.len());
        });
    }

    #[test]
    fn output_without_a_reader_is_discarded() {
        let ((from, into), (out, to)) = (pipe2(OFlag::O_CLOEXEC).unwrap(), pipe2(OFlag::O_CLOEXEC).unwrap());
        drop(out);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                write_all(into.as_fd(), &vec![0; 300_000]).unwrap();
                drop(into);
            });
            assert_eq!(copy(from.as_fd(), to.as_fd()), Err(Errno::EPIPE));
        });
    }
}
