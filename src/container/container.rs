//! The container as callers use it: its state directory and its init process.

use super::notify::inbox::Inbox;
use super::runtime::Runtime;
use super::state::State;
use super::status;
use super::status::not_running;
use super::store::StateDirectory;
use crate::Result;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, OnceLock};

/// A container. Its operations may be called from any thread, and by any number of processes at once.
#[derive(Debug)]
pub struct Container {
    pub(super) runtime: Runtime,
    pub(super) id: String,
    pub(super) directory: StateDirectory,
    pub(super) console: Mutex<Option<OwnedFd>>,
    /// The socket for messages to the service manager, if this value has created it.
    pub(super) notify: Mutex<Option<Inbox>>,
    /// The pidfd of the init process, if this value has created it.
    pub(super) init: OnceLock<OwnedFd>,
}

impl Container {
    pub(super) fn new(runtime: Runtime, directory: StateDirectory) -> Self {
        Self {
            runtime,
            id: directory.id().to_owned(),
            directory,
            console: Mutex::new(None),
            notify: Mutex::new(None),
            init: OnceLock::new(),
        }
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The runtime whose state root the container is in.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The container's current state. Never waits for another operation.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the container has been deleted.
    pub fn state(&self) -> Result<State> {
        status::state(&self.directory)
    }

    /// The pid of the init process in the caller's pid namespace; 0 if the process has exited.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.state()?.pid)
    }

    /// A pidfd of the init process, which becomes readable for poll(2) when the process exits.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning).
    pub fn pidfd(&self) -> Result<OwnedFd> {
        match self.directory.read()? {
            Some(record) => record.open_init()?.alive_pidfd().ok_or_else(not_running),
            None => Err(not_running()),
        }
    }

    /// The pidfd of an init process that this value has created, even after the process has exited.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning) if another process has created it.
    pub fn init_pidfd(&self) -> Result<BorrowedFd<'_>> {
        self.init.get().map(AsFd::as_fd).ok_or_else(not_running)
    }

    /// Takes the pseudo-terminal master of the container, for [`Console::Keep`](super::Console::Keep). It can be taken
    /// once.
    pub fn take_console(&self) -> Option<OwnedFd> {
        self.console.lock().ok()?.take()
    }

    /// Stores the master for [`take_console`](Self::take_console).
    pub(super) fn set_console(&self, master: OwnedFd) {
        if let Ok(mut slot) = self.console.lock() {
            *slot = Some(master);
        }
    }
}
