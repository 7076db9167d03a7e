//! The end of a container: signals, waiting, and the removal of all that `create` has made.

use super::hooks::{self, Kind, Launcher, Place};
use super::liveness::Presence;
use super::lock::Lock;
use super::store::{Record, Stage};
use super::{Container, Exit, Signal, Status, alive_status, helpers, members, not_running, presence};
use crate::bundle::spec::Spec;
use crate::plan::kernel_version;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a killed container may take to end.
const GRACE: Duration = Duration::from_secs(10);
/// For how long an exiting process may wait for others to be reaped before it is no longer waited for.
const UNREAPED: Duration = Duration::from_millis(250);
/// How often a killed process that has not ended is looked at, in milliseconds.
const LOOK_MS: i32 = 25;

impl Container {
    /// Sends `signal` to the init process, or with `all` to every process of the container.
    ///
    /// `SIGKILL` goes to every process too where the container has no pid namespace of its own, as
    /// nothing else would end them.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] where the container is stopped (never with `all`).
    pub fn kill(&self, signal: Signal, all: bool) -> Result<()> {
        let record = self.directory.read()?;
        let whole = all || record.as_ref().is_some_and(|r| signal == Signal::KILL && !r.own_pid_namespace);
        let mut reached = all;
        if let Some(record) = record.as_ref().filter(|_| whole) {
            reached |= members::signal(record, signal)?;
            if let Some(warning) = members::untold(record).filter(|_| all) {
                self.runtime.warn(&warning);
            }
        }
        match presence(record.as_ref())?.alive() {
            Some(pidfd) => match sys::process::pidfd_send_signal(pidfd, signal.number()) {
                Ok(()) => {}
                Err(Errno::ESRCH) if reached => {}
                Err(Errno::ESRCH) => return Err(not_running()),
                Err(e) => {
                    return Err(Error::sys(Phase::Lifecycle, "kill container", e).on(self.id.as_str()));
                }
            },
            None if reached => {}
            None => return Err(not_running()),
        }
        if signal == Signal::KILL
            && let Some(record) = &record
        {
            members::thaw(record)?; // The frozen do not die on cgroup v1.
        }
        Ok(())
    }

    /// Waits until the init process has ended, and reaps it.
    ///
    /// # Errors
    /// `ECHILD` where the container was not created by this process, or was waited for before.
    pub fn wait(&self) -> Result<Exit> {
        self.ask(true)?.ok_or_else(not_running)
    }

