//! Freezes and thaws the processes of a cgroup.

use super::controller::Controller;
use super::dir::{Dir, DirRef, failed, is_gone, open_file};
use super::file::is_gone_errno;
use super::record::CgroupRecord;
use super::walk::{self, walk};
use crate::sys::retry;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// The state of a cgroup's freezer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezerState {
    /// The processes run.
    Thawed,
    /// Not all processes are frozen yet.
    Freezing,
    /// All processes are frozen.
    Frozen,
}

/// Freezes every process of the cgroup and its descendants, and waits until all are frozen. If this fails, the cgroup is
/// thawed again.
pub(super) fn freeze(record: &CgroupRecord, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    let freezer = Freezer::of(record)?;
    let dir = Dir::open(freezer.directory())?;
    let done = match freezer {
        Freezer::V2(_) => freeze_v2(dir.at(), deadline),
        Freezer::V1(_) => freeze_v1(dir.at(), deadline),
    };
    match done {
        Ok(true) => return Ok(()),
        Ok(false) => thaw(record)?,
        Err(e) => {
            return Err(match thaw(record) {
                Ok(()) => e,
                Err(again) => e.with_hint(format!("thawing it failed too: {again}")),
            });
        }
    }
    Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "freeze cgroup")
        .on(freezer.directory().display().to_string())
        .with_detail(format!("a process did not stop within {} ms", timeout.as_millis())))
}

/// Thaws the processes, and waits until they run.
pub(super) fn thaw(record: &CgroupRecord) -> Result<()> {
    begin_thaw(record)?;
    match Freezer::of(record)? {
        Freezer::V2(directory) => {
            let deadline = Instant::now() + Duration::from_secs(2);
            wait_for_event(Dir::open(directory)?.at(), "frozen 0", deadline).map(drop)
        }
        Freezer::V1(_) => Ok(()),
    }
}

/// [`thaw`] without waiting. The processes stay frozen if an ancestor is frozen.
pub(super) fn begin_thaw(record: &CgroupRecord) -> Result<()> {
    let freezer = Freezer::of(record)?;
    let dir = Dir::open(freezer.directory())?;
    match freezer {
        Freezer::V2(_) => dir.at().set("cgroup.freeze", b"0"),
        Freezer::V1(_) => dir.at().set("freezer.state", b"THAWED"),
    }
}

/// On v1, where frozen processes do not die, thaws the cgroup and all descendants. Returns whether a descendant was
/// frozen.
pub(super) fn thaw_descendants(record: &CgroupRecord) -> Result<bool> {
    let Some(top) = record.v1_of(Controller::Freezer) else { return Ok(false) };
    let Some(dir) = Dir::open_if_exists(top)? else { return Ok(false) };
    let mut any = false;
    walk(dir.at(), walk::REMOVAL_TIMEOUT, &mut |cgroup: DirRef<'_>| {
        // Parents come first: a frozen parent keeps its children frozen.
        match cgroup.text("freezer.state")? {
            Some(state) if state.trim() != "THAWED" => any |= cgroup.path() != top,
            _ => return Ok(()),
        }
        match cgroup.write("freezer.state", b"THAWED") {
            Err(e) if !is_gone_errno(e) => Err(cgroup.failed("write", "freezer.state", e)),
            _ => Ok(()),
        }
    })?;
    Ok(any)
}

/// On v1, freezes as many processes as possible within `timeout`.
pub(super) fn try_freeze_v1(record: &CgroupRecord, timeout: Duration) -> Result<()> {
    let Some(top) = record.v1_of(Controller::Freezer) else { return Ok(()) };
    let Some(dir) = Dir::open_if_exists(top)? else { return Ok(()) };
    match freeze_v1(dir.at(), Instant::now() + timeout) {
        Err(e) if !is_gone(&e) => Err(e),
        _ => Ok(()),
    }
}

/// The state of the freezer.
pub(super) fn state(record: &CgroupRecord) -> Result<FreezerState> {
    match Freezer::of(record)? {
        Freezer::V2(directory) => {
            if has_event(directory, "frozen 1")? {
                return Ok(FreezerState::Frozen);
            }
            let mut buffer = [0; 16];
            let requested =
                read_short(directory, "cgroup.freeze", &mut buffer)?.is_some_and(|text| text == b"1");
            Ok(if requested { FreezerState::Freezing } else { FreezerState::Thawed })
        }
        Freezer::V1(directory) => Ok(match read_short(directory, "freezer.state", &mut [0; 16])? {
            Some(b"FROZEN") => FreezerState::Frozen,
            Some(b"FREEZING") => FreezerState::Freezing,
            _ => FreezerState::Thawed,
        }),
    }
}

/// Whether the processes are frozen, by this cgroup's freezer or an ancestor's; see
/// [`CgroupRecord::is_frozen`].
pub(super) fn is_frozen(record: &CgroupRecord) -> Result<bool> {
    match Freezer::of(record)? {
        Freezer::V2(directory) => has_event(directory, "frozen 1"),
        Freezer::V1(_) => Ok(state(record)? != FreezerState::Thawed),
    }
}

/// The directory whose files freeze a cgroup.
#[derive(Clone, Copy)]
enum Freezer<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

