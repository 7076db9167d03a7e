//! Open directories of cgroup file systems, and their files.
//!
//! Opening a [`Dir`] verifies the file system and rejects symbolic links. Everything below it is opened relative to its
//! descriptor. Each access to a file opens it, reads or writes once, and closes it.

use super::file::{file_name, is_gone_errno, is_missing, missing_if_directory, parse_number, write_once};
use crate::sys::fs as sysfs;
use crate::{Error, ErrorKind, Phase, Result};
use nix::dir::{Dir as Listing, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const OPEN_DIRECTORY: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
/// `RDTGROUP_SUPER_MAGIC` of `linux/magic.h`.
const RESCTRL_MAGIC: FsType = FsType(0x0765_5821);

/// The file system on which a directory must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    /// Cgroup v1 or cgroup2.
    Cgroup,
    /// Resctrl.
    Resctrl,
}

impl FileSystem {
    fn matches(self, magic: FsType) -> bool {
        // Unit tests use ordinary directories instead.
        cfg!(test)
            || match self {
                Self::Cgroup => magic == CGROUP_SUPER_MAGIC || magic == CGROUP2_SUPER_MAGIC,
                Self::Resctrl => magic == RESCTRL_MAGIC,
            }
    }

    /// The message for a directory on another file system.
    const fn mismatch(self) -> &'static str {
        match self {
            Self::Cgroup => "not a cgroup file system",
            Self::Resctrl => "not a resctrl file system",
        }
    }
}

/// An open directory of a cgroup file system.
#[derive(Debug)]
pub(super) struct Dir {
    fd: OwnedFd,
    /// For messages, and to record where a cgroup was found.
    path: PathBuf,
    can_rename: bool,
}

/// A borrowed [`Dir`].
#[derive(Clone, Copy, Debug)]
pub(super) struct DirRef<'a> {
    fd: BorrowedFd<'a>,
    path: &'a Path,
    can_rename: bool,
}