    /// How the init process has ended, if it has; then it is reaped. For callers that poll its pidfd
    /// ([`init_pidfd`](Self::init_pidfd)).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<Exit>> {
        self.ask(false)
    }

    fn ask(&self, block: bool) -> Result<Option<Exit>> {
        if let Some(pidfd) = self.init.get() {
            return wait(pidfd, block);
        }
        match presence(self.directory.read()?.as_ref())?.any() {
            Some(pidfd) => wait(&pidfd, block),
            None => Err(not_running()),
        }
    }

    /// Removes what is left of a stopped container, or of one that waits for `start`, and runs its
    /// poststop hooks; with `force` also of a running one, which is killed. What a crash has left
    /// of a `create` or of a `delete` is removed the same way.
    ///
    /// With `force` an operation that is under way on the container is ended: see
    /// [`Runtime::dedicated_process`](super::Runtime::dedicated_process).
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] for a running container without `force`;
    /// [`ErrorKind::Corrupt`] for a state that cannot be read, without `force`.
    pub fn delete(&self, force: bool) -> Result<()> {
        let lock = if force { self.seize()? } else { Some(self.directory.lock()?) };
        let Some(lock) = lock else { return Ok(()) }; // What was ended has undone all.
        let record = match self.directory.read() {
            Err(e) if e.kind() == ErrorKind::Corrupt && force => None,
            other => other?,
        };
        let Some(record) = record else {
            helpers::end(&lock, false, 0);
            return self.directory.remove(&lock);
        };
        let presence = record.presence()?;
        if matches!(presence, Presence::Alive(_)) && !force {
            let status = alive_status(&record)?;
            if status != Status::Created {
                let text = format!("cannot delete container {} that is not stopped: {status}", self.id);
                return Err(Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
                    .with_hint("stop it first, or use --force"));
            }
        }
        // Nothing is under way: what acts for an operation still has lost its holder. It may be in a request to a file system
        // which the container's own processes serve: it ends once they have.
        if helpers::any(&lock, record.init.pid) {
            members::end(&record);
            helpers::end(&lock, false, record.init.pid);
        }
        self.tear_down(record, presence, &lock)?;
        self.directory.remove(&lock)
    }

    /// Ends every process of a container, removes its cgroups and runs the poststop hooks: all but
    /// the state directory. Each step may have been done before.
    pub(super) fn tear_down(&self, mut record: Record, presence: Presence, lock: &Lock) -> Result<()> {
        lock.begin_removal();
        if let Presence::Alive(pidfd) = &presence {
            match sys::process::pidfd_send_signal(pidfd, libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(e) => {
                    return Err(Error::sys(Phase::Lifecycle, "kill container", e).on(self.id.as_str()));
                }
            }
            members::thaw(&record)?;
            if let Some(warning) = members::untold(&record) {
                self.runtime.warn(&warning);
            }
        }
        if let Presence::Alive(pidfd) | Presence::Ended(pidfd) = &presence {
            self.wait_for_end(&record, pidfd)?;
        }
        // Nobody but the parent can reap it; where that is the caller nothing stays.
        let init = self.init.get().map(AsFd::as_fd);
        let found = presence.any();
        if let Some(pidfd) = init.or(found.as_ref().map(AsFd::as_fd)) {
            match sys::process::wait(pidfd, false) {
                Ok(_) | Err(Errno::ECHILD) => {}
                Err(e) => {
                    return Err(Error::sys(Phase::Lifecycle, "wait for container", e).on(self.id.as_str()));
                }
            }
        }
        members::remove(&record, record.own_pid_namespace && record.init.pid != 0)?;
        if let Some(group) = &record.resctrl {
            group.remove()?;
        }
        if record.poststop && record.hooked && record.stage != Stage::Deleting {
            self.run_poststop(&record, lock);
            record.stage = Stage::Deleting;
            self.directory.write(&record)?;
        }
        Ok(())
    }

    /// The poststop hooks: a failure is a warning, and the next one runs.
    fn run_poststop(&self, record: &Record, lock: &Lock) {
        let done = self.directory.read_config().and_then(|bytes| Spec::from_json(&bytes)).and_then(|spec| {
            let state = self.describe(record.clone(), Status::Stopped);
            let place = Launcher { kernel: kernel_version()?, place: Place::Host(&record.bundle), lock };
            let hooks = Kind::Poststop.of(spec.hooks.as_ref());
            hooks::run_all(Kind::Poststop, hooks, &state, &place, |e| self.runtime.warn(e))
        });
        if let Err(e) = done {
            self.runtime.warn(&e);
        }
    }

    /// Waits until a killed init process has ended, or runs nothing any more and is only held back
    /// by a parent that does not reap.
    fn wait_for_end(&self, record: &Record, pidfd: &OwnedFd) -> Result<()> {
        let begun = Instant::now();
        while !sys::process::poll_in(pidfd, LOOK_MS)
            .map_err(|e| Error::sys(Phase::Lifecycle, "wait for container", e).on(self.id.as_str()))?
        {
            // Another process of the container may have frozen it since, or one for which it waits.
            members::thaw(record)?;
            let waited = begun.elapsed();
            if waited >= UNREAPED && !matches!(record.presence()?, Presence::Alive(_)) {
                return Ok(());
            }
            if waited >= GRACE {
                return Err(Error::new(ErrorKind::TimedOut, Phase::Lifecycle, "container has not ended")
                    .on(self.id.as_str())
                    .with_detail(format!(
                        "process {} was killed {} s ago",
                        record.init.pid,
                        GRACE.as_secs()
                    )));
            }
        }
        Ok(())
    }
}

/// How a process has ended; with `block` only once it has.
pub(super) fn wait(pidfd: &OwnedFd, block: bool) -> Result<Option<Exit>> {
    sys::process::wait(pidfd, block).map_err(|e| Error::sys(Phase::Lifecycle, "wait for container", e))
}

#[cfg(test)]
#[path = "end_tests.rs"]
mod tests;
