//! The process that holds a container's lock, and how it is killed.

use super::claim::LockClaim;
use crate::container::process::stat;
use crate::sys::{self, process::pidfd_send_signal};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// The process that holds a lock.
#[derive(Debug)]
pub(crate) struct LockHolder {
    claim: LockClaim,
    pidfd: OwnedFd,
}

impl LockHolder {
    /// Finds the holder; `None` if its claim is not confirmed by procfs(5), or cannot be checked.
    pub(crate) fn find(directory: impl AsFd) -> Option<Self> {
        let claim = LockClaim::read(&directory)?;
        let pid = claim.pid;
        // The pidfd is opened first: what procfs shows for the pid afterwards belongs to this process, or it has exited.
        let pidfd = sys::process::pidfd_open(pid).ok()?;
        let inode = nix::sys::stat::fstat(directory.as_fd()).ok()?.st_ino;
        has_locked(pid, inode).then_some(Self { claim, pidfd })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> i32 {
        self.claim.pid
    }

    /// Whether its operation removes the container and makes progress.
    pub(crate) fn removes(&self) -> bool {
        self.claim.removes && !stat::is_stopped(self.pid())
    }

    /// Kills the holder if it is a dedicated process; returns whether it was killed. The calling process itself, whose
    /// other threads may hold the lock, is never killed.
    pub(crate) fn kill_if_dedicated(&self) -> bool {
        let allowed = self.claim.dedicated && self.pid().cast_unsigned() != std::process::id();
        allowed && matches!(pidfd_send_signal(&self.pidfd, libc::SIGKILL), Ok(()) | Err(Errno::ESRCH))
    }
}

/// Whether a process has locked a directory by flock(2), according to `/proc/PID/fdinfo`. The claim alone is not enough:
/// its pid may belong to another pid namespace, and name a different process here.
fn has_locked(pid: i32, inode: u64) -> bool {
    let directory = format!("/proc/{pid}/fdinfo");
    let Ok(open) = std::fs::read_dir(&directory) else { return false };
    open.flatten().any(|entry| {
        let text = sys::fs::cstring(entry.path()).and_then(|path| sys::fs::read_at(sys::fs::cwd(), &path));
        text.is_ok_and(|text| is_flocked(&String::from_utf8_lossy(&text), inode))
    })
}

/// Whether a file of `/proc/PID/fdinfo` has a line such as `lock: 1: FLOCK  ADVISORY  WRITE 8529 fe:00:827393 0 EOF` for
/// this inode.
fn is_flocked(text: &str, inode: u64) -> bool {
    text.lines().filter_map(|line| line.strip_prefix("lock:")).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, mode) = (words.next(), words.nth(1));
        let file =
            words.nth(1).and_then(|file| file.rsplit(':').next()).and_then(|number| number.parse().ok());
        kind == Some("FLOCK") && mode == Some("WRITE") && file == Some(inode)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::store::lock::OperationLock;

    #[test]
    fn the_holder_is_found_if_its_claim_is_confirmed() {
        let path = std::env::temp_dir().join(format!("orlop-holder-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let directory = std::fs::File::open(&path).unwrap();
        assert!(LockHolder::find(&directory).is_none(), "nothing is locked");
        for dedicated in [false, true] {
            let lock = OperationLock::take(&directory, "a", dedicated).unwrap();
            let found = LockHolder::find(&directory).expect("the lock is claimed");
            assert_eq!((found.pid(), found.removes()), (std::process::id().cast_signed(), false));
            assert!(!stat::is_stopped(found.pid()));
            assert!(!found.kill_if_dedicated(), "this is the calling process");
            lock.begin_removal();
            assert!(LockHolder::find(&directory).expect("the lock is still claimed").removes());
            lock.begin_removal();
            assert!(LockHolder::find(&directory).expect("the lock is still claimed").removes());
            assert_eq!(LockClaim::read(&directory).unwrap().dedicated, dedicated);
        }
        assert!(LockHolder::find(&directory).is_none(), "the lock is released");
        std::fs::remove_dir(path).unwrap();
    }

    #[test]
    fn only_an_exclusive_flock_of_that_inode_counts() {
        let text = "pos:\t0\nflags:\t02300000\nino:\t7\nlock:\t1: FLOCK  ADVISORY  WRITE 8529 fe:00:827393 0 EOF\n\
                    lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:5 17058 17058\nlock:\t3: FLOCK  ADVISORY  READ 1 fe:00:6 0 EOF\n";
        assert!(is_flocked(text, 827_393));
        for inode in [5, 6, 7, 8529, 0] {
            assert!(!is_flocked(text, inode), "{inode}");
        }
        assert!(!is_flocked("lock:\t\nlock:\t1: FLOCK\n", 0));
    }
}
