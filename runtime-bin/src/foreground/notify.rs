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
    log: Log,
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }
}

impl Notify {
    /// Listens for the container's messages, if there is a manager and the container has its socket.
    pub(crate) fn open(
        container: &Container,
        manager: Option<OsString>,
        log: &Log,
    ) -> Result<Option<Self>, Failure> {
        let Some(to) = manager else { return Ok(None) };
        let from = container.listen_for_notifications()?;
        Ok(from.map(|from| Self { from, to, log: log.clone() }))
    }

    /// Passes on what has come; whether the container is ready, and `main` what the manager watches from now on.
    pub(crate) fn relay(&self, main: Option<i32>) -> bool {
        // The container does not suffer from a manager that went away.
        self.from.forward(&self.to, main).unwrap_or_else(|e| {
            self.log.warning(&e.to_string());
            false
        })
    }

    /// Waits until the container is ready, or has ended; then the manager watches its first process.
    pub(crate) fn until_ready(&self, container: &Container) -> Result<(), Failure> {
        let Ok(pidfd) = container.pidfd() else {
            self.relay(None);
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
            if self.relay(Some(main)) {
                if let Err(e) = Notifications::settle(&self.to) {
                    self.log.warning(&e.to_string());
                }
                return Ok(());
            }
            if ended {
                return Ok(());
            }
        }
    }
}
