//! What is kept of a container between commands: a directory named by its id, held as a descriptor.
//!
//! | file | written | holds |
//! | --- | --- | --- |
//! | `state.json` | before the first resource is made, then extended at each change of phase | [`Record`]s, the last of which counts, and the configuration as it was read |
//! | `start.sock` | by the launcher | the waiting init process listens here for `start` |
//! | `helpers` | by operations | which processes act for them, see [`helpers`] |
//!
//! Every prefix of that sequence means something. No `state.json`, or a part of one record: nothing
//! else was made yet. A record without a process: a `create` is under way as long as somebody holds
//! the directory's lock, and was cut short if nobody does. See [`journal`].

mod kept;
mod record;

use record::FORMAT;
pub(crate) use record::{Record, Stage};

use super::lock::Lock;
use super::trust::{self, Entries};
use super::{helpers, journal};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::Deserialize;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const STATE: &CStr = c"state.json";
const START: &CStr = c"start.sock";
const START_NAME: &str = "start.sock";

/// The directory below which every container has one of its own.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    /// The calling process does one operation at a time and nothing else: see [`Runtime::dedicated_process`].
    ///
    /// [`Runtime::dedicated_process`]: super::Runtime::dedicated_process
    pub(crate) dedicated: bool,
}

/// A state root that is open, and trusted.
#[derive(Debug)]
pub(crate) struct Opened {
    fd: OwnedFd,
    entries: Entries,
}

impl Root {
    /// Names the directory, which is made with the first container.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        if path.is_absolute() {
            return Ok(Self { path, dedicated: false });
        }
        Err(Error::new(ErrorKind::InvalidArgument, Phase::State, "state root must be an absolute path")
            .on(format!("{}", path.display())))
    }

    /// Opens the directory; `None` where it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Untrusted`].
    fn open(&self) -> Result<Option<Opened>> {
        let path = sys::fs::cstring(&self.path).map_err(|e| self.error("open", e))?;
        match sys::fs::openat(sys::fs::cwd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
            Ok(fd) => {
                let entries = trust::look(&fd, Phase::State, "state root", &self.path)?;
                Ok(Some(Opened { fd, entries }))
            }
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.error("open", e)),
        }
    }

    /// Opens the directory, making it and its parents where they are missing.
    fn open_or_make(&self) -> Result<Opened> {
        if let Some(opened) = self.open()? {
            return Ok(opened);
        }
        // The parents may be on the way to something else; what is in the root is its owner's alone.
        let make = |part: &Path| -> Result<(), Errno> {
            let mode = if part == self.path { 0o700 } else { 0o711 };
            sys::fs::mkdirat(sys::fs::cwd(), &sys::fs::cstring(part)?, mode)
        };
        let mut missing: Vec<&Path> = Vec::new();
        for part in self.path.ancestors() {
            match make(part) {
                Ok(()) | Err(Errno::EEXIST) => break,
                Err(Errno::ENOENT) => missing.push(part),
                Err(e) => return Err(self.error("mkdir", e)),
            }
        }
        for part in missing.into_iter().rev() {
            match make(part) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(self.error("mkdir", e)),
            }
        }
        self.open()?.ok_or_else(|| self.error("open", Errno::ENOENT))
    }

    /// The record of a container by its id below the opened root, where nothing is peculiar about it: it
    /// was neither removed meanwhile nor is it being made, and can be read.
    /// `buffer` is for what is read, and any.
    pub(crate) fn glance(root: &Opened, id: &str, buffer: &mut Vec<u8>) -> Option<Record> {
        if root.entries == Entries::OfOthersToo {
            return None; // Each directory is looked at.
        }
        let path = CString::new(format!("{id}/state.json")).ok()?;
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
        let journal = sys::fs::openat2(&root.fd, &path, libc::O_RDONLY, 0, resolve).ok()?;
        let bytes = journal::record_of(journal, buffer).ok()??;
        parse::<Record>(bytes).ok().filter(|record| record.format == FORMAT)
    }

    /// Opens the directory of a container that [`scan`](Self::scan) has found, if it is one and still there.
    pub(crate) fn directory(root: &Arc<Opened>, id: &str) -> Result<Option<Directory>> {
        let name = CString::new(id).map_err(|_| state_error("open", Errno::EINVAL, id))?;
        Directory::at(Arc::clone(root), name, id, false)
    }

    /// The ids of all containers, sorted, with the directory that they are in.
    pub(crate) fn scan(&self) -> Result<Option<(Arc<Opened>, Vec<String>)>> {
        let Some(root) = self.open()? else { return Ok(None) };
        let again = sys::fs::openat(&root.fd, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .map_err(|e| self.error("open", e))?;
        let mut ids: Vec<String> = names(again)
            .map_err(|e| self.error("read directory", e))?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .filter(|name| super::id::validate(name).is_ok())
            .collect();
        ids.sort_unstable();
        Ok(Some((Arc::new(root), ids)))
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        Error::sys(Phase::State, operation, errno).on(format!("state root {}", self.path.display()))
    }
}

