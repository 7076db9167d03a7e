//! Notifications of the OOM killer: an eventfd on v1, changes of `memory.events` on cgroup2.

use super::controller::Controller;
use super::dir::{Dir, DirRef};
use super::record::CgroupRecord;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Watches a cgroup for running out of memory. Poll the descriptor for [`interest`](Self::interest), then call
/// [`take`](Self::take).
#[derive(Debug)]
pub struct OomWatch {
    source: OomSource,
}

#[derive(Debug)]
enum OomSource {
    /// The kernel increments the counter on every OOM, and once when the cgroup is removed. After that
    /// `memory.oom_control` cannot be read.
    V1 { counter: EventFd, control: OwnedFd, path: PathBuf },
    /// An open `memory.events`, and the number of killed processes when it was last read.
    V2 { events: OwnedFd, path: PathBuf, killed: u64 },
}

/// Starts to watch a cgroup; `None` if it has no memory controller, or the kernel cannot report this.
pub(super) fn watch(record: &CgroupRecord) -> Result<Option<OomWatch>> {
    let source = match (record.v1_of(Controller::Memory), record.unified.as_deref()) {
        (Some(directory), _) => watch_v1(Dir::open(directory)?.at())?,
        (None, Some(directory)) => watch_v2(Dir::open(directory)?.at())?,
        (None, None) => None,
    };
    Ok(source.map(|source| OomWatch { source }))
}

impl OomWatch {
    /// The event to poll for.
    pub fn interest(&self) -> PollFlags {
        match self.source {
            OomSource::V1 { .. } => PollFlags::POLLIN,
            OomSource::V2 { .. } => PollFlags::POLLPRI,
        }
    }

    /// How often the cgroup has run out of memory (v1), or how many processes the OOM killer has killed (cgroup2), since
    /// the last call. Never blocks. Zero if the cgroup has been removed.
    ///
    /// # Errors
    /// If the descriptor cannot be read.
    pub fn take(&mut self) -> Result<u64> {
        match &mut self.source {
            OomSource::V1 { counter, control, path } => match counter.read() {
                // The removal of the cgroup increments the counter too.
                Ok(count) => Ok(count.saturating_sub(u64::from(is_removed(control, path)?))),
                Err(Errno::EAGAIN) => Ok(0),
                Err(e) => Err(failed("read the eventfd of", path, e)),
            },
            OomSource::V2 { events, path, killed } => {
                let Some(now) = kills(events, path)? else { return Ok(0) };
                Ok(now.saturating_sub(std::mem::replace(killed, now)))
            }
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            OomSource::V1 { counter, .. } => counter.as_fd(),
            OomSource::V2 { events, .. } => events.as_fd(),
        }
    }
}

fn failed(operation: &'static str, path: &Path, errno: Errno) -> Error {
    Error::sys(Phase::Cgroup, operation, errno).on(path.display().to_string())
}

/// Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control".
fn watch_v1(cgroup: DirRef<'_>) -> Result<Option<OomSource>> {
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
        Ok(()) => Ok(Some(OomSource::V1 { counter, control, path: cgroup.path().join(CONTROL) })),
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

fn watch_v2(cgroup: DirRef<'_>) -> Result<Option<OomSource>> {
    let path = cgroup.path().join("memory.events");
    let events = match cgroup.open("memory.events", libc::O_RDONLY) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(cgroup.failed("open", "memory.events", e)),
    };
    // Reading also tells the kernel which changes have been seen through this descriptor.
    let killed = match kills(&events, &path) {
        // A child cgroup with the name of the file, which this kernel does not have.
        Err(e) if e.errno() == Some(Errno::EISDIR) => return Ok(None),
        other => other?.unwrap_or(0),
    };
    Ok(Some(OomSource::V2 { events, path, killed }))
}

/// The `oom_kill` line of an open `memory.events`; `None` if the cgroup has been removed.
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
