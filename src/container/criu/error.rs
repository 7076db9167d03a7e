//! Errors of checkpoint and restore.

use crate::{Error, ErrorKind, Phase};

/// This criu, this kernel or this library cannot do what is requested.
pub(super) fn unsupported(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Lifecycle, what.into())
}
