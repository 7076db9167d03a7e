//! Files of a cgroup directory: one open, one read or write, one close each.

use crate::sys::{fs as sysfs, retry};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn cpath(directory: &Path, file: &str) -> Result<CString, Errno> {
    let directory = directory.as_os_str().as_bytes();
    let mut path = Vec::with_capacity(directory.len() + file.len() + 2);
    path.extend_from_slice(directory);
    if !file.is_empty() {
        path.push(b'/');
        path.extend_from_slice(file.as_bytes());
    }
    CString::new(path).map_err(|_| Errno::EINVAL)
}

pub(super) fn open(directory: &Path, file: &str, flags: i32) -> Result<OwnedFd, Errno> {
    sysfs::openat(sysfs::cwd(), &cpath(directory, file)?, flags, 0)
}

/// One write(2) to an open file.
pub(super) fn put(fd: impl AsFd, value: &[u8]) -> Result<(), Errno> {
    retry(|| nix::unistd::write(fd.as_fd(), value)).map(drop)
}

pub(super) fn write(directory: &Path, file: &str, value: &[u8]) -> Result<(), Errno> {
    put(open(directory, file, libc::O_WRONLY)?, value)
}

/// What one read(2) gives.
pub(super) fn glance<'b>(directory: &Path, file: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    sysfs::read_once(sysfs::cwd(), &cpath(directory, file)?, buffer)
}

pub(super) fn read(directory: &Path, file: &str) -> Result<Vec<u8>, Errno> {
    sysfs::read_at(sysfs::cwd(), &cpath(directory, file)?)
}

/// The file as text; `None` where it does not exist.
pub(super) fn text(directory: &Path, file: &str) -> Result<Option<String>> {
    match read(directory, file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => Ok(None),
        Err(e) => Err(failed("read", directory, file, e)),
    }
}

/// The file's number; `max` is `u64::MAX`; `None` where there is no such file or no number.
pub(super) fn number(directory: &Path, file: &str) -> Result<Option<u64>> {
    Ok(text(directory, file)?.and_then(|t| parse_number(t.trim())))
}

pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        _ => text.parse().ok(),
    }
}

pub(super) fn mkdir(directory: &Path) -> Result<(), Errno> {
    sysfs::mkdirat(sysfs::cwd(), &cpath(directory, "")?, 0o755)
}

pub(super) fn rmdir(directory: &Path) -> Result<(), Errno> {
    sysfs::unlinkat(sysfs::cwd(), &cpath(directory, "")?, libc::AT_REMOVEDIR)
}

pub(super) fn exists(directory: &Path, file: &str) -> bool {
    cpath(directory, file)
        .is_ok_and(|path| nix::unistd::access(path.as_c_str(), nix::unistd::AccessFlags::F_OK).is_ok())
}

/// The names of the directories in `directory`.
pub(super) fn subdirectories(directory: &Path) -> Result<Vec<String>, Errno> {
    let read = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.file_type().is_ok_and(|t| t.is_dir())
            && let Some(name) = entry.file_name().to_str()
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// An error on `directory/file`.
pub(super) fn failed(operation: &'static str, directory: &Path, file: &str, errno: Errno) -> Error {
    let path = if file.is_empty() { directory.to_owned() } else { directory.join(file) };
    Error::sys(Phase::Cgroup, operation, errno).on(path.display().to_string())
}
