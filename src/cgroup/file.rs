//! Names, values and errors of the files in a cgroup's directory.

use crate::sys::retry;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::AsFd;

/// v1 prints "unlimited" as the largest number of whole pages; this is the smallest such number, for pages of 64 KiB.
pub(super) const V1_UNLIMITED: u64 = (i64::MAX as u64) & !0xffff;

/// Checks that a name is that of a file in the directory itself.
pub(super) fn file_name(file: &str) -> Result<CString, Errno> {
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

/// Whether the errno means that the cgroup does not exist (any more): kernfs returns ENODEV for an open file of a
/// removed cgroup.
pub(super) fn is_gone_errno(errno: Errno) -> bool {
    matches!(errno, Errno::ENOENT | Errno::ENODEV)
}

/// Whether the errno means that the file does not exist, or does not apply to this cgroup.
pub(super) fn is_missing(errno: Errno) -> bool {
    is_gone_errno(errno) || errno == Errno::EOPNOTSUPP
}
