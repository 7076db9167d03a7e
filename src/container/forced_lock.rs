//! Taking the lock of a container by force, for `delete --force`: an operation that does not return is ended first.
//!
//! These processes are killed, in this order: the container's own processes, which are to die anyway and which the
//! operation may be waiting for; the recorded helpers, after which the lock holder undoes its work and releases the lock;
//! the lock holder, if it is a dedicated process. A program that embeds the library is never killed. An operation that
//! removes the container does what is wanted, so it has the ordinary timeout, unless it is stopped.

use super::container::Container;
use super::processes;
use super::store::helper_processes;
use super::store::lock::{self, LOCK_TIMEOUT, OperationLock};
use super::store::lock_holder::LockHolder;
use crate::{Error, ErrorKind, Phase, Result};
use std::time::{Duration, Instant};

/// How long an operation under way may take before anything is killed.
const OPERATION_TIMEOUT: Duration = Duration::from_millis(50);
/// How long the holder may take to release the lock after the helpers were killed.
const UNDO_TIMEOUT: Duration = Duration::from_millis(300);
/// How long to wait for the lock after everything else has timed out.
const FINAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What was killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Killed {
    /// Nothing yet.
    Nothing,
    /// The container's processes and the helpers, if there were any.
    Helpers,
    /// The lock holder too.
    Holder,
}

/// Takes the lock by force; `None` if an operation that was ended for this has removed the container.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the container was removed otherwise; [`ErrorKind::Busy`] if the holder may not be killed and
/// does not release the lock.
pub(super) fn take(container: &Container) -> Result<Option<OperationLock>> {
    let directory = &container.directory;
    let begun = Instant::now();
    let (mut pause, mut killed) = (Duration::from_millis(1), Killed::Nothing);
    loop {
        match directory.try_lock() {
            Ok(None) => {}
            // The lock is on a directory that was removed after it had been opened.
            Ok(Some(_)) if killed > Killed::Nothing && directory.is_removed()? => return Ok(None),
            Err(e) if killed > Killed::Nothing && e.kind() == ErrorKind::NotFound => return Ok(None),
            other => return other,
        }
        let elapsed = begun.elapsed();
        if elapsed >= LOCK_TIMEOUT + FINAL_TIMEOUT {
            return Err(lock::busy(directory, &container.id));
        }
        if elapsed >= OPERATION_TIMEOUT {
            killed = killed.max(end_operation(container, elapsed, killed));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Kills the processes of the operation that holds the lock, as far as their timeouts have passed.
fn end_operation(container: &Container, elapsed: Duration, before: Killed) -> Killed {
    let overdue = elapsed >= LOCK_TIMEOUT;
    let holder = LockHolder::find(&container.directory);
    let removes = holder.as_ref().is_some_and(LockHolder::removes)
        || helper_processes::alive(&container.directory).iter().any(|helper| helper.removes);
    if removes && !overdue {
        return Killed::Nothing;
    }
    // If the record cannot be read, only the lock holder knows what processes there are.
    if let Ok(Some(record)) = container.directory.read() {
        processes::kill_without_waiting(&record);
    }
    helper_processes::kill_all(&container.directory, !overdue, 0);
    let may_kill = elapsed >= OPERATION_TIMEOUT + UNDO_TIMEOUT;
    match holder.filter(|holder| may_kill && holder.kill_if_dedicated()) {
        Some(holder) => {
            if before < Killed::Holder {
                container.runtime.warn(&holder_killed(holder.pid(), &container.id));
            }
            Killed::Holder
        }
        None => Killed::Helpers,
    }
}

/// The warning that a process was killed because it held the lock.
fn holder_killed(pid: i32, id: &str) -> Error {
    Error::new(
        ErrorKind::Busy,
        Phase::State,
        format!("process {pid} held the lock, and was killed for container"),
    )
    .on(id)
}
