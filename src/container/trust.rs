//! Directories whose content is trusted.
//!
//! The content of a state root decides which processes are killed and which cgroups are removed. criu follows links
//! in an image directory when it writes, and restores what it reads. So such a directory must be owned by the
//! caller or root, and no other user may write to it.

use crate::{Error, ErrorKind, Phase, Result};
use nix::sys::stat::{FileStat, fstat};
use std::os::fd::AsFd;
use std::path::Path;

/// The bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// In a directory with this bit, a user cannot remove or rename another user's entries.
const STICKY: u32 = 0o1000;

/// Which users may create entries in a trusted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Only its owner.
    OfItsOwner,
    /// Others too (sticky bit): each entry has to be checked.
    OfOthersToo,
}

/// Refuses a directory that is another user's, or which others may write into.
///
/// # Errors
/// [`ErrorKind::Untrusted`].
pub(crate) fn require(directory: impl AsFd, phase: Phase, what: &str, path: &Path) -> Result<()> {
    match look(&directory, phase, what, path)? {
        Entries::OfItsOwner => Ok(()),
        Entries::OfOthersToo => Err(untrusted(phase, what, path, "others may write to it")),
    }
}

/// As [`require`], but a directory with the sticky bit passes even if others may write to it.
///
/// # Errors
/// As [`require`].
pub(crate) fn look(directory: impl AsFd, phase: Phase, what: &str, path: &Path) -> Result<Entries> {
    let stat = fstat(directory)
        .map_err(|e| Error::sys(phase, "fstat", e).on(format!("{what} {}", path.display())))?;
    judge(&stat, nix::unistd::geteuid().as_raw()).map_err(|why| untrusted(phase, what, path, &why))
}

fn judge(stat: &FileStat, caller: u32) -> Result<Entries, String> {
    if stat.st_uid != caller && stat.st_uid != 0 {
        return Err(format!("it is owned by user {}, and the caller is user {caller}", stat.st_uid));
    }
    match (stat.st_mode & OTHERS_WRITE, stat.st_mode & STICKY) {
        (0, _) => Ok(Entries::OfItsOwner),
        (_, 0) => Err(format!("others may write to it (mode {:04o})", stat.st_mode & 0o7777)),
        _ => Ok(Entries::OfOthersToo),
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
    fn who_owns_it_and_who_may_write() {
        let of = |uid, mode, caller| {
            // A stat of any file, with what counts changed.
            let mut stat = nix::sys::stat::stat("/").unwrap();
            (stat.st_uid, stat.st_mode) = (uid, libc::S_IFDIR | mode);
            judge(&stat, caller)
        };
        for (uid, caller) in [(0, 0), (7, 7), (0, 7)] {
            assert_eq!(of(uid, 0o700, caller), Ok(Entries::OfItsOwner), "{uid} {caller}");
            assert_eq!(of(uid, 0o1755, caller), Ok(Entries::OfItsOwner), "{uid} {caller}");
            assert_eq!(of(uid, 0o1777, caller), Ok(Entries::OfOthersToo), "{uid} {caller}");
            assert!(of(uid, 0o770, caller).unwrap_err().contains("0770"));
            assert!(of(uid, 0o702, caller).unwrap_err().contains("0702"));
        }
        assert!(of(7, 0o700, 0).unwrap_err().contains("user 7"), "also for root");
        assert!(of(7, 0o1777, 8).is_err());
    }
}
