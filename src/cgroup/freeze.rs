//! Stopping every process of a cgroup, and letting it go on.

use super::controller::Controller;
use super::create::Cgroup;
use super::dir::{Dir, DirRef, failed, gone, is_gone, open_file};
use super::record::Record;
use super::walk::{self, walk};
use crate::sys::retry;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the freezer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezerState {
    /// Processes run.
    Thawed,
    /// Some stand still, some not yet.
    Freezing,
    /// All stand still.
    Frozen,
}

impl Cgroup {
    /// Stops every process in the cgroup and below, and waits until all stand still.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where some process does not stop within `timeout` (it hangs in the
    /// kernel), or the kernel's refusal; on either the cgroup is thawed again.
    pub fn freeze(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let freezer = self.record.freezer()?;
        let dir = Dir::open(freezer.directory())?;
        let done = match freezer {
            Freezer::V2(_) => freeze_v2(dir.at(), deadline),
            Freezer::V1(_) => freeze_v1(dir.at(), deadline),
        };
        match done {
            Ok(true) => return Ok(()),
            Ok(false) => self.thaw()?,
            // Half frozen helps nobody; why it could not be frozen is what the caller wants to know.
            Err(e) => {
                return Err(match self.thaw() {
                    Ok(()) => e,
                    Err(again) => e.with_hint(format!("thawing it failed too: {again}")),
                });
            }
        }
        Err(Error::new(ErrorKind::TimedOut, Phase::Cgroup, "freeze cgroup")
            .on(freezer.directory().display().to_string())
            .with_detail(format!("a process did not stop within {} ms", timeout.as_millis())))
    }

    /// Lets the processes go on.
    ///
    /// # Errors
    /// That there is no freezer, or the kernel's refusal.
    pub fn thaw(&self) -> Result<()> {
        self.begin_thaw()?;
        match self.record.freezer()? {
            Freezer::V2(directory) => {
                let deadline = Instant::now() + Duration::from_secs(2);
                wait_v2(Dir::open(directory)?.at(), "frozen 0", deadline).map(drop)
            }
            Freezer::V1(_) => Ok(()),
        }
    }

    /// The same without waiting. Below a cgroup that is frozen itself they go on only with that one.
    pub(crate) fn begin_thaw(&self) -> Result<()> {
        let freezer = self.record.freezer()?;
        let dir = Dir::open(freezer.directory())?;
        match freezer {
            Freezer::V2(_) => dir.at().set("cgroup.freeze", b"0"),
            Freezer::V1(_) => dir.at().set("freezer.state", b"THAWED"),
        }
    }

    /// On v1, thaws the cgroup and every cgroup below that is frozen, since frozen processes do not die there (on v2
    /// they do). Returns whether a cgroup below was frozen.
    ///
    /// # Errors
    /// The kernel's refusal; that a cgroup no longer exists is not an error.
    pub(crate) fn thaw_below(&self) -> Result<bool> {
        let Some(top) = self.record.v1_of(Controller::Freezer) else { return Ok(false) };
        let Some(dir) = Dir::find(top)? else { return Ok(false) };
        let mut any = false;
        walk(dir.at(), walk::PATIENT, &mut |cgroup: DirRef<'_>| {
            // Parents come first: a frozen parent keeps its children frozen.
            match cgroup.text("freezer.state")? {
                Some(state) if state.trim() != "THAWED" => any |= cgroup.path() != top,
                _ => return Ok(()),
            }
            match cgroup.write("freezer.state", b"THAWED") {
                Err(e) if !gone(e) => Err(cgroup.failed("write", "freezer.state", e)),
                _ => Ok(()),
            }
        })?;
        Ok(any)
    }

    /// On v1, freezes the cgroup as far as possible within `patience`.
    pub(super) fn stop_for(&self, patience: Duration) -> Result<()> {
        let Some(top) = self.record.v1_of(Controller::Freezer) else { return Ok(()) };
        let Some(dir) = Dir::find(top)? else { return Ok(()) };
        match freeze_v1(dir.at(), Instant::now() + patience) {
            Err(e) if !is_gone(&e) => Err(e),
            _ => Ok(()),
        }
    }

    /// What the freezer is doing.
    ///
    /// # Errors
    /// That there is no freezer, or that it cannot be read.
    pub fn freezer_state(&self) -> Result<FreezerState> {
        self.record.freezer_state()
    }
}

impl Record {
    /// What the freezer of the cgroup is doing.
    ///
    /// # Errors
    /// That there is no freezer, or that it cannot be read.
    pub fn freezer_state(&self) -> Result<FreezerState> {
        match self.freezer()? {
            Freezer::V2(directory) => {
                if event(directory, "frozen 1")? {
                    return Ok(FreezerState::Frozen);
                }
                let mut buffer = [0; 16];
                let asked = text(directory, "cgroup.freeze", &mut buffer)?.is_some_and(|t| t == b"1");
                Ok(if asked { FreezerState::Freezing } else { FreezerState::Thawed })
            }
            Freezer::V1(directory) => Ok(match text(directory, "freezer.state", &mut [0; 16])? {
                Some(b"FROZEN") => FreezerState::Frozen,
                Some(b"FREEZING") => FreezerState::Freezing,
                _ => FreezerState::Thawed,
            }),
        }
    }

