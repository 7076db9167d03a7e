//! The lock that serializes the operations on a container.
//!
//! It is a flock(2) on the state directory, so the kernel releases it when its holder dies. The processes that act for the
//! operation are known, so `delete --force` can end an operation that does not return:
//!
//! - the holder, by a second lock on the same open file ([`LockClaim`]);
//! - its child processes ([`helper_processes`]), by a file in the state directory, which survives a holder that was killed.

use super::claim::LockClaim;
use super::{error, helper_processes};
use crate::init::launch::{Launch, Stub};
use crate::init::presets::HelperRecorder;
use crate::sys::fs::Flock;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long an operation waits for another one on the same container.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The exclusive lock on a state directory, released when it is dropped or when its holder dies.
///
/// It is taken on an open file of its own, so it also excludes other threads that use the same container.
#[derive(Debug)]
pub(crate) struct OperationLock {
    flock: Flock,
    dedicated: bool,
    removes: Cell<bool>,
}

impl AsFd for OperationLock {
    /// The state directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.flock.as_fd()
    }
}

impl OperationLock {
    /// Takes the lock. A `dedicated` process may be killed while it holds the lock, see [`LockClaim`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another operation holds it for longer than [`LOCK_TIMEOUT`].
    pub(crate) fn take(directory: impl AsFd, id: &str, dedicated: bool) -> Result<Self> {
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(lock) = Self::try_take(&directory, id, dedicated)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(busy(&directory, id));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_take(directory: impl AsFd, id: &str, dedicated: bool) -> Result<Option<Self>> {
        let Some(flock) = try_flock(directory, libc::LOCK_EX, id)? else { return Ok(None) };
        let lock = Self { flock, dedicated, removes: Cell::new(false) };
        lock.claim().set(&lock.flock);
        Ok(Some(lock))
    }

    /// Whether an operation holds the lock now.
    pub(super) fn is_taken(directory: impl AsFd, id: &str) -> Result<bool> {
        try_flock(directory, libc::LOCK_SH, id).map(|flock| flock.is_none())
    }

    fn claim(&self) -> LockClaim {
        let pid = std::process::id().cast_signed();
        LockClaim { pid, removes: self.removes.get(), dedicated: self.dedicated }
    }

    /// Declares that the operation removes the container, as `delete` does: a forced `delete` then waits longer before it
    /// ends the operation and the helpers that are recorded from now on.
    pub(crate) fn begin_removal(&self) {
        let before = self.claim();
        self.removes.set(true);
        let now = self.claim();
        if before != now {
            now.set(&self.flock);
            before.unset(&self.flock);
        }
    }

    /// Launches a stub that acts for the operation and records it, so that `delete --force` can kill it. If a second
    /// process follows, the caller records that one by [`record_helper`](HelperRecorder::record_helper).
    ///
    /// # Errors
    /// If the launch fails, or the process cannot be recorded.
    pub(crate) fn launch(&self, launch: Launch<'_>) -> Result<Stub> {
        let mut stub = launch.spawn()?;
        match self.record_helper(stub.pid) {
            Ok(()) => Ok(stub),
            Err(e) => {
                stub.destroy();
                Err(e)
            }
        }
    }
}

impl HelperRecorder for OperationLock {
    /// If the state directory cannot be written, that is an error. A removal goes on without the record.
    fn record_helper(&self, pid: i32) -> Result<()> {
        match helper_processes::record(&self.flock, pid, self.removes.get()) {
            Err(_) if self.removes.get() => Ok(()),
            done => done,
        }
    }
}

/// A flock(2) on the directory through an open file of its own; `None` if a conflicting lock is held.
fn try_flock(directory: impl AsFd, how: i32, id: &str) -> Result<Option<Flock>> {
    let failed = |e| Error::sys(Phase::State, "lock", e).on(format!("state of container {id}"));
    let fd = match crate::sys::fs::openat(&directory, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Err(error::not_found(id)),
        Err(e) => return Err(failed(e)),
    };
    Flock::attempt(fd, how).map_err(failed)
}

/// Another operation holds the lock.
pub(crate) fn busy(directory: impl AsFd, id: &str) -> Error {
    let text = "another operation is under way on container";
    let error = Error::new(ErrorKind::Busy, Phase::State, text).on(id);
    match LockClaim::read(directory) {
        Some(claim) => error.with_detail(format!("process {} holds the lock", claim.pid)),
        None => error,
    }
}
