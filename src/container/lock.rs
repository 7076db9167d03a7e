//! One operation at a time on one container.
//!
//! The lock is a flock(2) on the state directory: the kernel releases it when its holder dies. What acts for the
//! operation is known too, so that `delete --force` can end an operation that does not end by itself:
//!
//! - the holder, by a second lock on the same open file ([`Claim`]);
//! - its child processes ([`helpers`]), by a file in the state directory, which outlives a holder that was killed.

use super::helpers;
use crate::init::launch::{Launch, Stub};
use crate::sys::fs::Flock;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long an operation waits for another one on the same container.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The exclusive lock on a state directory, released when dropped or when its holder dies.
///
/// A flock(2) on an open file of its own, so that it also keeps two threads apart that share a
/// container.
#[derive(Debug)]
pub(crate) struct Lock {
    held: Flock,
    dedicated: bool,
    removes: Cell<bool>,
}

impl AsFd for Lock {
    /// The state directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

impl Lock {
    /// Takes the lock. A `dedicated` process may be killed for what it holds, see [`Claim`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another operation holds it for longer than a bounded time.
    pub(crate) fn take(directory: impl AsFd, id: &str, dedicated: bool) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(lock) = Self::attempt(&directory, id, dedicated)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(busy(&directory, id));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Takes the lock if nothing else holds it.
    pub(super) fn attempt(directory: impl AsFd, id: &str, dedicated: bool) -> Result<Option<Self>> {
        let Some(held) = flock(directory, libc::LOCK_EX, id)? else { return Ok(None) };
        let lock = Self { held, dedicated, removes: Cell::new(false) };
        lock.claim().set(&lock.held);
        Ok(Some(lock))
    }

    /// Whether an operation holds the lock now.
    pub(crate) fn is_held(directory: impl AsFd, id: &str) -> Result<bool> {
        flock(directory, libc::LOCK_SH, id).map(|held| held.is_none())
    }

    fn claim(&self) -> Claim {
        let pid = std::process::id().cast_signed();
        Claim { pid, removes: self.removes.get(), dedicated: self.dedicated }
    }

    /// From now on the operation removes the container, as `delete` does: it is given time for that, and so are the
    /// helpers that it has from now on.
    pub(super) fn begin_removal(&self) {
        let before = self.claim();
        self.removes.set(true);
        let now = self.claim();
        if before != now {
            now.set(&self.held);
            before.unset(&self.held);
        }
    }

    /// Launches a stub that acts for the operation: `delete --force` can end it. The caller records the second of two
    /// processes by [`helping`](Self::helping).
    ///
    /// # Errors
    /// Those of the launch; that the process cannot be recorded.
    pub(crate) fn launch(&self, launch: Launch<'_>) -> Result<Stub> {
        let mut stub = launch.spawn()?;
        match self.helping(stub.pid) {
            Ok(()) => Ok(stub),
            Err(e) => {
                stub.destroy();
                Err(e)
            }
        }
    }

    /// Records a child process of this one that acts for the operation and is still to be reaped.
    ///
    /// # Errors
    /// That the state directory cannot be written. A removal goes on without a record.
    pub(crate) fn helping(&self, pid: i32) -> Result<()> {
        match helpers::record(&self.held, pid, self.removes.get()) {
            Err(_) if self.removes.get() => Ok(()),
            done => done,
        }
    }
}

/// A flock(2) of the directory through an open file of its own; `None` if another one is in the way.
fn flock(directory: impl AsFd, how: i32, id: &str) -> Result<Option<Flock>> {
    let failed = |e| Error::sys(Phase::State, "lock", e).on(format!("state of container {id}"));
    let fd = match crate::sys::fs::openat(&directory, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Err(super::store::not_found(id)),
        Err(e) => return Err(failed(e)),
    };
    Flock::attempt(fd, how).map_err(failed)
}

/// That another operation holds the lock.
pub(super) fn busy(directory: impl AsFd, id: &str) -> Error {
    let text = "another operation is under way on container";
    let error = Error::new(ErrorKind::Busy, Phase::State, text).on(id);
    match Claim::look(directory) {
        Some(claim) => error.with_detail(format!("process {} does it", claim.pid)),
        None => error,
    }
}

/// What the holder of a lock says of itself: which process it is, and whether it may be killed to end the operation.
///
/// It says so by a lock on a byte range of the directory (`F_OFD_SETLK`) at a place made of these. That costs one
/// system call and no file, it cannot be out of date, as it goes with the open file that holds the flock, and it is as
/// hard to forge as the flock itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// The holder, as its own pid namespace numbers it.
    pub(super) pid: i32,
    /// The operation removes the container.
    pub(super) removes: bool,
    /// The holder does one operation at a time and nothing else.
    pub(super) dedicated: bool,
}

impl Claim {
    /// The claim of the lock's holder, if there is one.
    pub(super) fn look(directory: impl AsFd) -> Option<Self> {
        let mut all = range(libc::F_WRLCK, 0, 0);
        fcntl(directory, FcntlArg::F_OFD_GETLK(&mut all)).ok()?;
        if i32::from(all.l_type) == libc::F_UNLCK {
            return None;
        }
        let pid = i32::try_from(all.l_start >> 2).ok()?;
        Some(Self { pid, removes: all.l_start & 2 != 0, dedicated: all.l_start & 1 != 0 })
    }

    fn place(self) -> libc::off_t {
        libc::off_t::from(self.pid) << 2
            | libc::off_t::from(self.removes) << 1
            | libc::off_t::from(self.dedicated)
    }

    /// A file system without such locks leaves the holder unknown: it is waited for then.
    fn set(self, held: impl AsFd) {
        let _ = fcntl(held, FcntlArg::F_OFD_SETLK(&range(libc::F_RDLCK, self.place(), 1)));
    }

    fn unset(self, held: impl AsFd) {
        let _ = fcntl(held, FcntlArg::F_OFD_SETLK(&range(libc::F_UNLCK, self.place(), 1)));
    }
}

/// A byte range from the beginning of a file; without a length it has no end.
fn range(kind: i32, start: libc::off_t, length: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}
