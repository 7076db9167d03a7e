//! Deleting a container.

use super::container::Container;
use super::forced_lock;
use super::process::identity::ProcessState;
use super::state::Status;
use super::store::helper_processes;
use super::teardown::tear_down;
use super::{processes, status};
use crate::{Error, ErrorKind, Phase, Result};

/// Removes a container that is stopped or waits for `start`, or with `force` any container.
pub(super) fn delete(container: &Container, force: bool) -> Result<()> {
    let directory = &container.directory;
    let lock = if force { forced_lock::take(container)? } else { Some(directory.lock()?) };
    let Some(lock) = lock else { return Ok(()) }; // The operation that was ended has removed the container.
    let record = match directory.read() {
        Err(e) if e.kind() == ErrorKind::Corrupt && force => None,
        other => other?,
    };
    let Some(record) = record else {
        helper_processes::kill_all(&lock, false, 0);
        return directory.remove(&lock);
    };
    let init = record.open_init()?;
    if matches!(init, ProcessState::Alive(_)) && !force {
        let status = status::of_alive(&record)?;
        if status != Status::Created {
            let text = format!("cannot delete container {} that is not stopped: {status}", container.id);
            return Err(Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
                .with_hint("stop it first, or use --force"));
        }
    }
    // No operation is under way, so helpers that are alive belong to an operation whose process was killed. A helper may
    // be blocked in a request to a file system that the container's own processes serve, so those are killed first.
    if helper_processes::any_alive(&lock, record.init.pid) {
        processes::kill_without_waiting(&record);
        helper_processes::kill_all(&lock, false, record.init.pid);
    }
    tear_down(container, record, init, &lock)?;
    directory.remove(&lock)
}
