//! Opening a namespace in order to join it.

use super::kind::NamespaceKind;
use crate::sys::{fs, userns};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where a namespace comes from.
#[derive(Debug)]
pub enum NamespaceSource {
    /// It is created.
    New,
    /// The namespace of this file (`/proc/<pid>/ns/net`, or a bind mount of it), an absolute path.
    Path(PathBuf),
    /// The namespace of this process.
    Pidfd(OwnedFd),
}

/// A namespace that was opened in order to be joined.
#[derive(Debug)]
pub struct OpenNamespace {
    /// Its type.
    pub kind: NamespaceKind,
    /// A namespace file, or a pidfd: setns(2) with the flag of `kind` accepts both.
    pub fd: OwnedFd,
    /// The JSON pointer of the entry; empty if it was not read from a configuration.
    pub pointer: String,
}

/// Opens a namespace to join, and checks that it is of this kind.
pub(super) fn open(kind: NamespaceKind, source: &NamespaceSource, pointer: &str) -> Result<OpenNamespace> {
    let fd = match source {
        NamespaceSource::New => return Err(Error::sys(Phase::Namespace, "open a namespace", Errno::EINVAL)),
        NamespaceSource::Pidfd(fd) => duplicate(fd.as_fd())
            .map_err(|e| Error::sys(Phase::Namespace, "duplicate a pidfd", e).on(kind.name()))?,
        NamespaceSource::Path(path) => open_file(kind, path).map_err(|e| {
            let e = e.on(path.display().to_string());
            if pointer.is_empty() { e } else { e.with_pointer(format!("{pointer}/path")) }
        })?,
    };
    Ok(OpenNamespace { kind, fd, pointer: pointer.to_owned() })
}

fn open_file(kind: NamespaceKind, path: &Path) -> Result<OwnedFd> {
    let failed = |e| Error::sys(Phase::Namespace, "open namespace", e);
    let name = fs::cstring(path).map_err(failed)?;
    if !path.is_absolute() {
        let e = Error::new(ErrorKind::InvalidArgument, Phase::Namespace, "open namespace");
        return Err(e.with_detail("not an absolute path"));
    }
    // O_NONBLOCK keeps open(2) from waiting if the file is a FIFO or a device.
    let fd = fs::openat(fs::cwd(), &name, libc::O_RDONLY | libc::O_NONBLOCK, 0).map_err(failed)?;
    check_kind(&fd, kind)?;
    Ok(fd)
}

fn check_kind(fd: &OwnedFd, kind: NamespaceKind) -> Result<()> {
    let found = userns::namespace_type(fd);
    if found == Ok(kind.flag() as i32) {
        return Ok(());
    }
    let detail = match found {
        Ok(flag) => match NamespaceKind::from_flag(flag as u64) {
            Some(other) => {
                format!("is {} {other} namespace, not {} {kind} namespace", other.article(), kind.article())
            }
            None => format!("is not {} {kind} namespace", kind.article()),
        },
        Err(_) => "is not a namespace file".to_owned(),
    };
    Err(Error::new(ErrorKind::InvalidConfig, Phase::Namespace, "open namespace").with_detail(detail))
}

fn duplicate(fd: BorrowedFd<'_>) -> std::result::Result<OwnedFd, Errno> {
    fd.try_clone_to_owned().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EBADF)))
}

/// Whether an open namespace is that of the caller, or that of PID 1 in the caller's pid namespace.
///
/// # Errors
/// If the caller's own namespace cannot be examined.
pub(crate) fn is_of_host(kind: NamespaceKind, namespace: impl AsFd) -> Result<bool> {
    let failed = |e| Error::sys(Phase::Namespace, "stat namespace", e).on(kind.name());
    let identity = |stat: nix::sys::stat::FileStat| (stat.st_dev, stat.st_ino);
    let joined = nix::sys::stat::fstat(namespace).map(identity).map_err(failed)?;
    let namespace_of = |process: &str| {
        let path = format!("/proc/{process}/ns/{}", kind.file());
        nix::sys::stat::stat(path.as_str()).map(identity)
    };
    if namespace_of("self").map_err(failed)? == joined {
        return Ok(true);
    }
    match namespace_of("1") {
        Ok(first) => Ok(first == joined),
        // PID 1 is another user's process, or hidden.
        Err(Errno::EACCES | Errno::ENOENT | Errno::EPERM) => Ok(false),
        Err(e) => Err(failed(e)),
    }
}
