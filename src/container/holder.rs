//! Which process holds a container's lock, and ending it.

use super::liveness;
use super::lock::Claim;
use crate::sys::{self, process::pidfd_send_signal};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// The process that holds a lock.
#[derive(Debug)]
pub(super) struct Holder {
    claim: Claim,
    pidfd: OwnedFd,
}

impl Holder {
    /// Finds it; `None` if what it claims is not so, or cannot be looked at.
    pub(super) fn find(directory: impl AsFd) -> Option<Self> {
        let claim = Claim::look(&directory)?;
        let pid = claim.pid;
        // The descriptor comes first: what is seen of the number afterwards is seen of this process, or it has ended.
        let pidfd = sys::process::pidfd_open(pid).ok()?;
        let inode = nix::sys::stat::fstat(directory.as_fd()).ok()?.st_ino;
        holds(pid, inode).then_some(Self { claim, pidfd })
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.claim.pid
    }

    /// Whether its operation removes the container, and goes on.
    pub(super) fn removes(&self) -> bool {
        self.claim.removes && !self.is_stopped()
    }

    /// Whether it cannot go on by itself: something has stopped it, or traces it.
    fn is_stopped(&self) -> bool {
        liveness::stat(self.pid()).is_ok_and(|stat| stat.is_some_and(|stat| stat.is_stopped()))
    }

    /// Kills it, if it has claimed to do nothing else; whether it was. It is never the caller itself, in another thread.
    pub(super) fn end(&self) -> bool {
        let allowed = self.claim.dedicated && self.pid().cast_unsigned() != std::process::id();
        allowed && matches!(pidfd_send_signal(&self.pidfd, libc::SIGKILL), Ok(()) | Err(Errno::ESRCH))
    }
}

/// Whether a process has locked a directory by flock(2), as `/proc/PID/fdinfo` tells. The claim alone is not enough: it
/// may be of another pid namespace, in which the number is another process's.
fn holds(pid: i32, inode: u64) -> bool {
    let directory = format!("/proc/{pid}/fdinfo");
    let Ok(open) = std::fs::read_dir(&directory) else { return false };
    open.flatten().any(|entry| {
        let text = sys::fs::cstring(entry.path()).and_then(|path| sys::fs::read_at(sys::fs::cwd(), &path));
        text.is_ok_and(|text| is_flocked(&String::from_utf8_lossy(&text), inode))
    })
}

/// Whether a file of `/proc/PID/fdinfo` has a line such as `lock: 1: FLOCK  ADVISORY  WRITE 8529 fe:00:827393 0 EOF` about
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
    use crate::container::lock::Lock;

    #[test]
    fn the_holder_is_found_by_claim_and_evidence() {
        let path = std::env::temp_dir().join(format!("orlop-holder-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let directory = std::fs::File::open(&path).unwrap();
        assert!(Holder::find(&directory).is_none(), "nothing is locked");
        for dedicated in [false, true] {
            let lock = Lock::take(&directory, "a", dedicated).unwrap();
            let found = Holder::find(&directory).expect("it has claimed");
            assert_eq!((found.pid(), found.removes()), (std::process::id().cast_signed(), false));
            assert!(!found.is_stopped());
            assert!(!found.end(), "this is the caller");
            lock.begin_removal();
            assert!(Holder::find(&directory).expect("it claims still").removes());
            lock.begin_removal();
            assert!(Holder::find(&directory).expect("it claims still").removes());
            assert_eq!(Claim::look(&directory).unwrap().dedicated, dedicated);
        }
        assert!(Holder::find(&directory).is_none(), "it has let go");
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
