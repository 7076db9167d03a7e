//! Files that are written for the caller.

use crate::container::options::require_absolute;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::AsFd;
use std::path::Path;

/// Writes `pid` in decimal, without a newline, so that a reader sees all of it or nothing. A file, link, FIFO or socket at
/// this path is replaced ([`replace_at`](sys::fs::replace_at)), and never opened.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let failed = |e| Error::sys(Phase::Lifecycle, "write pid file", e).on(path.display().to_string());
    require_absolute(path, "pid file")?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::EISDIR));
    };
    let parent = sys::fs::cstring(parent).map_err(failed)?;
    let directory = sys::fs::openat(sys::fs::cwd(), &parent, libc::O_PATH | libc::O_DIRECTORY, 0);
    let name = sys::fs::cstring(Path::new(name)).map_err(failed)?;
    directory.and_then(|d| sys::fs::replace_at(d, &name, pid.to_string().as_bytes(), 0o644)).map_err(|e| {
        let hint = "a device of the host is not replaced: name an ordinary file";
        if e == Errno::EOPNOTSUPP { failed(e).with_hint(hint) } else { failed(e) }
    })
}

/// Removes a pid file that contains this pid, when an operation is undone: the pid could be reused later. A failure is
/// ignored.
pub(crate) fn remove_pid_file(path: &Path, pid: i32) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let _ = sys::fs::cstring(parent).and_then(|parent| {
        let name = sys::fs::cstring(Path::new(name))?;
        let directory = sys::fs::openat(sys::fs::cwd(), &parent, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let text = sys::fs::read_plain_at(&directory, &name, 32)?;
        if text == pid.to_string().as_bytes() { sys::fs::unlinkat(&directory, &name, 0) } else { Ok(()) }
    });
}

/// Replaces the file `name` in an open directory, so that a reader sees the old or the new content. Whatever has this
/// name, even a link, is neither opened nor followed.
///
/// # Errors
/// `EISDIR` if it is a directory; `EOPNOTSUPP` if it is a device, or a link in `/dev`, which the host needs; those of
/// the file system.
pub fn replace_file(directory: impl AsFd, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let written =
        sys::fs::cstring(name).and_then(|name| sys::fs::replace_at(directory, &name, content, mode));
    written.map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_pid_file_contains_the_digits_of_the_pid_alone() {
        let directory = std::env::temp_dir().join(format!("orlop-pid-file-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("pid");
        write_pid_file(&file, 123_456).unwrap();
        write_pid_file(&file, 42).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"42");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no temporary file is left");
        remove_pid_file(&file, 43);
        assert!(file.exists(), "it contains the pid of another process");
        remove_pid_file(&file, 42);
        assert!(!file.exists());
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        remove_pid_file(&file, 42);
        assert!(file.is_symlink());
        write_pid_file(&file, 42).unwrap();
        let e = write_pid_file(&directory.join("no/pid"), 1).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ENOENT));
        let e = write_pid_file(Path::new("pid"), 1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