impl<'a> Freezer<'a> {
    fn of(record: &'a CgroupRecord) -> Result<Self> {
        if let Some(directory) = record.v1_of(Controller::Freezer) {
            return Ok(Self::V1(directory));
        }
        record.unified.as_deref().map(Self::V2).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the cgroup cannot be frozen")
                .with_detail("it is in no hierarchy that has a freezer")
        })
    }

    fn directory(self) -> &'a Path {
        match self {
            Self::V1(d) | Self::V2(d) => d,
        }
    }
}

/// Reads a short file with one read(2) and trims it; `None` if it does not exist.
fn read_short<'b>(directory: &Path, name: &str, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
    let fd = match open_file(directory, name, libc::O_RDONLY) {
        Ok(fd) => fd,
        Err(e) if is_gone(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    match retry(|| nix::unistd::read(&fd, buffer)) {
        Ok(length) => Ok(Some(buffer[..length].trim_ascii())),
        // EISDIR: a child cgroup with the name of the file, which this kernel does not have.
        Err(Errno::ENODEV | Errno::EOPNOTSUPP | Errno::EISDIR) => Ok(None),
        Err(e) => Err(failed("read", directory, name, e)),
    }
}

/// Whether `cgroup.events` has this line.
fn has_event(directory: &Path, line: &str) -> Result<bool> {
    // The file has two short lines.
    let mut buffer = [0; 256];
    let text = read_short(directory, "cgroup.events", &mut buffer)?.unwrap_or_default();
    Ok(text.split(|b| *b == b'\n').any(|l| l == line.as_bytes()))
}

fn freeze_v2(cgroup: DirRef<'_>, deadline: Instant) -> Result<bool> {
    cgroup.set("cgroup.freeze", b"1")?;
    wait_for_event(cgroup, "frozen 1", deadline)
}

/// Waits until `cgroup.events` has this line. Returns false if it does not before the deadline.
pub(super) fn wait_for_event(cgroup: DirRef<'_>, line: &str, deadline: Instant) -> Result<bool> {
    let failed = |e| cgroup.failed("read", "cgroup.events", e);
    let fd = match cgroup.open("cgroup.events", libc::O_RDONLY) {
        Ok(fd) => fd,
        // The root cgroup has no such file; a removed cgroup has no processes.
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(line == "populated 0" || line == "frozen 0"),
        Err(e) => return Err(failed(e)),
    };
    loop {
        let mut text = [0_u8; 256];
        let n = match retry(|| nix::sys::uio::pread(&fd, &mut text, 0)) {
            Err(Errno::ENODEV) => return Ok(line != "frozen 1"),
            other => other.map_err(failed)?,
        };
        if text[..n].split(|b| *b == b'\n').any(|l| l == line.as_bytes()) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        // The kernel may skip a notification, so the file is read again from time to time.
        let slice = left.min(Duration::from_millis(50)).as_millis().max(1);
        let timeout = PollTimeout::try_from(slice as i32).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// The v1 freezer may stay at FREEZING while a process forks or joins another cgroup. Writing FROZEN again helps, and so
/// does thawing for a moment.
fn freeze_v1(cgroup: DirRef<'_>, deadline: Instant) -> Result<bool> {
    for round in 0_u32.. {
        cgroup.set("freezer.state", b"FROZEN")?;
        if round % 50 == 49 {
            // The process that cannot be frozen may have to wait for another one.
            cgroup.set("freezer.state", b"THAWED")?;
            std::thread::sleep(Duration::from_millis(5));
            cgroup.set("freezer.state", b"FROZEN")?;
        }
        let state = cgroup.text("freezer.state")?.unwrap_or_default();
        if state.trim() == "FROZEN" {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_micros(if round < 20 { 100 } else { 1000 }));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::testing::TempDir;
    use crate::cgroup::{CgroupRecord, V1Directory};

    fn text(dir: &TempDir, file: &str) -> String {
        std::fs::read_to_string(dir.path().join(file)).unwrap()
    }

    #[test]
    fn a_cgroup_that_cannot_be_frozen_is_thawed() {
        let dir = TempDir::new("freeze");
        std::fs::write(dir.path().join("cgroup.freeze"), "0").unwrap();
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let cgroup = CgroupRecord { unified: Some(dir.path().to_owned()), ..CgroupRecord::default() };
        let error = freeze(&cgroup, Duration::from_millis(5)).unwrap_err();
        assert_eq!((error.kind(), text(&dir, "cgroup.freeze").as_str()), (ErrorKind::TimedOut, "0"));
        // The same if the state cannot be read.
        std::fs::remove_file(dir.path().join("cgroup.events")).unwrap();
        std::fs::create_dir(dir.path().join("cgroup.events")).unwrap();
        let error = freeze(&cgroup, Duration::from_millis(5)).unwrap_err();
        assert_eq!((error.kind(), text(&dir, "cgroup.freeze").as_str()), (ErrorKind::System, "0"));
    }

    #[test]
    fn a_v1_cgroup_that_cannot_be_frozen_is_thawed() {
        let dir = TempDir::new("freeze1");
        // A write replaces only the beginning of this text, so it never becomes FROZEN.
        std::fs::write(dir.path().join("freezer.state"), "FREEZING AND FREEZING").unwrap();
        let v1 = V1Directory { hierarchy: "freezer".into(), directory: dir.path().to_owned() };
        let cgroup = CgroupRecord { v1: vec![v1], ..CgroupRecord::default() };
        assert_eq!(freeze(&cgroup, Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(text(&dir, "freezer.state").starts_with("THAWED"));
    }
}