impl Dir {
    /// Opens a cgroup's directory.
    ///
    /// # Errors
    /// If openat2(2) fails, or the directory is on another file system.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::open_on(FileSystem::Cgroup, path)
    }

    /// [`Dir::open`]; `None` if the directory does not exist.
    pub(super) fn open_if_exists(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// [`Dir::open`] for a given file system.
    pub(super) fn open_on(system: FileSystem, path: &Path) -> Result<Self> {
        let fd = open_path(path, OPEN_DIRECTORY).map_err(|e| failed("open", path, "", e))?;
        let magic = verify_file_system(&fd, system, path)?;
        Ok(Self { fd, path: path.to_owned(), can_rename: magic != CGROUP2_SUPER_MAGIC })
    }

    /// The directory, for operations relative to it.
    pub(super) fn at(&self) -> DirRef<'_> {
        DirRef { fd: self.fd.as_fd(), path: &self.path, can_rename: self.can_rename }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

/// Opens a single file of a cgroup, with one path lookup.
pub(super) fn open_file(directory: &Path, name: &str, flags: i32) -> Result<OwnedFd> {
    let path = directory.join(name);
    let fd = open_path(&path, flags).map_err(|e| failed("open", &path, "", e))?;
    verify_file_system(&fd, FileSystem::Cgroup, &path)?;
    Ok(fd)
}

/// Creates one directory by path; its parent must exist.
pub(super) fn mkdir(directory: &Path) -> Result<(), Errno> {
    sysfs::mkdirat(sysfs::cwd(), &sysfs::cstring(directory)?, 0o755)
}

/// Removes one empty directory by path.
pub(super) fn rmdir(directory: &Path) -> Result<(), Errno> {
    sysfs::unlinkat(sysfs::cwd(), &sysfs::cstring(directory)?, libc::AT_REMOVEDIR)
}

/// Whether the directory exists.
pub(super) fn exists(directory: &Path) -> Result<bool> {
    match nix::sys::stat::lstat(directory) {
        Ok(_) => Ok(true),
        Err(e) if is_gone_errno(e) => Ok(false),
        Err(e) => Err(failed("stat", directory, "", e)),
    }
}

/// Opens a path of any length. Fails if any component is a symbolic link.
fn open_path(path: &Path, flags: i32) -> Result<OwnedFd, Errno> {
    let mut rest = path.as_os_str().as_bytes();
    let mut from: Option<OwnedFd> = None;
    let at = |from: &Option<OwnedFd>, part: &[u8], flags| {
        let part = CString::new(part).map_err(|_| Errno::EINVAL)?;
        let base = from.as_ref().map_or(sysfs::cwd(), AsFd::as_fd);
        sysfs::openat2(base, &part, flags, 0, libc::RESOLVE_NO_SYMLINKS)
    };
    while rest.len() >= libc::PATH_MAX as usize {
        let head = &rest[..libc::PATH_MAX as usize];
        let end = head.iter().rposition(|b| *b == b'/').filter(|end| *end > 0).ok_or(Errno::ENAMETOOLONG)?;
        from = Some(at(&from, &rest[..end], libc::O_PATH | libc::O_DIRECTORY)?);
        rest = &rest[end..];
        rest = &rest[rest.iter().take_while(|b| **b == b'/').count()..];
    }
    at(&from, if rest.is_empty() { b"." } else { rest }, flags)
}

fn verify_file_system(fd: &OwnedFd, system: FileSystem, path: &Path) -> Result<FsType> {
    let magic = sysfs::file_system(fd).map_err(|e| failed("fstatfs", path, "", e))?;
    if system.matches(magic) {
        return Ok(magic);
    }
    Err(Error::new(ErrorKind::System, Phase::Cgroup, system.mismatch())
        .on(path.display().to_string())
        .with_hint("the file system may have been unmounted, or hidden by another mount"))
}

/// Whether the error means that the cgroup does not exist (any more).
pub(super) fn is_gone(error: &Error) -> bool {
    error.errno().is_some_and(is_gone_errno)
}

/// Whether the error is that the directory is on another file system.
pub(super) fn is_wrong_file_system(error: &Error) -> bool {
    error.errno().is_none()
}

/// An error on `directory/file`.
pub(super) fn failed(operation: &'static str, directory: &Path, file: &str, errno: Errno) -> Error {
    let path = if file.is_empty() { directory.to_owned() } else { directory.join(file) };
    Error::sys(Phase::Cgroup, operation, errno).on(shorten(&path))
}

/// A path for a message, without the middle if it is very long.
fn shorten(path: &Path) -> String {
    const ENDS: usize = 200;
    let text = path.display().to_string();
    let letters = text.chars().count();
    if letters <= 4 * ENDS {
        return text;
    }
    let begin: String = text.chars().take(ENDS).collect();
    let end: String = text.chars().skip(letters - ENDS).collect();
    format!("{begin}[... {} bytes ...]{end}", text.len() - begin.len() - end.len())
}

/// Identifies a directory independently of its name. Kernfs does not reuse inode numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirectoryId {
    device: u64,
    pub(super) inode: u64,
}

/// Metadata of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct DirStat {
    pub(super) id: DirectoryId,
    /// The number of subdirectories, if the file system counts them as links.
    pub(super) subdirectories: Option<u64>,
}

impl From<FileStat> for DirStat {
    fn from(stat: FileStat) -> Self {
        let id = DirectoryId { device: stat.st_dev, inode: stat.st_ino };
        #[allow(clippy::useless_conversion, reason = "u32 on some architectures")]
        let links = u64::from(stat.st_nlink);
        Self { id, subdirectories: links.checked_sub(2) }
    }
}

/// An entry of a directory that is itself a directory.
#[derive(Debug)]
pub(super) struct Subdirectory {
    pub(super) name: CString,
    pub(super) inode: u64,
}

impl<'a> DirRef<'a> {
    /// Another directory on the same mount.
    pub(super) fn on_same_mount(self, fd: BorrowedFd<'a>, path: &'a Path) -> Self {
        Self { fd, path, can_rename: self.can_rename }
    }

