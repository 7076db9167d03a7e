//! Paths inside a root file system, resolved by descriptor.
//!
//! The root may be hostile: a symbolic link in it means a place in it, however it is written, `..` stops
//! at it, and the links of procfs which are no links are never followed. What is opened is what is
//! used; nothing is looked at by name twice.

use super::failed;
use crate::sys::fs;
use crate::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS` of openat2(2).
const RESOLVE: u64 = 0x10 | 0x02;

/// How many symbolic links one path may have, as in the kernel.
const MAX_LINKS: usize = 40;

/// Opens `path` inside `root`; `flags` are `O_*` (`O_CLOEXEC` is added).
pub fn open(root: impl AsFd, path: impl AsRef<Path>, flags: i32) -> Result<OwnedFd> {
    let path = path.as_ref();
    fs::cstring(path)
        .and_then(|name| fs::openat2(root, &name, flags, 0, RESOLVE))
        .map_err(|e| failed("open in the root file system", e).on(path.display().to_string()))
}

/// Reads a regular file inside `root` of at most `limit` bytes; EFBIG if it has more, EINVAL if it is no
/// regular file (nothing can make this wait).
pub fn read(root: impl AsFd, path: impl AsRef<Path>, limit: usize) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let fd = open(root, path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)?;
    let content = match fstat(&fd) {
        Ok(stat) if kind(&stat) == SFlag::S_IFREG => fs::read_all(&fd, limit),
        Ok(_) => Err(Errno::EINVAL),
        Err(e) => Err(e),
    };
    content.map_err(|e| failed("read in the root file system", e).on(path.display().to_string()))
}

/// A place inside a root, found or made.
#[derive(Debug)]
pub struct Place {
    /// The place, opened with `O_PATH`.
    pub fd: OwnedFd,
    /// Whether it was made now.
    pub created: bool,
}

/// What is to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Directory,
    File,
}

/// Finds or makes the directory `path` inside `root`, with all directories above it; those that are made
/// get `mode` whatever the caller's umask, and keep a set-group-id bit they inherit. A dangling symbolic
/// link makes its target, in the root.
pub fn mkdir_all(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<Place> {
    ensure(root, path.as_ref(), Want::Directory, mode, mode)
}

/// Finds or makes the file `path` inside `root`: what is there and is no directory is taken as it is;
/// a file that is made is empty and has `mode`, directories above it 0755.
pub fn make_file(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<Place> {
    ensure(root, path.as_ref(), Want::File, mode, 0o755)
}

fn ensure(root: impl AsFd, path: &Path, want: Want, mode: u32, directory_mode: u32) -> Result<Place> {
    Walk::new(root.as_fd()).and_then(|walk| walk.run(path, want, mode, directory_mode)).map_err(
        |e: Errno| -> Error { failed("create in the root file system", e).on(path.display().to_string()) },
    )
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// A walk along a path; the directories on the way are held open, so `..` is where we came from.
struct Walk {
    root: OwnedFd,
    way: Vec<OwnedFd>,
    links: usize,
}

impl Walk {
    fn new(root: impl AsFd) -> Result<Self, Errno> {
        let root = fs::openat(root, c".", libc::O_PATH | libc::O_DIRECTORY, 0)?;
        Ok(Self { root, way: Vec::new(), links: 0 })
    }

    fn here(&self) -> &OwnedFd {
        self.way.last().unwrap_or(&self.root)
    }

    fn run(mut self, path: &Path, want: Want, mode: u32, directory_mode: u32) -> Result<Place, Errno> {
        let mut left = VecDeque::new();
        prepend(path.as_os_str(), &mut left);
        let mut created = false;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                self.way.pop();
                continue;
            }
            let name = fs::cstring(&part)?;
            let last = !left.iter().any(|p| p != "..");
            let wanted = if last && left.is_empty() { want } else { Want::Directory };
            let (fd, new) = match fs::openat(self.here(), &name, libc::O_PATH | libc::O_NOFOLLOW, 0) {
                Ok(fd) => (fd, false),
                Err(Errno::ENOENT) => {
                    let mode = if left.is_empty() { mode } else { directory_mode };
                    match make(self.here(), &name, wanted, mode) {
                        Ok(fd) => (fd, true),
                        // Somebody was faster: look at what it is.
                        Err(Errno::EEXIST) => {
                            self.links += 1;
                            if self.links > MAX_LINKS {
                                return Err(Errno::ELOOP);
                            }
                            left.push_front(part);
                            continue;
                        }
                        Err(e) => return Err(e),
                    }
                }
                Err(e) => return Err(e),
            };
            match kind(&fstat(&fd)?) {
                SFlag::S_IFLNK => self.follow(&fd, &mut left)?,
                SFlag::S_IFDIR => {
                    created = new;
                    self.way.push(fd);
                }
                _ if wanted == Want::File => return Ok(Place { fd, created: new }),
                _ => return Err(Errno::ENOTDIR),
            }
        }
        match want {
            Want::File => Err(Errno::EISDIR),
            Want::Directory => {
                let fd = self.way.pop().unwrap_or(self.root);
                Ok(Place { fd, created })
            }
        }
    }

    fn follow(&mut self, link: &OwnedFd, left: &mut VecDeque<OsString>) -> Result<(), Errno> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        let target = readlinkat(link, "")?;
        if target.as_bytes().first() == Some(&b'/') {
            self.way.clear();
        }
        prepend(&target, left);
        Ok(())
    }
}

/// Puts the components of `path` before those that are left.
fn prepend(path: &OsStr, left: &mut VecDeque<OsString>) {
    for part in path.as_bytes().rsplit(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        left.push_front(OsStr::from_bytes(part).to_owned());
    }
}

fn make(directory: &OwnedFd, name: &std::ffi::CStr, want: Want, mode: u32) -> Result<OwnedFd, Errno> {
    let fd = match want {
        Want::Directory => {
            fs::mkdirat(directory, name, mode)?;
            fs::openat(directory, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)?
        }
        Want::File => {
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
            fs::openat(directory, name, flags, mode)?
        }
    };
    // The caller's umask has taken bits away; it belongs to all threads and is not ours to change.
    let stat = fstat(&fd)?;
    let kept = stat.st_mode & 0o2000;
    if stat.st_mode & 0o1777 != mode & 0o1777 {
        fchmod(&fd, Mode::from_bits_truncate(mode | kept))?;
    }
    let path_only = libc::O_PATH | libc::O_NOFOLLOW;
    let again = fs::openat(directory, name, path_only, 0)?;
    let (ours, found) = (fstat(&fd)?, fstat(&again)?);
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
    fn nothing_leaves_the_root() {
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
        assert!(open(&root, "absolute", libc::O_PATH).is_ok(), "now inside");
    }

    #[test]
    fn files_and_directories() {
        let t = Temporary::new("files");
        let root = t.root();
        let place = make_file(&root, "a/b/file", 0o640).unwrap();
        assert!(place.created);
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
