//! One direction of a terminal: a buffer between two descriptors, never waiting for either.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};
use std::os::fd::BorrowedFd;

/// As much as a pipe takes without waiting once poll(2) says that it is writable.
const SIZE: usize = 4096;

/// Bytes on their way from one descriptor to another.
pub(super) struct Relay {
    /// Not on the stack: most commands have no terminal to relay, and would touch its pages.
    buffer: Box<[u8]>,
    /// The bytes in `start..end` are read and not yet written.
    start: usize,
    end: usize,
    /// Nothing more will come.
    ended: bool,
    /// Nothing takes it any more: it is read and dropped, so that the writer does not hang.
    deaf: bool,
    /// Why something of it was lost that would have been taken.
    failure: Option<Errno>,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; SIZE].into_boxed_slice(),
            start: 0,
            end: 0,
            ended: false,
            deaf: false,
            failure: None,
        }
    }

    /// Why something was lost; the first reason.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.failure
    }

    /// What to wait for: something to read, or room to write what has been read.
    pub(super) fn wanted<'a>(
        &self,
        from: BorrowedFd<'a>,
        to: BorrowedFd<'a>,
    ) -> Option<(BorrowedFd<'a>, PollFlags)> {
        match (self.start < self.end, self.ended) {
            (true, _) => Some((to, PollFlags::POLLOUT)),
            (false, false) => Some((from, PollFlags::POLLIN)),
            (false, true) => None,
        }
    }

    /// Does what can be done without waiting.
    pub(super) fn step(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
        // A poll that fails is tried again: the caller waits for both descriptors.
        if self.start == self.end && !self.ended && is_ready(from, PollFlags::POLLIN) == Ok(true) {
            self.fill(from);
        }
        if self.start < self.end && is_ready(to, PollFlags::POLLOUT) == Ok(true) {
            self.empty(to);
        }
    }

    /// Moves everything that can be read now, without blocking; `true` once nothing is left.
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
                self.empty(to);
            }
            if self.ended || !is_ready(from, PollFlags::POLLIN)? || !self.fill(from) {
                return Ok(true);
            }
        }
    }

    /// Reads once; `false` where there was nothing.
    fn fill(&mut self, from: BorrowedFd<'_>) -> bool {
        match read(from, &mut self.buffer) {
            Ok(n) => {
                (self.start, self.end) = (0, n);
                self.ended = n == 0;
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return false,
            // From a terminal's master: the last process has closed the other side. The others are of a standard
            // input that cannot be read.
            Err(Errno::EIO | Errno::EISDIR | Errno::EBADF | Errno::EINVAL) => self.ended = true,
            Err(e) => {
                self.ended = true;
                self.failure.get_or_insert(e);
            }
        }
        true
    }

    /// Writes once.
    fn empty(&mut self, to: BorrowedFd<'_>) {
        if self.deaf {
            self.start = self.end;
            return;
        }
        match write(to, &self.buffer[self.start..self.end]) {
            Ok(n) => self.start += n,
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(e) => {
                self.deaf = true;
                self.start = self.end;
                // The reader of a pipe is gone, or the terminal: it wants no more.
                if !matches!(e, Errno::EPIPE | Errno::EIO) {
                    self.failure.get_or_insert(e);
                }
            }
        }
    }
}

/// Whether something can be read or written without waiting (of a pidfd: the process has ended).
pub(super) fn is_ready(fd: BorrowedFd<'_>, events: PollFlags) -> Result<bool, Errno> {
    let mut set = [PollFd::new(fd, events)];
    super::again(|| poll(&mut set, PollTimeout::ZERO)).map(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, OwnedFd};

    /// Closed in the programs which the tests beside this one start.
    fn pipe() -> (OwnedFd, OwnedFd) {
        nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
    }

    /// Until the other end of a pipe is closed: between fork and exec such a program still has it.
    fn wait_for_the_last(end: BorrowedFd<'_>, event: PollFlags) {
        let mut set = [PollFd::new(end, PollFlags::empty())];
        assert_eq!(poll(&mut set, 10_000_u16), Ok(1), "somebody still has it");
        assert_eq!(set[0].revents(), Some(event));
    }

    #[test]
    fn bytes_pass_and_the_end_is_seen() {
        let (from, into_from) = pipe();
        let (out_of_to, to) = pipe();
        let mut relay = Relay::new();
        assert_eq!(relay.wanted(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLIN));
        relay.step(from.as_fd(), to.as_fd());
        let mut writer = File::from(into_from);
        writer.write_all(b"hello").unwrap();
        relay.step(from.as_fd(), to.as_fd());
        let mut text = [0; 5];
        File::from(out_of_to).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        drop(writer);
        wait_for_the_last(from.as_fd(), PollFlags::POLLHUP);
        relay.step(from.as_fd(), to.as_fd());
        assert!(relay.wanted(from.as_fd(), to.as_fd()).is_none());
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let (from, into_from) = pipe();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut relay = Relay::new();
        let mut writer = File::from(into_from);
        writer.write_all(b"lost").unwrap();
        relay.step(from.as_fd(), full.as_fd());
        assert_eq!(relay.failure(), Some(Errno::ENOSPC));
        // What comes then is read still.
        writer.write_all(b"more").unwrap();
        drop(writer);
        relay.drain(from.as_fd(), full.as_fd());
        assert!(relay.wanted(from.as_fd(), full.as_fd()).is_none());
        assert_eq!(relay.failure(), Some(Errno::ENOSPC));
    }

    #[test]
    fn a_full_pipe_is_waited_for_and_a_closed_one_swallows() {
        let (from, into_from) = pipe();
        let (out_of_to, to) = pipe();
        let size = nix::fcntl::fcntl(&to, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap() as usize;
        File::from(to.try_clone().unwrap()).write_all(&vec![b'x'; size]).unwrap();
        let mut relay = Relay::new();
        let mut writer = File::from(into_from);
        writer.write_all(b"more").unwrap();
        relay.step(from.as_fd(), to.as_fd());
        assert_eq!(relay.wanted(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLOUT));
        assert!(!relay.drain(from.as_fd(), to.as_fd()), "and not waited for");
        drop(out_of_to);
        wait_for_the_last(to.as_fd(), PollFlags::POLLERR);
        // Rust's test harness ignores SIGPIPE, as `run` does by holding it back.
        relay.step(from.as_fd(), to.as_fd());
        assert_eq!(relay.wanted(from.as_fd(), to.as_fd()).map(|w| w.1), Some(PollFlags::POLLIN));
        assert_eq!(relay.failure(), None, "a reader that is gone wants no more");
        writer.write_all(&vec![b'y'; 3 * SIZE]).unwrap();
        drop(writer);
        wait_for_the_last(from.as_fd(), PollFlags::POLLHUP);
        assert!(relay.drain(from.as_fd(), to.as_fd()));
        assert!(relay.wanted(from.as_fd(), to.as_fd()).is_none());
    }
}
