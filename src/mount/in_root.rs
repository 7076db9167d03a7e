//! Paths inside a root file system, resolved by descriptor.
//!
//! The root may be hostile. A symbolic link always resolves to a path inside the root, `..` stops at the root, and the magic
//! links of procfs are never followed. A file is used by the descriptor that was opened; no name is resolved twice.

use super::error::failed;
use super::walk::{self, Buffers, CallFailure, Last, Tree};
use crate::Result;
use crate::sys::fs;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS` of openat2(2).
const RESOLVE: u64 = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;

/// `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`.
const BENEATH: u64 = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;

/// Opens `path` inside `root` (`O_CLOEXEC` is added to the flags).
pub fn open(root: impl AsFd, path: impl AsRef<Path>, flags: OFlag) -> Result<OwnedFd> {
    let path = path.as_ref();
    fs::cstring(path)
        .and_then(|name| fs::openat2(root, &name, flags.bits(), 0, RESOLVE))
        .map_err(|e| failed("open in the root file system", e).on(path.display().to_string()))
}

/// Reads a regular file of at most `limit` bytes inside `root`. It never blocks.
///
/// # Errors
/// EFBIG if the file is larger, EINVAL if it is not a regular file.
pub fn read(root: impl AsFd, path: impl AsRef<Path>, limit: usize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let fd = open(root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?;
    let content = match fstat(&fd) {
        Ok(stat) if kind(&stat) == SFlag::S_IFREG => fs::read_all(&fd, limit),
        Ok(_) => Err(Errno::EINVAL),
        Err(e) => Err(e),
    };
    content.map_err(|e| failed("read in the root file system", e).on(path.display().to_string()))
}

/// A file or directory inside a root.
#[derive(Debug)]
pub struct PathHandle {
    /// Its descriptor, opened with `O_PATH`.
    pub fd: OwnedFd,
    /// Whether it was created by this call.
    pub created: bool,
}

/// Opens the directory `path` inside `root`, and creates it and its parents if they are missing. New directories get exactly
/// `mode`, whatever the caller's umask, and keep a set-group-id bit that they inherit. For a dangling symbolic link, its
/// target is created inside the root.
pub fn mkdir_all(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<PathHandle> {
    ensure(root, path.as_ref(), Last::Directory, mode, mode)
}

/// Opens the file `path` inside `root`, which may be of any type but a directory. A missing file is created empty with
/// `mode`, and missing parents with mode 0755.
pub fn make_file(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<PathHandle> {
    ensure(root, path.as_ref(), Last::File, mode, 0o755)
}

fn ensure(root: impl AsFd, path: &Path, want: Last, mode: u32, directory_mode: u32) -> Result<PathHandle> {
    let found = fs::cstring(path).and_then(|path| {
        let root = fs::openat(root, c".", libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let mut tree = Descriptors { root, open: Vec::new(), mode, directory_mode };
        let mut memory = Box::new(Buffers::new());
        let found = walk::make(&mut tree, path.as_bytes_with_nul(), want, &mut memory).map_err(errno)?;
        let fd = tree.take(found.fd).ok_or(Errno::EBADF)?;
        match (kind(&fstat(&fd)?), want) {
            (SFlag::S_IFDIR, Last::File) => Err(Errno::EISDIR),
            (SFlag::S_IFDIR, _) | (_, Last::File) => Ok(PathHandle { fd, created: found.made }),
            _ => Err(Errno::ENOTDIR),
        }
    });
    found.map_err(|e| failed("create in the root file system", e).on(path.display().to_string()))
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

fn errno(failure: CallFailure) -> Errno {
    Errno::from_raw(failure.errno as i32)
}

/// The system calls of a walk. The walk's descriptors are indices into `open`.
struct Descriptors {
    root: OwnedFd,
    open: Vec<Option<OwnedFd>>,
    mode: u32,
    directory_mode: u32,
}

impl Descriptors {
    fn add(&mut self, opened: Result<OwnedFd, Errno>) -> Result<i64, CallFailure> {
        let fd = opened.map_err(|errno| CallFailure { call: walk::NO_CALL, errno: errno as i32 as u32 })?;
        self.open.push(Some(fd));
        Ok(self.open.len() as i64 - 1)
    }

    fn get(&self, fd: i64) -> Result<&OwnedFd, Errno> {
        self.open.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    fn take(&mut self, fd: i64) -> Option<OwnedFd> {
        self.open.get_mut(fd as usize).and_then(Option::take)
    }
}

impl Tree for Descriptors {
    fn find(&mut self, path: &[u8]) -> Result<i64, CallFailure> {
        let path = CStr::from_bytes_until_nul(path).map_err(|_| Errno::EINVAL);
        let opened = path.and_then(|path| fs::openat2(&self.root, path, libc::O_PATH, 0, RESOLVE));
        self.add(opened)
    }

    fn make(&mut self, directory: i64, name: &[u8], file: bool, last: bool) -> Result<i64, CallFailure> {
        let mode = if last { self.mode } else { self.directory_mode };
        let name = CStr::from_bytes_until_nul(name).map_err(|_| Errno::EINVAL);
        let made = name.and_then(|name| create(self.get(directory)?, name, file, mode));
        self.add(made)
    }

    fn link(&mut self, directory: i64, name: &[u8], target: &mut [u8]) -> Option<usize> {
        let name = CStr::from_bytes_until_nul(name).ok()?;
        let text = readlinkat(self.get(directory).ok()?, name).ok()?;
        // A target that does not fit is too long for the walk as well.
        let length = text.len().min(target.len());
        target[..length].copy_from_slice(&text.as_bytes()[..length]);
        Some(length)
    }

    fn close(&mut self, fd: i64) {
        drop(self.take(fd));
    }
}

/// Creates one component with exactly this mode, whatever the caller's umask.
fn create(directory: &OwnedFd, name: &CStr, file: bool, mode: u32) -> Result<OwnedFd, Errno> {
    let fd = if file {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        fs::openat(directory, name, flags, mode)?
    } else {
        fs::mkdirat(directory, name, mode)?;
        fs::openat2(directory, name, libc::O_RDONLY | libc::O_DIRECTORY, 0, BENEATH)?
    };
    // The umask has cleared bits. It belongs to all threads of the caller, so it cannot be changed around the call.
    let stat = fstat(&fd)?;
    let set_group_id = stat.st_mode & 0o2000;
    if stat.st_mode & 0o1777 != mode & 0o1777 {
        fchmod(&fd, Mode::from_bits_truncate(mode | set_group_id))?;
    }
    let again = fs::openat2(directory, name, libc::O_PATH, 0, BENEATH)?;
    let (ours, found) = (fstat(&fd)?, fstat(&again)?);
    // EEXIST makes the walk look again, since another file has the name by now.
    if (ours.st_dev, ours.st_ino) == (found.st_dev, found.st_ino) { Ok(again) } else { Err(Errno::EEXIST) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("orlop-in-root-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("root")).unwrap();
            Self(path)
        }
        fn root(&self) -> OwnedFd {
            std::fs::File::open(self.0.join("root")).unwrap().into()
        }
        fn path(&self, below: &str) -> PathBuf {
            self.0.join(below)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let t = Temporary::new("leave");
        let canary = t.path("canary");
        std::fs::create_dir(&canary).unwrap();
        symlink(&canary, t.path("root/absolute")).unwrap();
        symlink("../../canary", t.path("root/relative")).unwrap();
        symlink("/proc/self/root", t.path("root/magic")).unwrap();
        symlink("loop", t.path("root/loop")).unwrap();
        let root = t.root();
        for path in ["absolute/a", "relative/b", "/../../canary/c", "magic/d"] {
            assert!(mkdir_all(&root, path, 0o755).unwrap().created, "{path}");
        }
        assert_eq!(std::fs::read_dir(&canary).unwrap().count(), 0);
        assert!(t.path("root/canary/c").is_dir());
        assert!(t.path("root/proc/self/root/d").is_dir());
        assert!(t.path("root").join(canary.strip_prefix("/").unwrap()).join("a").is_dir());
        assert_eq!(mkdir_all(&root, "loop/x", 0o755).unwrap_err().errno(), Some(Errno::ELOOP));
        assert!(open(&root, "absolute", OFlag::O_PATH).is_ok(), "the target exists now");
    }

    #[test]
    fn missing_files_and_directories_are_created() {
        let t = Temporary::new("files");
        let root = t.root();
        let file = make_file(&root, "a/b/file", 0o640).unwrap();
        assert!(file.created);
        assert_eq!(std::fs::metadata(t.path("root/a/b/file")).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(!make_file(&root, "/a/./b//file", 0o600).unwrap().created);
        assert!(!mkdir_all(&root, "a/b", 0o700).unwrap().created);
        assert!(!mkdir_all(&root, "/", 0o700).unwrap().created);
        assert_eq!(make_file(&root, "a/b", 0o600).unwrap_err().errno(), Some(Errno::EISDIR));
        assert_eq!(mkdir_all(&root, "a/b/file/c", 0o755).unwrap_err().errno(), Some(Errno::ENOTDIR));
        assert_eq!(mkdir_all(&root, "a/b/file", 0o755).unwrap_err().errno(), Some(Errno::ENOTDIR));
        symlink("/target/of/link", t.path("root/dangling")).unwrap();
        assert!(make_file(&root, "dangling", 0o600).unwrap().created);
        assert!(t.path("root/target/of/link").is_file());
        assert!(mkdir_all(&root, "w", 0o777).unwrap().created);
        assert_eq!(std::fs::metadata(t.path("root/w")).unwrap().permissions().mode() & 0o7777, 0o777);
        std::fs::set_permissions(t.path("root/w"), PermissionsExt::from_mode(0o2777)).unwrap();
        mkdir_all(&root, "w/x", 0o755).unwrap();
        assert_eq!(std::fs::metadata(t.path("root/w/x")).unwrap().permissions().mode() & 0o7777, 0o2755);
    }

    #[test]
    fn a_missing_path_does_not_climb() {
        let t = Temporary::new("climb");
        let root = t.root();
        symlink("none/../../../canary", t.path("root/link")).unwrap();
        for path in ["none/../x", "link/x", "link", "a/none/../../../../x"] {
            let e = mkdir_all(&root, path, 0o755).unwrap_err();
            assert_eq!(e.errno(), Some(Errno::ENOENT), "{path}");
        }
        assert!(!t.path("canary").exists() && !t.path("root/none").exists());
        std::fs::create_dir(t.path("root/a")).unwrap();
        assert!(mkdir_all(&root, "a/../x", 0o755).unwrap().created);
    }

    /// A directory is renamed back and forth; a dangling link through it has enough `..` to leave the root.
    #[test]
    fn a_race_of_renames_does_not_climb() {
        let t = Temporary::new("race");
        let root = t.root();
        std::fs::create_dir(t.path("root/a")).unwrap();
        symlink("a/../../canary/deep", t.path("root/x")).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = std::fs::rename(t.path("root/a"), t.path("root/b"));
                    let _ = std::fs::rename(t.path("root/b"), t.path("root/a"));
                }
            });
            for _ in 0..5000 {
                let _ = mkdir_all(&root, "x/new", 0o755);
                let _ = std::fs::remove_dir_all(t.path("root/canary"));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(!t.path("canary").exists());
    }

    #[test]
    fn reading_is_bounded() {
        let t = Temporary::new("read");
        std::fs::write(t.path("root/small"), "text").unwrap();
        symlink("/small", t.path("root/link")).unwrap();
        nix::unistd::mkfifo(&t.path("root/fifo"), Mode::S_IRUSR).unwrap();
        let root = t.root();
        assert_eq!(read(&root, "/link", 4).unwrap(), b"text");
        assert_eq!(read(&root, "small", 3).unwrap_err().errno(), Some(Errno::EFBIG));
        assert_eq!(read(&root, "fifo", 10).unwrap_err().errno(), Some(Errno::EINVAL));
        assert_eq!(read(&root, "none", 10).unwrap_err().errno(), Some(Errno::ENOENT));
    }
}
