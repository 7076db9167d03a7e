//! Sending signals to a container.

use super::container::Container;
use super::process::identity::ProcessState;
use super::signal::Signal;
use super::status::not_running;
use super::store::StateRecord;
use super::{freezer, processes};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;

/// Sends `signal` to the init process, or with `all` to every process of the container.
pub(super) fn kill(container: &Container, signal: Signal, all: bool) -> Result<()> {
    let record = container.directory.read()?;
    // Without a pid namespace of its own, the other processes would survive the init process.
    let to_all = all || record.as_ref().is_some_and(|r| signal == Signal::KILL && !r.own_pid_namespace);
    let mut reached = all;
    if let Some(record) = record.as_ref().filter(|_| to_all) {
        reached |= processes::signal_all(record, signal)?;
        if let Some(warning) = processes::unreachable_warning(record).filter(|_| all) {
            container.runtime.warn(&warning);
        }
    }
    let init = record.as_ref().map_or(Ok(ProcessState::Gone), StateRecord::open_init)?;
    match init.alive_pidfd() {
        Some(pidfd) => match sys::process::pidfd_send_signal(pidfd, signal.number()) {
            Ok(()) => {}
            Err(Errno::ESRCH) if reached => {}
            Err(Errno::ESRCH) => return Err(not_running()),
            Err(e) => {
                return Err(Error::sys(Phase::Lifecycle, "kill container", e).on(container.id.as_str()));
            }
        },
        None if reached => {}
        None => return Err(not_running()),
    }
    if signal == Signal::KILL
        && let Some(record) = &record
    {
        freezer::thaw_killed(record)?; // On cgroup v1, frozen processes do not die.
    }
    Ok(())
}
