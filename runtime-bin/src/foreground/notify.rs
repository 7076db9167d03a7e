//! What the container tells the service manager, passed on by this program (sd_notify(3)).

use crate::commands::Failure;
use crate::log::Log;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::container::{Container, Notifications};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};

/// The way from the container to the service manager.
pub(crate) struct Notify {
    from: Notifications,
    to: OsString,
    /// What has gone wrong first. The container does not suffer from a manager that went away.
    trouble: Option<String>,
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

impl Notify {
    /// Listens for the container's messages, if there is a manager and the container has its socket.
    pub(crate) fn open(container: &Container, manager: Option<OsString>) -> Result<Option<Self>, Failure> {
        let Some(to) = manager else { return Ok(None) };
        let from = container.listen_for_notifications()?;
        Ok(from.map(|from| Self { from, to, trouble: None }))
    }

    /// Forwards new messages; `main` is the process that the manager watches once the container is ready.
    pub(super) fn relay(&mut self, main: Option<i32>) {
        let done = self.from.forward(&self.to, main);
        self.note(done);
    }

    /// Forwards the rest once the container has ended.
    pub(super) fn finish(&mut self, main: Option<i32>) {
        let done = self.from.finish(&self.to, main);
        self.note(done);
    }

    /// Keeps the first failure, so that a container cannot flood the log.
    fn note(&mut self, done: orlop::Result<()>) {
        if let Err(e) = done {
            self.trouble.get_or_insert_with(|| e.to_string());
        }
    }

    /// The first failure, to be logged when a blocking write does no harm.
    pub(crate) fn trouble(self) -> Option<String> {
        self.trouble
    }

    /// Waits until the container is ready, or has ended; then the manager watches its first process.
    pub(crate) fn until_ready(mut self, container: &Container, log: &Log) -> Result<(), Failure> {
        self.watch(container)?;
        if let Some(trouble) = self.trouble() {
            log.warning(&trouble);
        }
        Ok(())
    }

    fn watch(&mut self, container: &Container) -> Result<(), Failure> {
        let Ok(pidfd) = container.pidfd() else {
            self.finish(None);
            return Ok(());
        };
        let main = container.pid()?;
        loop {
            let mut set = [self.as_fd(), pidfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut set, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(Failure::system("wait for the container to be ready", e)),
            }
            let ended = set[1].any().unwrap_or(true);
            self.relay(Some(main));
            if ended {
                self.finish(Some(main));
            }
            // Even if the manager could not be told.
            if self.from.is_ready() {
                let done = self.from.settle(&self.to);
                self.note(done);
            }
            if ended || self.from.is_ready() {
                return Ok(());
            }
        }
    }
}
