//! Terminals: a console socket that receives one, and a pseudo-terminal to call the runtime from.

use crate::{Test, sys};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A listening console socket.
pub struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    /// Listens in the test's directory.
    pub fn new(test: &Test) -> Self {
        let path = test.dir().join("console.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self { path, listener }
    }

    /// The value of `--console-socket`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a runtime connects within that time.
    pub fn is_called(&self, within: Duration) -> bool {
        let mut set = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut set, PollTimeout::try_from(within).unwrap()).unwrap_or(0) > 0
    }

    /// Receives the one message that was sent: its text and the terminal.
    pub fn receive(&self) -> (String, Pty) {
        let (text, fd) = self.receive_fd();
        (text, Pty { master: File::from(fd) })
    }

    /// Receives the one message that was sent: its text and its one descriptor.
    pub fn receive_fd(&self) -> (String, OwnedFd) {
        let (stream, _) = self.listener.accept().unwrap();
        let mut text = [0; 4096];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                .unwrap();
        let mut fds = Vec::new();
        for part in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(received) = part {
                fds.extend(received.into_iter().map(sys::own));
            }
        }
        let length = message.bytes;
        // What go-runc and conmon require.
        assert_eq!(fds.len(), 1, "a console socket gets one descriptor");
        assert!((1..4096).contains(&length), "a console socket gets 1 to 4095 bytes, not {length}");
        assert!(!message.flags.contains(MsgFlags::MSG_CTRUNC), "more control data than one descriptor");
        let text = String::from_utf8_lossy(&text[..length]).into_owned();
        assert_eq!((&stream).read(&mut [0; 16]).unwrap(), 0, "one message, then the end");
        (text, fds.remove(0))
    }
}

/// The master of a pseudo-terminal.
pub struct Pty {
    master: File,
}

impl Pty {
    /// A new pair; the slave is passed to the runtime.
    pub fn open() -> (Self, OwnedFd) {
        let (master, slave) = sys::open_pty();
        (Self { master: File::from(master) }, slave)
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        sys::window_size(&self.master).unwrap()
    }

    /// Sets rows and columns.
    pub fn resize(&self, rows: u16, columns: u16) {
        sys::set_window_size(&self.master, rows, columns);
    }

    /// Writes text as if it was typed.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until a line contains `text`, or the terminal is closed; returns all that was read.
    pub fn read_until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        let mut all = Vec::new();
        let mut part = [0; 4096];
        while begun.elapsed() < crate::within(Duration::from_secs(10)) {
            let mut set = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            if poll(&mut set, PollTimeout::from(100u16)).unwrap_or(0) == 0 {
                continue;
            }
            match self.master.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(n) => all.extend_from_slice(&part[..n]),
            }
            let so_far = String::from_utf8_lossy(&all);
            if !text.is_empty()
                && so_far.split_inclusive('\n').any(|line| line.ends_with('\n') && line.contains(text))
            {
                break;
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}
