//! The exit status of a container's processes.

use super::container::Container;
use super::process::identity::ProcessState;
use super::status::not_running;
use super::store::StateRecord;
use crate::sys;
use crate::sys::process::Exit;
use crate::{Error, Phase, Result};
use std::os::fd::OwnedFd;

/// Reaps the init process and returns its exit status; with `block` it waits until the process has exited, otherwise
/// `None` means that it has not.
pub(super) fn exit_of_init(container: &Container, block: bool) -> Result<Option<Exit>> {
    if let Some(pidfd) = container.init.get() {
        return exit_of(pidfd, block);
    }
    let record = container.directory.read()?;
    match record.as_ref().map_or(Ok(ProcessState::Gone), StateRecord::open_init)?.pidfd() {
        Some(pidfd) => exit_of(&pidfd, block),
        None => Err(not_running()),
    }
}

/// Reaps a child process and returns its exit status, as [`exit_of_init`].
pub(super) fn exit_of(pidfd: &OwnedFd, block: bool) -> Result<Option<Exit>> {
    sys::process::wait(pidfd, block).map_err(|e| Error::sys(Phase::Lifecycle, "wait for container", e))
}
