//! A process that was started in a container by `exec`.

use super::status::not_running;
use super::wait;
use crate::Result;
use crate::sys::process::Exit;
use std::os::fd::OwnedFd;

/// A process that [`Container::exec`](super::Container::exec) has started. It is a child of the caller.
#[derive(Debug)]
pub struct ExecProcess {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) console: Option<OwnedFd>,
}

impl ExecProcess {
    /// Its pid in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its pidfd, which becomes readable for poll(2) when the process exits.
    pub fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Takes the master of its pseudo-terminal, for [`Console::Keep`](super::Console::Keep). It can be taken once.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Waits until it has exited, and reaps it.
    pub fn wait(&self) -> Result<Exit> {
        wait::exit_of(&self.pidfd, true)?.ok_or_else(not_running)
    }

    /// Its exit status if it has exited, in which case it is reaped.
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        wait::exit_of(&self.pidfd, false)
    }
}
