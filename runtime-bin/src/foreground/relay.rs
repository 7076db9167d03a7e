//! One direction of a terminal: a buffer between two descriptors, which never blocks on either.

use super::poll::is_ready;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::{read, write};
use std::os::fd::BorrowedFd;

/// As much as a pipe accepts without blocking if poll(2) reports it as writable.
const SIZE: usize = 4096;

/// Bytes on their way from one descriptor to another.
pub(super) struct Relay {
    /// On the heap: on the stack it would cost pages in commands without a terminal too.
    buffer: Box<[u8]>,
    /// The bytes in `start..end` have been read and are still to be written.
    start: usize,
    end: usize,
    /// Everything has been read.
    at_eof: bool,
    /// The reader has gone: the rest is read and discarded, so that the writer does not hang.
    discard: bool,
    /// Why bytes were lost, unless the reader has gone.
    failure: Option<Errno>,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; SIZE].into_boxed_slice(),
            start: 0,
            end: 0,
            at_eof: false,
            discard: false,
            failure: None,
        }
    }

    /// The first reason why bytes were lost.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.failure
    }

    /// What to wait for: bytes to read, or room to write what has been read.
    pub(super) fn event<'a>(
        &self,
        from: BorrowedFd<'a>,
        to: BorrowedFd<'a>,
    ) -> Option<(BorrowedFd<'a>, PollFlags)> {
        match (self.start < self.end, self.at_eof) {
            (true, _) => Some((to, PollFlags::POLLOUT)),
            (false, false) => Some((from, PollFlags::POLLIN)),
            (false, true) => None,
        }
    }

    /// Reads once and writes once, if that does not block.
    pub(super) fn step(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
        // If poll fails, the caller, which waits for both descriptors, calls again.
        if self.start == self.end && !self.at_eof && is_ready(from, PollFlags::POLLIN) == Ok(true) {
            self.read_once(from);
        }
        if self.start < self.end && is_ready(to, PollFlags::POLLOUT) == Ok(true) {
            self.write_once(to);
        }
    }

    /// Moves everything that can be read now, without blocking. Returns whether nothing is left.
    pub(super) fn drain(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
        self.move_all(from, to).unwrap_or_else(|e| {
            self.failure.get_or_insert(e);
            true
        })
    }

    fn move_all(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<bool, Errno> {
        loop {
            while self.start < self.end {
                if !is_ready(to, PollFlags::POLLOUT)? {
                    return Ok(false);
                }
                self.write_once(to);
            }
            if self.at_eof || !is_ready(from, PollFlags::POLLIN)? || !self.read_once(from) {
                return Ok(true);
            }
        }
    }

    /// Reads once. Returns `false` if there was nothing to read.
    fn read_once(&mut self, from: BorrowedFd<'_>) -> bool {
        match read(from, &mut self.buffer) {
            Ok(n) => {
                (self.start, self.end) = (0, n);
                self.at_eof = n == 0;
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return false,
            // EIO: the last process has closed the terminal. The others: standard input cannot be read.
            Err(Errno::EIO | Errno::EISDIR | Errno::EBADF | Errno::EINVAL) => self.at_eof = true,
            Err(e) => {
                self.at_eof = true;
                self.failure.get_or_insert(e);
            }
        }
        true
    }

    /// Writes once.
    fn write_once(&mut self, to: BorrowedFd<'_>) {
        if self.discard {
            self.start = self.end;
            return;
        }
        match write(to, &self.buffer[self.start..self.end]) {
            Ok(n) => self.start += n,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(e) => {
                self.discard = true;
                self.start = self.end;
                // No failure: the reader of the pipe, or the terminal, has gone.
                if !matches!(e, Errno::EPIPE | Errno::EIO) {
                    self.failure.get_or_insert(e);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::poll::{PollFd, poll};
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, OwnedFd};

    /// Close-on-exec, because other tests start programs meanwhile.
    fn pipe() -> (OwnedFd, OwnedFd) {
        nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
    }

    /// Waits until the other end of a pipe is closed: a program of another test has it until it calls execve.
    fn wait_for_last_close(end: BorrowedFd<'_>, event: PollFlags) {
        let mut set = [PollFd::new(end, PollFlags::empty())];
        assert_eq!(poll(&mut set, 10_000_u16), Ok(1), "the other end is still open");
        assert_eq!(set[0].revents(), Some(event));
    }

    #[test]
    fn bytes_are_relayed_until_the_end() {
        let (from, into_from) = pipe();
        let (out_of_to, to) = pipe();
        let mut relay = Relay::new();
        assert_eq!(relay.event(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLIN));
        relay.step(from.as_fd(), to.as_fd());
        let mut writer = File::from(into_from);
        writer.write_all(b"hello").unwrap();
        relay.step(from.as_fd(), to.as_fd());
        let mut text = [0; 5];
        File::from(out_of_to).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        drop(writer);
        wait_for_last_close(from.as_fd(), PollFlags::POLLHUP);
        relay.step(from.as_fd(), to.as_fd());
        assert!(relay.event(from.as_fd(), to.as_fd()).is_none());
    }

    #[test]
    fn a_failed_write_is_reported() {
        let (from, into_from) = pipe();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut relay = Relay::new();
        let mut writer = File::from(into_from);
        writer.write_all(b"lost").unwrap();
        relay.step(from.as_fd(), full.as_fd());
        assert_eq!(relay.failure(), Some(Errno::ENOSPC));
        // Later bytes are still read.
        writer.write_all(b"more").unwrap();
        drop(writer);
        relay.drain(from.as_fd(), full.as_fd());
        assert!(relay.event(from.as_fd(), full.as_fd()).is_none());
        assert_eq!(relay.failure(), Some(Errno::ENOSPC));
    }

    #[test]
    fn a_full_pipe_is_polled_and_a_closed_one_discards() {
        let (from, into_from) = pipe();
        let (out_of_to, to) = pipe();
        let size = nix::fcntl::fcntl(&to, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap() as usize;
        File::from(to.try_clone().unwrap()).write_all(&vec![b'x'; size]).unwrap();
        let mut relay = Relay::new();
        let mut writer = File::from(into_from);
        writer.write_all(b"more").unwrap();
        relay.step(from.as_fd(), to.as_fd());
        assert_eq!(relay.event(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLOUT));
        assert!(!relay.drain(from.as_fd(), to.as_fd()), "it does not block");
        drop(out_of_to);
        wait_for_last_close(to.as_fd(), PollFlags::POLLERR);
        // Rust's test harness ignores SIGPIPE; `run` blocks it.
        relay.step(from.as_fd(), to.as_fd());
        assert_eq!(relay.event(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLIN));
        assert_eq!(relay.failure(), None, "a reader that has gone is no failure");
        writer.write_all(&vec![b'y'; 3 * SIZE]).unwrap();
        drop(writer);
        wait_for_last_close(from.as_fd(), PollFlags::POLLHUP);
        assert!(relay.drain(from.as_fd(), to.as_fd()));
        assert!(relay.event(from.as_fd(), to.as_fd()).is_none());
    }
}
