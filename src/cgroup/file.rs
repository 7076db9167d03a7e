//! The files in a cgroup's directory. Each access opens, reads or writes once, and closes.

use super::dir::{DirRef, is_gone_errno};
use crate::Result;
use crate::sys::{fs as sysfs, retry};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// v1 prints "unlimited" as the largest number of whole pages; this is the smallest such number, for pages of 64 KiB.
pub(super) const V1_UNLIMITED: u64 = (i64::MAX as u64) & !0xffff;

/// Checks that a name is that of a file in the directory itself.
fn file_name(file: &str) -> Result<CString, Errno> {
    if file.is_empty() || file.contains('/') || file == "." || file == ".." {
        return Err(Errno::EINVAL);
    }
    CString::new(file).map_err(|_| Errno::EINVAL)
}

/// One write(2) to an open file.
pub(super) fn write_once(fd: impl AsFd, value: &[u8]) -> Result<(), Errno> {
    retry(|| nix::unistd::write(fd.as_fd(), value)).map(drop)
}

/// Parses a number; `max` is `u64::MAX`.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        _ => text.parse().ok(),
    }
}

/// A directory in place of a file is a child cgroup with that name: this kernel does not have the file.
pub(super) fn missing_if_directory(errno: Errno) -> Errno {
    if errno == Errno::EISDIR { Errno::ENOENT } else { errno }
}

/// Whether the errno means that the file does not exist, or does not apply to this cgroup.
fn is_missing(errno: Errno) -> bool {
    is_gone_errno(errno) || errno == Errno::EOPNOTSUPP
}

impl DirRef<'_> {
    /// Opens a file.
    pub(super) fn open(self, file: &str, flags: i32) -> Result<OwnedFd, Errno> {
        sysfs::openat(self.fd(), &file_name(file)?, flags | libc::O_NOFOLLOW, 0).map_err(missing_if_directory)
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
        match nix::sys::stat::fstatat(self.fd(), file_name(file)?.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_mode & libc::S_IFMT == libc::S_IFREG),
            Err(e) if is_gone_errno(e) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::dir::Dir;
    use crate::cgroup::testing::TempDir;

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
