//! The status and the state of a container, from its record and the kernel.

use super::freezer;
use super::state::{OCI_VERSION, State, Status};
use super::store::{Stage, StateDirectory, StateRecord};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;

/// The status of the container with this record.
pub(super) fn of(directory: &StateDirectory, record: Option<&StateRecord>) -> Result<Status> {
    if let Some(record) = record {
        match record.init_state_if_alive()? {
            Some(state) => return of_alive_in_state(record, state),
            None if record.stage > Stage::Creating => return Ok(Status::Stopped),
            None => {}
        }
    }
    if directory.is_locked()? { Ok(Status::Creating) } else { Ok(Status::Stopped) }
}

/// The status of a container whose init process is alive.
pub(super) fn of_alive(record: &StateRecord) -> Result<Status> {
    of_alive_if(record, freezer::is_frozen)
}

/// As [`of_alive`], if the state character of the init process is known: it may exclude that the container is frozen.
pub(super) fn of_alive_in_state(record: &StateRecord, state: u8) -> Result<Status> {
    of_alive_if(record, |record| Ok(freezer::may_be_frozen(record, state) && freezer::is_frozen(record)?))
}

fn of_alive_if(record: &StateRecord, is_frozen: impl FnOnce(&StateRecord) -> Result<bool>) -> Result<Status> {
    Ok(match record.stage {
        Stage::Creating => Status::Creating,
        _ if is_frozen(record)? => Status::Paused,
        // A `start` may have been interrupted after it had let the program run.
        Stage::Created if record.options.init || executes_stub(record.init.pid)? => Status::Created,
        Stage::Created | Stage::Started | Stage::Deleting => Status::Running,
    })
}

/// Whether a process still executes the init stub, which is a file without a name. If the caller has no permission to
/// look, or the process is exiting, the record is believed.
fn executes_stub(pid: i32) -> Result<bool> {
    let path = format!("/proc/{pid}/exe");
    match nix::fcntl::readlink(path.as_str()) {
        Ok(name) => Ok(name.as_encoded_bytes().ends_with(b" (deleted)")),
        Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::ESRCH) => Ok(true),
        Err(e) => Err(Error::sys(Phase::State, "readlink", e).on(path)),
    }
}

/// The record and the status of a container whose init process is alive, or that is being created.
///
/// # Errors
/// [`ErrorKind::NotRunning`].
pub(super) fn alive_record(directory: &StateDirectory) -> Result<(StateRecord, Status)> {
    match directory.read()? {
        Some(record) => match of(directory, Some(&record))? {
            Status::Stopped => Err(not_running()),
            status => Ok((record, status)),
        },
        None => Err(not_running()),
    }
}

/// As [`alive_record`], but a container that is being created is not running either.
pub(super) fn created_record(directory: &StateDirectory) -> Result<(StateRecord, Status)> {
    match alive_record(directory)? {
        (_, Status::Creating) => Err(not_running()),
        created => Ok(created),
    }
}

/// Callers match on this text.
pub(super) fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, Phase::Lifecycle, "container not running")
}

/// The current state of a container.
pub(super) fn state(directory: &StateDirectory) -> Result<State> {
    let record = directory.read()?;
    let status = of(directory, record.as_ref())?;
    let id = directory.id();
    Ok(describe(id, record.unwrap_or_else(|| StateRecord::new(id)), status))
}

/// The container's state as `state` prints it and hooks read it.
pub(super) fn describe(id: &str, record: StateRecord, status: Status) -> State {
    State {
        oci_version: OCI_VERSION.to_owned(),
        id: id.to_owned(),
        pid: if status.is_alive() { record.init.pid } else { 0 },
        status,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations.into(),
        owner: user_name(record.owner),
    }
}

/// The name of a user, or the uid if the user has no name or `/etc/passwd` cannot be read: no query fails for that.
fn user_name(uid: u32) -> String {
    if uid == 0 {
        return "root".to_owned();
    }
    let text = crate::sys::fs::read_at(crate::sys::fs::cwd(), c"/etc/passwd").unwrap_or_default();
    crate::process::passwd::name(&text, uid).map_or_else(|| uid.to_string(), str::to_owned)
}
