//! The state root: the directory that has a subdirectory for each container.

use crate::container::id;
use crate::container::trusted_directory::{self, WritableBy};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The path of a state root, and how the calling process uses it.
#[derive(Debug)]
pub(crate) struct StateRoot {
    pub(crate) path: PathBuf,
    /// The calling process performs one operation at a time and does nothing else: see [`Runtime::dedicated_process`].
    ///
    /// [`Runtime::dedicated_process`]: crate::container::Runtime::dedicated_process
    pub(crate) dedicated: bool,
}

/// A state root that is open and trusted.
#[derive(Debug)]
pub(crate) struct OpenStateRoot {
    pub(super) fd: OwnedFd,
    pub(super) writable_by: WritableBy,
}

impl StateRoot {
    /// The state root at this path. The directory is created with the first container.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        if path.is_absolute() {
            return Ok(Self { path, dedicated: false });
        }
        Err(Error::new(ErrorKind::InvalidArgument, Phase::State, "state root must be an absolute path")
            .on(format!("{}", path.display())))
    }

    /// Opens the directory; `None` if it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Untrusted`].
    pub(super) fn open(&self) -> Result<Option<OpenStateRoot>> {
        let path = sys::fs::cstring(&self.path).map_err(|e| self.error("open", e))?;
        match sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
            Ok(fd) => {
                let writable_by = trusted_directory::check(&fd, Phase::State, "state root", &self.path)?;
                Ok(Some(OpenStateRoot { fd, writable_by }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.error("open", e)),
        }
    }

    /// Opens the directory; it and its parents are created if they are missing.
    pub(super) fn open_or_create(&self) -> Result<OpenStateRoot> {
        if let Some(opened) = self.open()? {
            return Ok(opened);
        }
        // Other users may need to pass through the parents; the root itself is for its owner alone.
        let create = |part: &Path| -> Result<(), Errno> {
            let mode = if part == self.path { 0o700 } else { 0o711 };
            sys::fs::mkdirat(sys::fs::cwd(), &sys::fs::cstring(part)?, mode)
        };
        let mut missing: Vec<&Path> = Vec::new();
        for part in self.path.ancestors() {
            match create(part) {
                Ok(()) | Err(Errno::EEXIST) => break,
                Err(Errno::ENOENT) => missing.push(part),
                Err(e) => return Err(self.error("mkdir", e)),
            }
        }
        for part in missing.into_iter().rev() {
            match create(part) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(self.error("mkdir", e)),
            }
        }
        self.open()?.ok_or_else(|| self.error("open", Errno::ENOENT))
    }

    /// The ids of all containers, sorted, with the open root; `None` if the root does not exist.
    pub(crate) fn scan(&self) -> Result<Option<(Arc<OpenStateRoot>, Vec<String>)>> {
        let Some(root) = self.open()? else { return Ok(None) };
        let again = sys::fs::openat(&root.fd, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .map_err(|e| self.error("open", e))?;
        let mut ids: Vec<String> = entry_names(again)
            .map_err(|e| self.error("read directory", e))?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .filter(|name| id::validate(name).is_ok())
            .collect();
        ids.sort_unstable();
        Ok(Some((Arc::new(root), ids)))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::sys(Phase::State, operation, errno).on(format!("state root {}", self.path.display()))
    }
}

/// The names in a directory, except `.` and `..`.
pub(super) fn entry_names(fd: OwnedFd) -> Result<Vec<std::ffi::OsString>, Errno> {
    use std::os::unix::ffi::OsStringExt;
    let mut directory = nix::dir::Dir::from_fd(fd)?;
    let mut out = Vec::new();
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            out.push(std::ffi::OsString::from_vec(name.to_vec()));
        }
    }
    Ok(out)
}
