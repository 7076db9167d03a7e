//! The container's messages to the service manager (sd_notify(3)), which this program forwards.

use crate::failure::Failure;
use crate::log::Log;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::container::{Container, Notifications};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};

/// Forwards messages from the container to the service manager.
pub(crate) struct NotifyForwarder {
    container: Notifications,
    manager: OsString,
    /// The first failure. It does not fail the container, which must survive a manager that has gone.
    failure: Option<String>,
}

impl AsFd for NotifyForwarder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }
}

impl NotifyForwarder {
    /// Listens for the container's messages, if there is a manager and the container has the socket.
    pub(crate) fn open(container: &Container, manager: Option<OsString>) -> Result<Option<Self>, Failure> {
        let Some(manager) = manager else { return Ok(None) };
        let notifications = container.listen_for_notifications()?;
        Ok(notifications.map(|container| Self { container, manager, failure: None }))
    }

    /// Forwards new messages. `main` is the process that the manager watches once the container is ready.
    pub(super) fn relay(&mut self, main: Option<i32>) {
        let result = self.container.forward(&self.manager, main);
        self.keep_failure(result);
    }

    /// Forwards the remaining messages after the container has exited.
    pub(super) fn finish(&mut self, main: Option<i32>) {
        let result = self.container.finish(&self.manager, main);
        self.keep_failure(result);
    }

    /// Keeps the first failure, so that a container cannot flood the log.
    fn keep_failure(&mut self, result: orlop::Result<()>) {
        if let Err(e) = result {
            self.failure.get_or_insert_with(|| e.to_string());
        }
    }

    /// The first failure, to be logged when a write may block.
    pub(crate) fn failure(self) -> Option<String> {
        self.failure
    }

    /// Waits until the container is ready or has exited. From then on the manager watches the container's first process.
    pub(crate) fn until_ready(mut self, container: &Container, log: &Log) -> Result<(), Failure> {
        self.forward_until_ready(container)?;
        if let Some(failure) = self.failure() {
            log.warning(&failure);
        }
        Ok(())
    }

    fn forward_until_ready(&mut self, container: &Container) -> Result<(), Failure> {
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
            let exited = set[1].any().unwrap_or(true);
            self.relay(Some(main));
            if exited {
                self.finish(Some(main));
            }
            // Even if the manager could not be reached.
            if self.container.is_ready() {
                let result = self.container.settle(&self.manager);
                self.keep_failure(result);
            }
            if exited || self.container.is_ready() {
                return Ok(());
            }
        }
    }
}
