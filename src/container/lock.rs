//! One operation at a time on one container.

use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long an operation waits for another one on the same container.
const PATIENCE: Duration = Duration::from_secs(10);

/// The exclusive lock on a state directory, released when dropped or when its holder dies.
///
/// A flock(2) on an open file of its own, so that it also keeps two threads apart that share a
/// container.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: Flock<OwnedFd>,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] where another operation holds it for longer than a bounded time.
    pub(crate) fn take(directory: impl AsFd, id: &str) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(lock) = Self::attempt(&directory, FlockArg::LockExclusiveNonblock, id)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorKind::Busy,
                    Phase::State,
                    "another operation is under way on container",
                )
                .on(id));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// Whether somebody holds the lock now.
    pub(crate) fn is_held(directory: impl AsFd, id: &str) -> Result<bool> {
        Self::attempt(&directory, FlockArg::LockSharedNonblock, id).map(|lock| lock.is_none())
    }

    fn attempt(directory: impl AsFd, how: FlockArg, id: &str) -> Result<Option<Self>> {
        let failed = |e| Error::sys(Phase::State, "lock", e).on(format!("state of container {id}"));
        let fd = match crate::sys::fs::openat(&directory, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Err(super::store::not_found(id)),
            Err(e) => return Err(failed(e)),
        };
        match Flock::lock(fd, how) {
            Ok(held) => Ok(Some(Self { _held: held })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, e)) => Err(failed(e)),
        }
    }
}
