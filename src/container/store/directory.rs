//! The state directory of a container, and the records in its journal.

use super::error::{cannot_encode, not_found, removed, state_error};
use super::lock::OperationLock;
use super::record::{FORMAT, StateRecord};
use super::root::{OpenStateRoot, StateRoot, entry_names};
use super::{helper_processes, journal, sockets};
use crate::container::id;
use crate::container::trusted_directory::{self, WritableBy};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::Deserialize;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A container's state directory.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    id: String,
    name: CString,
    root: Arc<OpenStateRoot>,
    fd: OwnedFd,
    dedicated: bool,
}

impl AsFd for StateDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl StateDirectory {
    /// Creates the directory of a new container and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the id is taken.
    pub(crate) fn create(root: &StateRoot, id: &str) -> Result<(Self, OperationLock)> {
        id::validate(id)?;
        let name = CString::new(id).map_err(|_| state_error("mkdir", Errno::EINVAL, id))?;
        let opened = root.open_or_create()?;
        match sys::fs::mkdirat(&opened.fd, &name, 0o700) {
            Ok(()) => {}
            Err(Errno::EEXIST) => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    Phase::State,
                    "container with given ID already exists",
                )
                .on(id));
            }
            Err(e) => return Err(state_error("mkdir", e, id)),
        }
        let opened = Arc::new(opened);
        Self::open_and_lock(root, Arc::clone(&opened), name.clone(), id).inspect_err(|_| {
            // It is still empty. A failure to remove it matters less than the first error.
            let _ = sys::fs::unlinkat(&opened.fd, &name, libc::AT_REMOVEDIR);
        })
    }

    /// Opens and locks a directory that was just created.
    fn open_and_lock(
        root: &StateRoot,
        opened: Arc<OpenStateRoot>,
        name: CString,
        id: &str,
    ) -> Result<(Self, OperationLock)> {
        let directory = Self::open_at(opened, name, id, root.dedicated)?.ok_or_else(|| removed(id))?;
        // Another command may have found the empty directory and hold its lock, to read it or to remove it. If it removes
        // it, the first record cannot be created later.
        let lock = OperationLock::take(&directory.fd, id, root.dedicated)?;
        Ok((directory, lock))
    }

    /// Opens the directory of an existing container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub(crate) fn open(root: &StateRoot, id: &str) -> Result<Self> {
        id::validate(id)?;
        let name = CString::new(id).map_err(|_| state_error("open", Errno::EINVAL, id))?;
        match root.open()? {
            Some(opened) => {
                Self::open_at(Arc::new(opened), name, id, root.dedicated)?.ok_or_else(|| not_found(id))
            }
            None => Err(not_found(id)),
        }
    }

    /// Opens the directory of a container that [`StateRoot::scan`] has found; `None` if it is not a directory or does not
    /// exist any more.
    pub(crate) fn open_found(root: &Arc<OpenStateRoot>, id: &str) -> Result<Option<Self>> {
        let name = CString::new(id).map_err(|_| state_error("open", Errno::EINVAL, id))?;
        Self::open_at(Arc::clone(root), name, id, false)
    }

    fn open_at(root: Arc<OpenStateRoot>, name: CString, id: &str, dedicated: bool) -> Result<Option<Self>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match sys::fs::openat(&root.fd, &name, flags, 0) {
            Ok(fd) => {
                // If only the owner of the root can write to it, the owner has created this directory.
                if root.writable_by == WritableBy::Others {
                    trusted_directory::require(
                        &fd,
                        Phase::State,
                        "state directory of container",
                        Path::new(id),
                    )?;
                }
                Ok(Some(Self { id: id.to_owned(), name, root, fd, dedicated }))
            }
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(state_error("open", e, id)),
        }
    }

    /// The container's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Locks the directory for one operation; waits for a limited time if another operation is under way.
    pub(crate) fn lock(&self) -> Result<OperationLock> {
        OperationLock::take(&self.fd, &self.id, self.dedicated)
    }

    /// As [`lock`](Self::lock), but without waiting; `None` if another operation is under way.
    pub(crate) fn try_lock(&self) -> Result<Option<OperationLock>> {
        OperationLock::try_take(&self.fd, &self.id, self.dedicated)
    }

    /// Whether an operation is under way.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        OperationLock::is_taken(&self.fd, &self.id)
    }

    /// Writes the first record: what is about to be created. It need not be atomic, because an incomplete record means the
    /// same as none: nothing has been created yet.
    pub(crate) fn write_first(&self, record: &StateRecord) -> Result<()> {
        let entry = journal::record_entry(encode(record)?);
        sys::fs::create_at(&self.fd, journal::FILE, &entry, 0o600)
            .map_err(|e| if e == Errno::ENOENT { removed(&self.id) } else { self.error("write journal", e) })
    }

    /// Adds a record, which counts from now on.
    pub(crate) fn write(&self, record: &StateRecord) -> Result<()> {
        self.append(&journal::record_entry(encode(record)?))
    }

    /// Appends an entry to the journal.
    pub(super) fn append(&self, entry: &[u8]) -> Result<()> {
        let flags = libc::O_RDWR | libc::O_APPEND;
        let written = sys::fs::openat(&self.fd, journal::FILE, flags, 0).and_then(|fd| {
            let length = self.truncate_to_complete_entries(&fd)?;
            sys::fs::write_all(&fd, entry).inspect_err(|_| {
                // A partial entry would spoil the next one.
                let _ = nix::unistd::ftruncate(&fd, length);
            })
        });
        written.map_err(|e| self.error("write journal", e))
    }

    /// Removes the partial entry that a killed command may have left at the end of the journal; returns the length.
    fn truncate_to_complete_entries(&self, fd: &OwnedFd) -> Result<libc::off_t, Errno> {
        let length = nix::sys::stat::fstat(fd)?.st_size;
        let mut last = *b"\n";
        if length > 0 {
            sys::retry(|| nix::sys::uio::pread(fd, &mut last, length - 1))?;
        }
        if last == *b"\n" {
            return Ok(length);
        }
        let length = journal::complete_length(&self.read_journal()?) as libc::off_t;
        sys::retry(|| nix::unistd::ftruncate(fd, length))?;
        Ok(length)
    }

    /// Replaces the whole journal.
    pub(super) fn replace_journal(&self, content: &[u8]) -> Result<()> {
        sys::fs::replace_at(&self.fd, journal::FILE, content, 0o600)
            .map_err(|e| self.error("write journal", e))
    }

    /// Reads the record; `None` if there is none yet, or only an incomplete one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the container was deleted in the meantime, [`ErrorKind::Corrupt`] if the record has
    /// another format.
    pub(crate) fn read(&self) -> Result<Option<StateRecord>> {
        let mut buffer = Vec::new();
        let bytes = sys::fs::openat(&self.fd, journal::FILE, libc::O_RDONLY, 0)
            .and_then(|file| journal::read_record(file, &mut buffer));
        match self.none_if_missing(bytes)?.flatten() {
            Some(bytes) => self.decode(bytes),
            None => Ok(None),
        }
    }

    /// The whole journal.
    pub(super) fn read_journal(&self) -> Result<Vec<u8>, Errno> {
        sys::fs::read_regular(sys::fs::openat(&self.fd, journal::FILE, libc::O_RDONLY, 0)?)
    }

    /// `None` if the journal does not exist yet.
    pub(super) fn none_if_missing<T>(&self, read: Result<T, Errno>) -> Result<Option<T>> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) if self.is_removed()? => Err(not_found(&self.id)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.error("read journal", e)),
        }
    }

    /// Decodes a record; `None` if it is incomplete.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Option<StateRecord>> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        match parse::<StateRecord>(bytes) {
            Ok(record) if record.format == FORMAT => {
                let in_memory = sys::fs::is_in_memory(&self.fd).map_err(|e| self.error("fstatfs", e))?;
                return Ok(Some(StateRecord { in_memory, ..record }));
            }
            Err(e) if e.is_eof() => return Ok(None),
            _ => {}
        }
        let why = match parse::<Format>(bytes) {
            Ok(Format { format }) if format != FORMAT => {
                format!("it has format {format}, this version reads format {FORMAT}")
            }
            _ => "unrecognised format".to_owned(),
        };
        Err(Error::new(ErrorKind::Corrupt, Phase::State, "cannot read journal of container")
            .on(self.id.as_str())
            .with_detail(why)
            .with_hint("delete --force removes the container"))
    }

    /// Removes the directory with everything in it, the journal last.
    pub(crate) fn remove(&self, _lock: &OperationLock) -> Result<()> {
        if self.is_removed()? {
            return Ok(()); // Another container may have its name by now.
        }
        let gone = |r: Result<(), Errno>| matches!(r, Ok(()) | Err(Errno::ENOENT));
        if gone(sys::fs::unlinkat(&self.fd, sockets::START_SOCKET, 0))
            && gone(sys::fs::unlinkat(&self.fd, helper_processes::FILE, 0))
            && gone(sys::fs::unlinkat(&self.fd, journal::FILE, 0))
            && gone(sys::fs::unlinkat(&self.root.fd, &self.name, libc::AT_REMOVEDIR))
        {
            return Ok(());
        }
        // It contains something else: the notify directory, or what a killed command has left.
        sockets::remove_notify_socket(self, &self.id)?;
        let fd = sys::fs::openat(&self.fd, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .map_err(|e| self.error("open", e))?;
        for name in entry_names(fd).map_err(|e| self.error("read directory", e))? {
            let name = sys::fs::cstring(Path::new(&name)).map_err(|e| self.error("unlink", e))?;
            match sys::fs::unlinkat(&self.fd, &name, 0) {
                Err(Errno::EISDIR) => sys::fs::unlinkat(&self.fd, &name, libc::AT_REMOVEDIR),
                other => other,
            }
            .or_else(|e| if e == Errno::ENOENT { Ok(()) } else { Err(self.error("unlink", e)) })?;
        }
        match sys::fs::unlinkat(&self.root.fd, &self.name, libc::AT_REMOVEDIR) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(self.error("rmdir", e)),
        }
    }

    /// Whether the directory has been removed while it was open.
    pub(crate) fn is_removed(&self) -> Result<bool> {
        match nix::sys::stat::fstat(&self.fd) {
            Ok(stat) => Ok(stat.st_nlink == 0),
            Err(e) => Err(self.error("stat", e)),
        }
    }

    pub(super) fn error(&self, operation: &'static str, errno: Errno) -> Error {
        state_error(operation, errno, &self.id)
    }
}

/// The record of the container with this id, read without opening its directory; `None` in every unusual case: the root
/// is shared with other users, the container is being created or removed, or the record cannot be read. `buffer` may have
/// any content.
pub(crate) fn read_ordinary_record(
    root: &OpenStateRoot,
    id: &str,
    buffer: &mut Vec<u8>,
) -> Option<StateRecord> {
    if root.writable_by == WritableBy::Others {
        return None; // The directory itself has to be checked.
    }
    let path = CString::new([id.as_bytes(), b"/", journal::FILE.to_bytes()].concat()).ok()?;
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    let file = sys::fs::openat2(&root.fd, &path, libc::O_RDONLY, 0, resolve).ok()?;
    let bytes = journal::read_record(file, buffer).ok()??;
    parse::<StateRecord>(bytes).ok().filter(|record| record.format == FORMAT)
}

/// Validates UTF-8 once for the whole text, which is faster than for each string.
fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(json),
    }
}

pub(super) fn encode(record: &StateRecord) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|e| cannot_encode(&e))
}
