//! News of the OOM killer: an eventfd on v1, the changes of `memory.events` on cgroup2.

use super::controller::Controller;
use super::create::Cgroup;
use super::dir::{Dir, DirRef};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A watch on a cgroup that runs out of memory: a descriptor to poll for [`interest`](Self::interest),
/// and then to be asked by [`take`](Self::take).
#[derive(Debug)]
pub struct OomWatch {
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The kernel adds to the counter on every OOM, and once when the cgroup is removed; `memory.oom_control` can no
    /// longer be read then.
    V1 { counter: EventFd, control: OwnedFd, path: PathBuf },
    /// An open `memory.events`, and how many had been killed when it was last read.
    V2 { events: OwnedFd, path: PathBuf, killed: u64 },
}

impl Cgroup {
    /// Begins to watch for the cgroup running out of memory; `None` where the cgroup has no memory
    /// controller, or the kernel does not tell.
    ///
    /// # Errors
    /// That the watch is refused.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        let source = match (self.record.v1_of(Controller::Memory), self.record.unified.as_deref()) {
            (Some(directory), _) => watch_v1(Dir::open(directory)?.at())?,
            (None, Some(directory)) => watch_v2(Dir::open(directory)?.at())?,
            (None, None) => None,
        };
        Ok(source.map(|source| OomWatch { source }))
    }
}

impl OomWatch {
    /// What poll(2) or epoll(7) is to look for.
    pub fn interest(&self) -> PollFlags {
        match self.source {
            Source::V1 { .. } => PollFlags::POLLIN,
            Source::V2 { .. } => PollFlags::POLLPRI,
        }
    }

    /// How often the cgroup has run out of memory (v1), or how many processes were killed for it
    /// (cgroup2), since the last call. Never waits.
    ///
    /// # Errors
    /// That the descriptor cannot be read; a cgroup that is gone has no news.
    pub fn take(&mut self) -> Result<u64> {
        match &mut self.source {
            Source::V1 { counter, control, path } => match counter.read() {
                // The removal of the cgroup is told the same way, once.
                Ok(count) => Ok(count.saturating_sub(u64::from(is_removed(control, path)?))),
                Err(Errno::EAGAIN) => Ok(0),
                Err(e) => Err(failed("read the eventfd of", path, e)),
            },
            Source::V2 { events, path, killed } => {
                let Some(now) = kills(events, path)? else { return Ok(0) };
                let news = now.saturating_sub(*killed);
                *killed = now;
                Ok(news)
            }
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::V1 { counter, .. } => counter.as_fd(),
            Source::V2 { events, .. } => events.as_fd(),
        }
    }
}

fn failed(operation: &'static str, path: &Path, errno: Errno) -> Error {
    Error::sys(Phase::Cgroup, operation, errno).on(path.display().to_string())
}

/// Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
fn watch_v1(cgroup: DirRef<'_>) -> Result<Option<Source>> {
    const CONTROL: &str = "memory.oom_control";
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let counter =
        EventFd::from_value_and_flags(0, flags).map_err(|e| Error::sys(Phase::Cgroup, "eventfd", e))?;
    let control = match cgroup.open(CONTROL, libc::O_RDONLY) {
        Err(Errno::ENOENT) => return Ok(None),
        other => other.map_err(|e| cgroup.failed("watch", CONTROL, e))?,
    };
    let line = format!("{} {}", counter.as_fd().as_raw_fd(), control.as_raw_fd());
    match cgroup.write("cgroup.event_control", line.as_bytes()) {
        Ok(()) => Ok(Some(Source::V1 { counter, control, path: cgroup.path().join(CONTROL) })),
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) => Ok(None),
        Err(e) => Err(cgroup.failed("watch", "cgroup.event_control", e)),
    }
}

fn is_removed(control: &OwnedFd, path: &Path) -> Result<bool> {
    match nix::sys::uio::pread(control, &mut [0; 16], 0) {
        Ok(_) => Ok(false),
        Err(Errno::ENODEV) => Ok(true),
        Err(e) => Err(failed("read", path, e)),
    }
}

fn watch_v2(cgroup: DirRef<'_>) -> Result<Option<Source>> {
    let path = cgroup.path().join("memory.events");
    let events = match cgroup.open("memory.events", libc::O_RDONLY) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(cgroup.failed("open", "memory.events", e)),
    };
    // Reading is also what tells the kernel which change the descriptor has seen.
    let killed = match kills(&events, &path) {
        // A child cgroup with the name of the file, which this kernel does not have.
        Err(e) if e.errno() == Some(Errno::EISDIR) => return Ok(None),
        other => other?.unwrap_or(0),
    };
    Ok(Some(Source::V2 { events, path, killed }))
}

/// The `oom_kill` line of an open `memory.events`; `None` where the cgroup is gone.
fn kills(events: &OwnedFd, path: &Path) -> Result<Option<u64>> {
    let mut text = [0_u8; 512];
    let length = match nix::sys::uio::pread(events, &mut text, 0) {
        Ok(length) => length,
        Err(Errno::ENODEV) => return Ok(None),
        Err(e) => return Err(failed("read", path, e)),
    };
    let text = String::from_utf8_lossy(&text[..length]);
    Ok(text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()))
}
