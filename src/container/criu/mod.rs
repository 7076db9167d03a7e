//! Checkpoint and restore by criu(8): this side says what the container is made of, criu freezes,
//! writes, reads and makes its processes.
//!
//! criu is a child of the caller for the time of one operation, started through the init stub like
//! every other program, and spoken to over a socketpair in the messages of its `images/rpc.proto`
//! ([`message`], in the encoding of [`wire`]). What belongs to the host and not to the container is
//! *external* to criu ([`external`]): bind mounts, joined namespaces, standard descriptors.

mod dump;
mod external;
mod log;
mod message;
mod options;
mod restore;
mod service;
mod wire;

pub use options::{CgroupsMode, CheckpointOptions, Criu, NetworkLock, PageServer, RestoreOptions};
pub(super) use restore::restore;

use super::Runtime;
use crate::bundle::annotations::{Annotations, CRIU_CONFIG};
use crate::container::trust;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The file of criu's options, which win over those of a request.
///
/// # Errors
/// That the container names another one, and the caller does not allow it.
fn config_file(runtime: &Runtime, criu: &Criu, annotations: &Annotations) -> Result<Option<String>> {
    Ok(match annotations.guarded(&CRIU_CONFIG, runtime.permissions())? {
        Some(file) => Some(file.to_owned()).filter(|file| !file.is_empty()),
        None => criu.config.as_ref().map(|file| file.display().to_string()),
    })
}

/// Opens a directory of the caller's, an absolute path. criu follows every link in it, and believes what it reads.
fn open_directory(path: &Path, what: &'static str) -> Result<OwnedFd> {
    super::handoff::require_absolute(path, what)?;
    let opened = sys::fs::cstring(path)
        .and_then(|path| sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0))
        .map_err(|e| Error::sys(Phase::Lifecycle, "open", e).on(format!("{what} {}", path.display())))?;
    trust::require(&opened, Phase::Lifecycle, what, path)?;
    Ok(opened)
}

/// Makes a directory, with its parents, for its owner alone.
fn make_directory(path: &Path, what: &'static str) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    super::handoff::require_absolute(path, what)?;
    let done = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    match done.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))) {
        // If it is not a directory, or cannot be looked at, opening it says so.
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(Error::sys(Phase::Lifecycle, "mkdir", e).on(format!("{what} {}", path.display()))),
    }
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Lifecycle, what.into())
}