    /// Whether the processes stand still, by this cgroup's freezer or one above it. On v1 those count which
    /// are about to: they do not die of a signal before they are thawed. Half of what
    /// [`freezer_state`](Self::freezer_state) reads on v2.
    ///
    /// # Errors
    /// As [`freezer_state`](Self::freezer_state).
    pub fn is_frozen(&self) -> Result<bool> {
        match self.freezer()? {
            Freezer::V2(directory) => event(directory, "frozen 1"),
            Freezer::V1(_) => Ok(self.freezer_state()? != FreezerState::Thawed),
        }
    }

    fn freezer(&self) -> Result<Freezer<'_>> {
        if let Some(directory) = self.v1_of(Controller::Freezer) {
            return Ok(Freezer::V1(directory));
        }
        self.unified.as_deref().map(Freezer::V2).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, Phase::Cgroup, "the cgroup cannot be frozen")
                .with_detail("it is in no hierarchy that has a freezer")
        })
    }
}

#[derive(Clone, Copy)]
enum Freezer<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

impl<'a> Freezer<'a> {
    fn directory(self) -> &'a Path {
        match self {
            Self::V1(d) | Self::V2(d) => d,
        }
    }
}

/// Reads a short file with one read(2), trimmed; `None` if it does not exist.
fn text<'b>(directory: &Path, name: &str, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
    let fd = match open_file(directory, name, libc::O_RDONLY) {
        Ok(fd) => fd,
        Err(e) if is_gone(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    match retry(|| nix::unistd::read(&fd, buffer)) {
        Ok(length) => Ok(Some(buffer[..length].trim_ascii())),
        // EISDIR: a child cgroup with the name of a file that this kernel does not have.
        Err(Errno::ENODEV | Errno::EOPNOTSUPP | Errno::EISDIR) => Ok(None),
        Err(e) => Err(failed("read", directory, name, e)),
    }
}

fn event(directory: &Path, line: &str) -> Result<bool> {
    // Two short lines, which come by one read(2).
    let mut buffer = [0; 256];
    let text = text(directory, "cgroup.events", &mut buffer)?.unwrap_or_default();
    Ok(text.split(|b| *b == b'\n').any(|l| l == line.as_bytes()))
}

fn freeze_v2(cgroup: DirRef<'_>, deadline: Instant) -> Result<bool> {
    cgroup.set("cgroup.freeze", b"1")?;
    wait_v2(cgroup, "frozen 1", deadline)
}

/// Waits for a line of `cgroup.events`, whose changes poll(2) reports as exceptional.
pub(super) fn wait_v2(cgroup: DirRef<'_>, line: &str, deadline: Instant) -> Result<bool> {
    let failed = |e| cgroup.failed("read", "cgroup.events", e);
    let fd = match cgroup.open("cgroup.events", libc::O_RDONLY) {
        Ok(fd) => fd,
        // A root has no such file, a vanished cgroup no processes.
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(line == "populated 0" || line == "frozen 0"),
        Err(e) => return Err(failed(e)),
    };
    loop {
        let mut text = [0_u8; 256];
        let n = match crate::sys::retry(|| nix::sys::uio::pread(&fd, &mut text, 0)) {
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
        // Looked at again from time to time: a notification may be skipped by the kernel.
        let slice = left.min(Duration::from_millis(50)).as_millis().max(1);
        let timeout = PollTimeout::try_from(slice as i32).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed(e)),
        }
    }
}

/// The v1 freezer may stay at FREEZING while a process forks or enters another hierarchy: asking
/// again helps, and so does thawing for an instant.
fn freeze_v1(cgroup: DirRef<'_>, deadline: Instant) -> Result<bool> {
    for round in 0_u32.. {
        cgroup.set("freezer.state", b"FROZEN")?;
        if round % 50 == 49 {
            // What stands in the way may need to run.
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
    use crate::cgroup::{Place, Record};

    fn text(dir: &TempDir, file: &str) -> String {
        std::fs::read_to_string(dir.path().join(file)).unwrap()
    }

    #[test]
    fn what_cannot_be_frozen_runs_on() {
        let dir = TempDir::new("freeze");
        std::fs::write(dir.path().join("cgroup.freeze"), "0").unwrap();
        std::fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let cgroup = Cgroup::open(Record { unified: Some(dir.path().to_owned()), ..Record::default() });
        let error = cgroup.freeze(Duration::from_millis(5)).unwrap_err();
        assert_eq!((error.kind(), text(&dir, "cgroup.freeze").as_str()), (ErrorKind::TimedOut, "0"));
        // Nor what cannot be seen to stand still.
        std::fs::remove_file(dir.path().join("cgroup.events")).unwrap();
        std::fs::create_dir(dir.path().join("cgroup.events")).unwrap();
        let error = cgroup.freeze(Duration::from_millis(5)).unwrap_err();
        assert_eq!((error.kind(), text(&dir, "cgroup.freeze").as_str()), (ErrorKind::System, "0"));
    }

    #[test]
    fn what_cannot_be_frozen_on_v1_runs_on() {
        let dir = TempDir::new("freeze1");
        // The text stays longer than what is written over it, and so is not what is waited for.
        std::fs::write(dir.path().join("freezer.state"), "FREEZING AND FREEZING").unwrap();
        let place = Place { hierarchy: "freezer".into(), directory: dir.path().to_owned() };
        let cgroup = Cgroup::open(Record { v1: vec![place], ..Record::default() });
        assert_eq!(cgroup.freeze(Duration::from_millis(5)).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(text(&dir, "freezer.state").starts_with("THAWED"));
    }
}
