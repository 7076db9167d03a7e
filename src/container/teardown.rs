//! Killing a container's processes, and removing everything that `create` has created.

use super::container::Container;
use super::hooks::launcher::{HookLauncher, HookLocation};
use super::hooks::runner;
use super::process::identity::ProcessState;
use super::state::Status;
use super::store::lock::OperationLock;
use super::store::{Stage, StateRecord, config};
use super::{freezer, processes, scope, status};
use crate::bundle::HookKind;
use crate::bundle::spec::Spec;
use crate::plan::kernel_version;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long to wait until a killed process has exited.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for an exiting init process whose parent does not reap it.
const REAP_TIMEOUT: Duration = Duration::from_millis(250);
/// The interval for checking a killed process that has not exited, in milliseconds.
const CHECK_INTERVAL_MS: i32 = 25;
/// How long to wait until an empty cgroup can be removed, before it is checked for processes again.
const REMOVE_TIMEOUT: Duration = Duration::from_millis(100);

/// Removes everything of a container whose creation has failed; returns `error`, the first error.
pub(super) fn undo(
    container: &Container,
    record: StateRecord,
    init: ProcessState,
    error: Error,
    lock: &OperationLock,
) -> Error {
    let done = tear_down(container, record, init, lock).and_then(|()| container.directory.remove(lock));
    if let Err(e) = done {
        container.runtime.warn(&e);
    }
    error
}

/// Kills every process of a container, removes its cgroups and runs the poststop hooks. Only the state directory remains.
/// Each step may have been done before.
pub(super) fn tear_down(
    container: &Container,
    mut record: StateRecord,
    init: ProcessState,
    lock: &OperationLock,
) -> Result<()> {
    lock.begin_removal();
    let failed =
        |what: &'static str| move |e: Errno| Error::sys(Phase::Lifecycle, what, e).on(container.id.as_str());
    if let ProcessState::Alive(pidfd) = &init {
        match sys::process::pidfd_send_signal(pidfd, libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(e) => return Err(failed("kill container")(e)),
        }
        freezer::thaw_killed(&record)?;
        if let Some(warning) = processes::unreachable_warning(&record) {
            container.runtime.warn(&warning);
        }
    }
    if let ProcessState::Alive(pidfd) | ProcessState::Exited(pidfd) = &init {
        wait_for_exit(&container.id, &record, pidfd)?;
    }
    // Only the parent can reap it; if that is the caller, no zombie remains.
    let created = container.init.get().map(AsFd::as_fd);
    let found = init.pidfd();
    if let Some(pidfd) = created.or(found.as_ref().map(AsFd::as_fd)) {
        match sys::process::wait(pidfd, false) {
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(e) => return Err(failed("wait for container")(e)),
        }
    }
    remove_cgroup(&record)?;
    if let Some(group) = &record.resctrl {
        group.remove()?;
    }
    if record.poststop && record.hooked && record.stage != Stage::Deleting {
        run_poststop_hooks(container, &record, lock);
        record.stage = Stage::Deleting;
        container.directory.write(&record)?;
    }
    Ok(())
}

/// Kills the processes that are left in the cgroup, and removes it.
fn remove_cgroup(record: &StateRecord) -> Result<()> {
    let Some(cgroup) = record.open_cgroup() else { return Ok(()) };
    // All processes have died with the init process of the pid namespace: there is nothing to kill.
    if record.own_pid_namespace && record.init.pid != 0 {
        scope::stop(record)?;
        if cgroup.remove_within(REMOVE_TIMEOUT).is_ok() {
            return Ok(());
        }
    }
    let deadline = Instant::now() + EXIT_TIMEOUT;
    loop {
        cgroup.kill(EXIT_TIMEOUT)?;
        scope::stop(record)?;
        // A `create` that was killed may have left a process that has yet to join.
        match cgroup.remove_within(REMOVE_TIMEOUT) {
            Err(e) if e.errno() == Some(Errno::EBUSY) && Instant::now() < deadline => {}
            other => return other,
        }
    }
}

/// Runs the poststop hooks. Each failure is only a warning.
fn run_poststop_hooks(container: &Container, record: &StateRecord, lock: &OperationLock) {
    let config = config::read(&container.directory);
    let done = config.and_then(|bytes| Spec::from_json(&bytes)).and_then(|spec| {
        let state = status::describe(&container.id, record.clone(), Status::Stopped);
        let launcher =
            HookLauncher { kernel: kernel_version()?, location: HookLocation::Host(&record.bundle), lock };
        let hooks = HookKind::Poststop.hooks_in(spec.hooks.as_ref());
        runner::run_all(HookKind::Poststop, hooks, &state, &launcher, |e| container.runtime.warn(e))
    });
    if let Err(e) = done {
        container.runtime.warn(&e);
    }
}

/// Waits until a killed init process has exited, or is exiting and waits only for a parent that does not reap.
fn wait_for_exit(id: &str, record: &StateRecord, pidfd: &OwnedFd) -> Result<()> {
    let begun = Instant::now();
    while !sys::process::poll_in(pidfd, CHECK_INTERVAL_MS)
        .map_err(|e| Error::sys(Phase::Lifecycle, "wait for container", e).on(id))?
    {
        // Another process of the container may have frozen it, or a process that it waits for, since it was thawed.
        freezer::thaw_killed(record)?;
        let waited = begun.elapsed();
        if waited >= REAP_TIMEOUT && !matches!(record.open_init()?, ProcessState::Alive(_)) {
            return Ok(());
        }
        if waited >= EXIT_TIMEOUT {
            let why = format!("process {} was killed {} s ago", record.init.pid, EXIT_TIMEOUT.as_secs());
            return Err(Error::new(ErrorKind::TimedOut, Phase::Lifecycle, "container has not exited")
                .on(id)
                .with_detail(why));
        }
    }
    Ok(())
}
