//! A process that was spawned.

use crate::sys::process::{self, Exit};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// A program that runs, or has exited and waits to be reaped. Dropping it does neither kill nor reap.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    exit: OnceLock<Exit>,
}

impl Child {
    pub(super) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, exit: OnceLock::new() }
    }

    /// Its pid as the caller's pid namespace numbers it: of the program, or of the init that stays
    /// with it ([`reaping_init`](super::Command::reaping_init)).
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its pidfd, readable for poll(2) once it has exited.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Waits until it exits, and reaps it. Later calls return the same status.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if something else has reaped it (a caller that ignores SIGCHLD).
    pub fn wait(&self) -> Result<Exit> {
        match self.ask(true)? {
            Some(exit) => Ok(exit),
            None => Err(gone()),
        }
    }

    /// Its exit status, if it has exited.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.ask(false)
    }

    fn ask(&self, block: bool) -> Result<Option<Exit>> {
        if let Some(exit) = self.exit.get() {
            return Ok(Some(*exit));
        }
        match process::wait(&self.pidfd, block) {
            Ok(None) => Ok(None),
            Ok(Some(exit)) => Ok(Some(*self.exit.get_or_init(|| exit))),
            // Another thread may have reaped it, and not stored the status yet.
            Err(Errno::ECHILD) => {
                for _ in 0..100 {
                    if let Some(exit) = self.exit.get() {
                        return Ok(Some(*exit));
                    }
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Err(gone())
            }
            Err(errno) => Err(Error::sys(Phase::Lifecycle, "waitid", errno)),
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has been reaped.
    pub fn kill(&self, signal: i32) -> Result<()> {
        process::pidfd_send_signal(&self.pidfd, signal).map_err(|errno| match errno {
            Errno::ESRCH => gone(),
            _ => Error::sys(Phase::Lifecycle, "pidfd_send_signal", errno),
        })
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::NotRunning, Phase::Lifecycle, "the process has been reaped")
}
