//! Errors of the state store.

use crate::{Error, ErrorKind, Phase};
use nix::errno::Errno;

/// A failed system call on a container's state.
pub(crate) fn state_error(operation: &'static str, errno: Errno, id: &str) -> Error {
    Error::sys(Phase::State, operation, errno).on(format!("state of container {id}"))
}

/// Callers match on this text.
pub(crate) fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, Phase::State, "container does not exist").on(id)
}

/// A container's directory was removed while the container was being created.
pub(super) fn removed(id: &str) -> Error {
    Error::new(ErrorKind::Busy, Phase::State, "container was deleted while it was being created").on(id)
}

/// A record or a configuration cannot be serialized.
pub(super) fn cannot_encode(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::System, Phase::State, "encode journal entry").with_detail(e.to_string())
}
