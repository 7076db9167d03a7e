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
    /// Nobody takes it any more: it is read and dropped, so that the writer does not hang.
    deaf: bool,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; SIZE].into_boxed_slice(), start: 0, end: 0, ended: false, deaf: false }
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
        if self.start == self.end && !self.ended && is_ready(from, PollFlags::POLLIN) {
            self.fill(from);
        }
        if self.start < self.end && is_ready(to, PollFlags::POLLOUT) {
            self.empty(to);
        }
    }

    /// Moves everything that can be read now, without blocking; `true` once nothing is left.
    pub(super) fn drain(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
        loop {
            while self.start < self.end {
                if !is_ready(to, PollFlags::POLLOUT) {
                    return false;
                }
                self.empty(to);
            }
            if self.ended || !is_ready(from, PollFlags::POLLIN) || !self.fill(from) {
                return true;
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
            // EIO from a terminal's master: the last process has closed the other side.
            Err(_) => self.ended = true,
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
            Err(_) => {
                self.deaf = true;
                self.start = self.end;
            }
        }
    }
}

/// Whether something can be read or written without waiting (of a pidfd: the process has ended).
pub(super) fn is_ready(fd: BorrowedFd<'_>, events: PollFlags) -> bool {
    let mut set = [PollFd::new(fd, events)];
    matches!(poll(&mut set, PollTimeout::ZERO), Ok(1..))
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
        writer.write_all(&vec![b'y'; 3 * SIZE]).unwrap();
        drop(writer);
        wait_for_the_last(from.as_fd(), PollFlags::POLLHUP);
        assert!(relay.drain(from.as_fd(), to.as_fd()));
        assert!(relay.wanted(from.as_fd(), to.as_fd()).is_none());
    }
}
