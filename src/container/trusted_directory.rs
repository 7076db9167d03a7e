//! Directories whose content is trusted.
//!
//! The content of a state root decides which processes are killed and which cgroups are removed. criu follows links
//! in an image directory when it writes, and restores what it reads. So such a directory must be owned by the
//! caller or root, and no other user may write to it.

use crate::{Error, ErrorKind, Phase, Result};
use nix::sys::stat::{FileStat, fstat};
use std::os::fd::AsFd;
use std::path::Path;

/// The mode bits that let users other than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// In a directory with this bit, a user cannot remove or rename another user's entries.
const STICKY: u32 = 0o1000;

/// Which users can create entries in a trusted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WritableBy {
    /// Only its owner.
    Owner,
    /// Other users too, but with the sticky bit: each entry has to be checked.
    Others,
}

/// Refuses a directory that is owned by another user, or that other users can write to.
///
/// # Errors
/// [`ErrorKind::Untrusted`].
pub(crate) fn require(directory: impl AsFd, phase: Phase, what: &str, path: &Path) -> Result<()> {
    match check(&directory, phase, what, path)? {
        WritableBy::Owner => Ok(()),
        WritableBy::Others => Err(untrusted(phase, what, path, "others may write to it")),
    }
}

/// As [`require`], but a directory with the sticky bit passes even if other users can write to it.
///
/// # Errors
/// As [`require`].
pub(crate) fn check(directory: impl AsFd, phase: Phase, what: &str, path: &Path) -> Result<WritableBy> {
    let stat = fstat(directory)
        .map_err(|e| Error::sys(phase, "fstat", e).on(format!("{what} {}", path.display())))?;
    check_stat(&stat, nix::unistd::geteuid().as_raw()).map_err(|why| untrusted(phase, what, path, &why))
}

fn check_stat(stat: &FileStat, caller: u32) -> Result<WritableBy, String> {
    if stat.st_uid != caller && stat.st_uid != 0 {
        return Err(format!("it is owned by user {}, and the caller is user {caller}", stat.st_uid));
    }
    match (stat.st_mode & OTHERS_WRITE, stat.st_mode & STICKY) {
        (0, _) => Ok(WritableBy::Owner),
        (_, 0) => Err(format!("others may write to it (mode {:04o})", stat.st_mode & 0o7777)),
        _ => Ok(WritableBy::Others),
    }
}

fn untrusted(phase: Phase, what: &str, path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Untrusted, phase, "cannot trust")
        .on(format!("{what} {}", path.display()))
        .with_detail(why)
        .with_hint("use a directory that is owned by the caller and that others cannot write to (chmod go-w)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_decide_whether_a_directory_is_trusted() {
        let of = |uid, mode, caller| {
            // The stat of any file, with the owner and the mode replaced.
            let mut stat = nix::sys::stat::stat("/").unwrap();
            (stat.st_uid, stat.st_mode) = (uid, libc::S_IFDIR | mode);
            check_stat(&stat, caller)
        };
        for (uid, caller) in [(0, 0), (7, 7), (0, 7)] {
            assert_eq!(of(uid, 0o700, caller), Ok(WritableBy::Owner), "{uid} {caller}");
            assert_eq!(of(uid, 0o1755, caller), Ok(WritableBy::Owner), "{uid} {caller}");
            assert_eq!(of(uid, 0o1777, caller), Ok(WritableBy::Others), "{uid} {caller}");
            assert!(of(uid, 0o770, caller).unwrap_err().contains("0770"));
            assert!(of(uid, 0o702, caller).unwrap_err().contains("0702"));
        }
        assert!(of(7, 0o700, 0).unwrap_err().contains("user 7"), "also for root");
        assert!(of(7, 0o1777, 8).is_err());
    }
}
