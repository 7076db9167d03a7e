//! The processes of a container: those of its cgroup, or of its pid namespace if it has no cgroup.

use super::freezer;
use super::process::identity::ProcessState;
use super::process::pid_namespace;
use super::signal::Signal;
use super::store::StateRecord;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use std::time::Duration;

/// How long to wait until SIGKILL has reached every process of a cgroup whose processes keep forking.
const KILL_TIMEOUT: Duration = Duration::from_millis(300);

/// The pids of all processes of a container, sorted.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if the container has neither a cgroup nor a pid namespace of its own.
pub(super) fn list(record: &StateRecord, id: &str) -> Result<Vec<i32>> {
    if let Some(cgroup) = record.open_cgroup() {
        return cgroup.processes();
    }
    match record.open_init()?.alive_pidfd() {
        None => Ok(Vec::new()),
        Some(_) if record.own_pid_namespace => pid_namespace::processes(record.init.pid),
        Some(_) => {
            Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "cannot list the processes of container")
                .on(id)
                .with_detail("it has neither a cgroup nor a pid namespace of its own"))
        }
    }
}

/// Sends a signal to all processes of the container, except to the init process if there is no cgroup; returns whether
/// there were any. SIGKILL also reaches processes that are forked in the meantime.
pub(super) fn signal_all(record: &StateRecord, signal: Signal) -> Result<bool> {
    match record.open_cgroup() {
        Some(cgroup) if signal == Signal::KILL => {
            let any = !cgroup.processes()?.is_empty();
            match cgroup.kill(KILL_TIMEOUT) {
                // They have been killed, but are blocked in the kernel.
                Err(e) if e.kind() == ErrorKind::TimedOut => Ok(any),
                done => done.map(|()| any),
            }
        }
        Some(cgroup) => Ok(cgroup.signal(signal.number())? > 0),
        // The caller signals the init process.
        None if record.own_pid_namespace && record.open_init()?.alive_pidfd().is_some() => {
            pid_namespace::signal_all_but_init(record.init.pid, signal.number())
        }
        None => Ok(false),
    }
}

/// Sends SIGKILL to the init process and to all other processes that can be found, without waiting for any. Errors are
/// ignored, and no lock is needed.
pub(super) fn kill_without_waiting(record: &StateRecord) {
    if let Some(pidfd) = record.open_init().ok().and_then(ProcessState::alive_pidfd) {
        let _ = sys::process::pidfd_send_signal(&pidfd, libc::SIGKILL);
    }
    if let Some(cgroup) = record.open_cgroup() {
        let _ = cgroup.kill(Duration::ZERO);
    }
    let _ = freezer::thaw_killed(record);
}

/// A warning if the container may have processes that cannot be found.
pub(super) fn unreachable_warning(record: &StateRecord) -> Option<Error> {
    (record.cgroup.is_empty() && !record.own_pid_namespace && record.init.pid != 0).then(|| {
        let why = "only the first process of the container is reached";
        Error::new(ErrorKind::Unsupported, Phase::Lifecycle, why).with_detail(
            "it has neither a cgroup nor a pid namespace of its own by which the others could be found",
        )
    })
}