/// A container's state directory.
#[derive(Debug)]
pub(crate) struct Directory {
    id: String,
    name: CString,
    root: Arc<Opened>,
    fd: OwnedFd,
    dedicated: bool,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Makes the directory of a new container and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] where the id is taken.
    pub(crate) fn create(root: &Root, id: &str) -> Result<(Self, Lock)> {
        super::id::validate(id)?;
        let name = CString::new(id).map_err(|_| state_error("mkdir", Errno::EINVAL, id))?;
        let opened = root.open_or_make()?;
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
        Self::claim(root, Arc::clone(&opened), name.clone(), id).inspect_err(|_| {
            // Nothing is in it yet. That it was in the way is worse than that it stays: the error is the first one.
            let _ = sys::fs::unlinkat(&opened.fd, &name, libc::AT_REMOVEDIR);
        })
    }

    /// Opens and locks a directory that was just made.
    fn claim(root: &Root, opened: Arc<Opened>, name: CString, id: &str) -> Result<(Self, Lock)> {
        let directory = Self::at(opened, name, id, root.dedicated)?.ok_or_else(|| removed(id))?;
        // Another command may have found the empty directory, and hold its lock to look into it or to
        // remove it: in the latter case the first file cannot be made any more.
        let lock = Lock::take(&directory.fd, id, root.dedicated)?;
        Ok((directory, lock))
    }

    /// Opens the directory of an existing container.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub(crate) fn open(root: &Root, id: &str) -> Result<Self> {
        super::id::validate(id)?;
        let name = CString::new(id).map_err(|_| state_error("open", Errno::EINVAL, id))?;
        match root.open()? {
            Some(opened) => {
                Self::at(Arc::new(opened), name, id, root.dedicated)?.ok_or_else(|| not_found(id))
            }
            None => Err(not_found(id)),
        }
    }

    fn at(root: Arc<Opened>, name: CString, id: &str, dedicated: bool) -> Result<Option<Self>> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match sys::fs::openat(&root.fd, &name, flags, 0) {
            Ok(fd) => {
                // In a root that only its owner writes to, the owner made it.
                if root.entries == Entries::OfOthersToo {
                    trust::require(&fd, Phase::State, "state directory of container", Path::new(id))?;
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

    /// Locks the directory for one operation, waiting a little while another one is under way.
    pub(crate) fn lock(&self) -> Result<Lock> {
        Lock::take(&self.fd, &self.id, self.dedicated)
    }

    /// Whether the calling process may be killed for a lock that it holds.
    pub(super) fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// Whether another operation is under way.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        Lock::is_held(&self.fd, &self.id)
    }

    /// Writes the first record: what is about to be made. Not replaced atomically, as a part of it
    /// says the same as none of it: nothing has been made yet.
    pub(crate) fn write_first(&self, record: &Record) -> Result<()> {
        let entry = journal::record_entry(encode(record)?);
        sys::fs::create_at(&self.fd, STATE, &entry, 0o600).map_err(|e| {
            if e == Errno::ENOENT { removed(&self.id) } else { self.error("write state.json", e) }
        })
    }

    /// Adds the record that counts from now on.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        self.append(&journal::record_entry(encode(record)?))
    }

    fn append(&self, entry: &[u8]) -> Result<()> {
        let flags = libc::O_RDWR | libc::O_APPEND;
        let written = sys::fs::openat(&self.fd, STATE, flags, 0).and_then(|fd| {
            let length = self.complete_length(&fd)?;
            sys::fs::write_all(&fd, entry).inspect_err(|_| {
                // A part of an entry would spoil the next one.
                let _ = nix::unistd::ftruncate(&fd, length);
            })
        });
        written.map_err(|e| self.error("write state.json", e))
    }

    /// How long the journal is, from which the part of an entry is taken that a killed command has left.
    fn complete_length(&self, fd: &OwnedFd) -> Result<libc::off_t, Errno> {
        let length = nix::sys::stat::fstat(fd)?.st_size;
        let mut last = *b"\n";
        if length > 0 {
            sys::retry(|| nix::sys::uio::pread(fd, &mut last, length - 1))?;
        }
        if last == *b"\n" {
            return Ok(length);
        }
        let length = journal::complete(&self.journal()?) as libc::off_t;
        sys::retry(|| nix::unistd::ftruncate(fd, length))?;
        Ok(length)
    }

    /// Reads the record; `None` where there is none yet, or a part of the first one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the container was deleted meanwhile, [`ErrorKind::Corrupt`]
    /// where the record is of another format.
    pub(crate) fn read(&self) -> Result<Option<Record>> {
        let mut buffer = Vec::new();
        let found = sys::fs::openat(&self.fd, STATE, libc::O_RDONLY, 0)
            .and_then(|file| journal::record_of(file, &mut buffer));
        match self.found(found)?.flatten() {
            Some(bytes) => self.decode(bytes),
            None => Ok(None),
        }
    }

    fn journal(&self) -> Result<Vec<u8>, Errno> {
        sys::fs::read_regular(sys::fs::openat(&self.fd, STATE, libc::O_RDONLY, 0)?)
    }

    /// What was read of the journal; `None` where there is none yet.
    fn found<T>(&self, read: Result<T, Errno>) -> Result<Option<T>> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(Errno::ENOENT) if self.is_removed()? => Err(not_found(&self.id)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.error("read state.json", e)),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Option<Record>> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        match parse::<Record>(bytes) {
            Ok(record) if record.format == FORMAT => {
                let in_memory = sys::fs::is_in_memory(&self.fd).map_err(|e| self.error("fstatfs", e))?;
                return Ok(Some(Record { in_memory, ..record }));
            }
            Err(e) if e.is_eof() => return Ok(None),
            _ => {}
        }
        let why = match parse::<Format>(bytes) {
            Ok(Format { format }) if format != FORMAT => {
                format!("it has format {format}, this version reads format {FORMAT}")
            }
            _ => "it is not what this version writes".to_owned(),
        };
        Err(Error::new(ErrorKind::Corrupt, Phase::State, "cannot read state.json of container")
            .on(self.id.as_str())
            .with_detail(why)
            .with_hint("delete --force removes the container"))
    }

    /// The socket on which the waiting init process will listen for `start`.
    pub(crate) fn listen_for_start(&self) -> Result<OwnedFd> {
        sys::unix::listen_at(&self.fd, START_NAME).map_err(|e| self.error("listen on start.sock", e))
    }

    /// Calls the waiting init process; `None` where nobody listens any more.
    pub(crate) fn call_start(&self) -> Result<Option<OwnedFd>> {
        match sys::unix::connect_at(&self.fd, START_NAME) {
            Ok(sock) => Ok(Some(sock)),
            Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(None),
            Err(e) => Err(self.error("connect to start.sock", e)),
        }
    }

    /// Removes the directory with all that is in it, the record last.
    pub(crate) fn remove(&self, _lock: &Lock) -> Result<()> {
        if self.is_removed()? {
            return Ok(()); // Its name may be another container's by now.
        }
        let gone = |r: Result<(), Errno>| matches!(r, Ok(()) | Err(Errno::ENOENT));
        if gone(sys::fs::unlinkat(&self.fd, START, 0))
            && gone(sys::fs::unlinkat(&self.fd, helpers::FILE, 0))
            && gone(sys::fs::unlinkat(&self.fd, STATE, 0))
            && gone(sys::fs::unlinkat(&self.root.fd, &self.name, libc::AT_REMOVEDIR))
        {
            return Ok(());
        }
        // Something else is in it: a socket, or what a killed command left.
        self.forget_notify()?;
        let fd = sys::fs::openat(&self.fd, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .map_err(|e| self.error("open", e))?;
        for name in names(fd).map_err(|e| self.error("read directory", e))? {
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

    /// Whether the directory has been removed while it was held open.
    pub(crate) fn is_removed(&self) -> Result<bool> {
        match nix::sys::stat::fstat(&self.fd) {
            Ok(stat) => Ok(stat.st_nlink == 0),
            Err(e) => Err(self.error("stat", e)),
        }
    }

    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        state_error(operation, errno, &self.id)
    }
}

/// Text is looked at once as a whole, which is faster than each word of it for itself.
fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(json) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(json),
    }
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|e| cannot_encode(&e))
}

fn cannot_encode(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::System, Phase::State, "encode state.json").with_detail(e.to_string())
}

/// The names in a directory, but `.` and `..`.
fn names(fd: OwnedFd) -> Result<Vec<std::ffi::OsString>, Errno> {
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

pub(super) fn state_error(operation: &'static str, errno: Errno, id: &str) -> Error {
    Error::sys(Phase::State, operation, errno).on(format!("state of container {id}"))
}

/// The text which callers match on.
pub(crate) fn not_found(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, Phase::State, "container does not exist").on(id)
}

fn removed(id: &str) -> Error {
    Error::new(ErrorKind::Busy, Phase::State, "container was deleted while it was being created").on(id)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