    pub(super) fn fd(self) -> BorrowedFd<'a> {
        self.fd
    }

    pub(super) fn path(self) -> &'a Path {
        self.path
    }

    /// Whether directories of this hierarchy can be renamed: only on v1, and only within their parent.
    pub(super) fn can_rename(self) -> bool {
        self.can_rename
    }

    /// An error on one of its files, or on the directory itself if `file` is empty.
    pub(super) fn failed(self, operation: &'static str, file: &str, errno: Errno) -> Error {
        failed(operation, self.path, file, errno)
    }

    pub(super) fn stat(self) -> Result<DirStat, Errno> {
        fstat(self.fd).map(DirStat::from)
    }

    /// Opens a subdirectory.
    pub(super) fn open_child(self, name: &CStr) -> Result<OwnedFd, Errno> {
        const RESOLVE: u64 = libc::RESOLVE_BENEATH
            | libc::RESOLVE_NO_SYMLINKS
            | libc::RESOLVE_NO_MAGICLINKS
            | libc::RESOLVE_NO_XDEV;
        sysfs::openat2(self.fd, name, OPEN_DIRECTORY, 0, RESOLVE)
    }

    /// Opens the parent. A cgroup never gets another parent, but the caller must check that this is the expected
    /// directory.
    pub(super) fn open_parent(self) -> Result<OwnedFd, Errno> {
        sysfs::openat2(self.fd, c"..", OPEN_DIRECTORY, 0, libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_XDEV)
    }

    /// Removes a subdirectory.
    pub(super) fn rmdir(self, name: &CStr) -> Result<(), Errno> {
        sysfs::unlinkat(self.fd, name, libc::AT_REMOVEDIR)
    }

    /// The subdirectories.
    pub(super) fn subdirectories(self) -> Result<Vec<Subdirectory>, Errno> {
        let mut found = Vec::new();
        self.for_each_entry(|name, inode, kind| {
            let directory = match kind {
                Some(kind) => kind == Type::Directory,
                None => match fstatat(self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                    Ok(stat) => stat.st_mode & libc::S_IFMT == libc::S_IFDIR,
                    Err(e) if is_gone_errno(e) => false,
                    Err(e) => return Err(e),
                },
            };
            if directory && name != c"." && name != c".." {
                found.push(Subdirectory { name: name.to_owned(), inode });
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The names of its files.
    pub(super) fn file_names(self) -> Result<Vec<String>, Errno> {
        let mut found = Vec::new();
        self.for_each_entry(|name, _, kind| {
            // The kernel names files in ASCII; only the names of directories are arbitrary.
            if kind != Some(Type::Directory)
                && let Ok(name) = name.to_str()
            {
                found.push(name.to_owned());
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn for_each_entry(
        self,
        mut one: impl FnMut(&CStr, u64, Option<Type>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Listing::openat(self.fd, c".", flags, Mode::empty())?;
        for entry in listing.iter() {
            let entry = entry?;
            one(entry.file_name(), entry.ino(), entry.file_type())?;
        }
        Ok(())
    }
}

/// The files of the directory.
impl DirRef<'_> {
    /// Opens a file.
    pub(super) fn open(self, file: &str, flags: i32) -> Result<OwnedFd, Errno> {
        sysfs::openat(self.fd, &file_name(file)?, flags | libc::O_NOFOLLOW, 0).map_err(missing_if_directory)
    }

    /// Opens a file that must exist.
    pub(super) fn require(self, file: &str, flags: i32) -> Result<OwnedFd> {
        self.open(file, flags).map_err(|e| self.failed("open", file, e))
    }

    /// Writes to a file.
    pub(super) fn write(self, file: &str, value: &[u8]) -> Result<(), Errno> {
        write_once(self.open(file, libc::O_WRONLY)?, value)
    }

    /// Writes to a file that must exist.
    pub(super) fn set(self, file: &str, value: &[u8]) -> Result<()> {
        self.write(file, value).map_err(|e| self.failed("write", file, e))
    }

    /// Reads a file.
    pub(super) fn read(self, file: &str) -> Result<Vec<u8>, Errno> {
        sysfs::read_all(self.open(file, libc::O_RDONLY)?, 64 << 20).map_err(missing_if_directory)
    }

    /// The file as text; `None` if it does not exist.
    pub(super) fn text(self, file: &str) -> Result<Option<String>> {
        match self.read(file) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(e) if is_missing(e) => Ok(None),
            Err(e) => Err(self.failed("read", file, e)),
        }
    }

    /// The number in the file; `None` if the file does not exist or has no number.
    pub(super) fn number(self, file: &str) -> Result<Option<u64>> {
        Ok(self.text(file)?.and_then(|t| parse_number(t.trim())))
    }

    /// Whether the file exists.
    pub(super) fn has(self, file: &str) -> Result<bool, Errno> {
        match fstatat(self.fd, file_name(file)?.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_mode & libc::S_IFMT == libc::S_IFREG),
            Err(e) if is_gone_errno(e) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::testing::TempDir;

    #[test]
    fn symbolic_links_are_rejected() {
        let dir = TempDir::new("links");
        std::fs::create_dir_all(dir.path().join("real/below")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        for path in ["link", "link/below"] {
            let e = Dir::open(&dir.path().join(path)).unwrap_err();
            assert!(matches!(e.errno(), Some(Errno::ELOOP | Errno::ENOTDIR)), "{path}: {e}");
        }
        let real = Dir::open(dir.path()).unwrap();
        assert!(matches!(real.at().open_child(c"link"), Err(Errno::ELOOP | Errno::ENOTDIR)));
        assert!(real.at().open_child(c"real/below").is_ok() && real.at().open_child(c"..").is_err());
        let found: Vec<_> = real.at().subdirectories().unwrap().into_iter().map(|child| child.name).collect();
        assert_eq!(found, [c"real".to_owned()]);
    }

    #[test]
    fn a_missing_directory_is_not_an_error_of_the_file_system() {
        assert!(
            FileSystem::Cgroup.mismatch().contains("cgroup")
                && FileSystem::Resctrl.mismatch().contains("resctrl")
        );
        assert!(is_gone(&Dir::open(Path::new("/nowhere")).unwrap_err()));
        assert!(Dir::open_if_exists(Path::new("/nowhere")).unwrap().is_none());
    }

    #[test]
    fn paths_longer_than_path_max_are_opened() {
        let dir = TempDir::new("length");
        let mut path = dir.path().to_owned();
        let mut at = open_path(&path, OPEN_DIRECTORY).unwrap();
        for _ in 0..60 {
            let name = CString::new([b'x'; 200]).unwrap();
            sysfs::mkdirat(&at, &name, 0o755).unwrap();
            at = sysfs::openat(&at, &name, OPEN_DIRECTORY, 0).unwrap();
            path.push(name.to_str().unwrap());
        }
        assert!(path.as_os_str().len() > 2 * libc::PATH_MAX as usize);
        let found = Dir::open(&path).unwrap();
        assert_eq!(found.at().stat().unwrap().id, DirStat::from(fstat(&at).unwrap()).id);
        let text = found.at().failed("read", "file", Errno::EIO).to_string();
        assert!(text.len() < 600 && text.contains("xxx/file"), "{text}");
    }

    #[test]
    fn a_child_cgroup_with_the_name_of_a_file_counts_as_a_missing_file() {
        let dir = TempDir::new("names");
        std::fs::create_dir(dir.path().join("memory.current")).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        let cgroup = open.at();
        assert_eq!(cgroup.number("memory.current").unwrap(), None);
        assert_eq!(cgroup.write("memory.current", b"1"), Err(Errno::ENOENT));
        assert_eq!(cgroup.has("memory.current"), Ok(false));
        std::fs::write(dir.path().join("pids.max"), "max\n").unwrap();
        assert_eq!((cgroup.has("pids.max"), cgroup.number("pids.max").unwrap()), (Ok(true), Some(u64::MAX)));
        for name in ["", ".", "..", "a/b", "a\0"] {
            assert_eq!(cgroup.read(name), Err(Errno::EINVAL), "{name:?}");
        }
    }
}
