//! Killing, or signalling, every process of a cgroup.

use super::controller::Controller;
use super::create::Cgroup;
use super::freeze::wait_v2;
use super::{file, procs};
use crate::sys::process::{pidfd_open, pidfd_send_signal};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

impl Cgroup {
    /// Kills every process in the cgroup and below, and waits until it is empty.
    ///
    /// By `cgroup.kill` where the cgroup is in a cgroup2 hierarchy; a frozen cgroup dies too. On v1
    /// each process is killed through a pidfd, and new ones are prevented (`pids.max`) if that is
    /// not enough. Afterwards nothing should be cloned into the cgroup (see [`Join`](super::Join)):
    /// remove it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], naming the processes which are left after `timeout`.
    pub fn kill(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        if let Some(directory) = &self.record.unified {
            match file::write(directory, "cgroup.kill", b"1") {
                Ok(()) => {
                    self.release();
                    if wait_v2(directory, "populated 0", deadline)? {
                        return Ok(());
                    }
                    return Err(left_over(directory, timeout));
                }
                // Not there: gone. Refused: in a threaded subtree.
                Err(Errno::ENOENT | Errno::ENODEV) if !file::exists(directory, "") => return Ok(()),
                Err(Errno::ENOENT | Errno::EOPNOTSUPP) => {}
                Err(e) => return Err(file::failed("write", directory, "cgroup.kill", e)),
            }
        }
        let Some(directory) = self.census() else { return Ok(()) };
        self.kill_each(directory, deadline)
            .and_then(|done| if done { Ok(()) } else { Err(left_over(directory, timeout)) })
    }

    /// Sends a signal once to every process that is in the cgroup or below now; how many there were.
    ///
    /// # Errors
    /// The kernel's refusal; a process that has just ended is none.
    pub fn signal(&self, signal: i32) -> Result<usize> {
        self.census().map_or(Ok(0), |directory| signal_each(directory, signal))
    }

    fn kill_each(&self, directory: &Path, deadline: Instant) -> Result<bool> {
        let mut pause = Duration::from_micros(100);
        for round in 0_u32.. {
            if signal_each(directory, libc::SIGKILL)? == 0
                && procs::tree(directory)?.is_empty()
                && self.signal_latecomers()? == 0
            {
                return Ok(true);
            }
            // A frozen process dies only once it is let go.
            self.release();
            if Instant::now() >= deadline {
                return Ok(false);
            }
            if round == 2
                && let Some(pids) = self.record.v1_of(Controller::Pids)
            {
                // It forks faster than it is killed.
                let _ = file::write(pids, "pids.max", b"0");
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// On v1 a process joins one hierarchy after the other: one whose maker was killed meanwhile may
    /// be in some of them only.
    fn signal_latecomers(&self) -> Result<usize> {
        for directory in self.paths() {
            let reached = signal_each(directory, libc::SIGKILL)?;
            if reached > 0 {
                return Ok(reached);
            }
        }
        Ok(0)
    }
}

/// How many processes are held at once, at most.
const BATCH: usize = 256;

/// Sends a signal once to every process that is in the directory or below now; how many were reached. The caller may have
/// fewer descriptors than there are processes.
fn signal_each(directory: &Path, signal: i32) -> Result<usize> {
    let pids = procs::tree(directory)?;
    let (mut rest, mut batch, mut reached) = (&pids[..], BATCH, 0);
    while !rest.is_empty() {
        let some = &rest[..rest.len().min(batch)];
        match signal_some(directory, some, signal) {
            Err(e) if some.len() > 1 && matches!(e.errno(), Some(Errno::EMFILE | Errno::ENFILE)) => {
                batch = some.len() / 2;
            }
            done => {
                reached += done?;
                rest = &rest[some.len()..];
            }
        }
    }
    Ok(reached)
}

/// Signals those of the processes that are in the directory or below; how many. A process counts only if its pid is there
/// still (or again) after its pidfd was opened, so that none elsewhere is ever hit.
fn signal_some(directory: &Path, pids: &[i32], signal: i32) -> Result<usize> {
    let mut held: Vec<(i32, OwnedFd)> = Vec::with_capacity(pids.len());
    for pid in pids {
        // Zero stands for a process outside of this pid namespace.
        match pidfd_open(*pid) {
            Ok(fd) => held.push((*pid, fd)),
            Err(Errno::ESRCH | Errno::EINVAL) => {}
            Err(e) => return Err(Error::sys(Phase::Cgroup, "pidfd_open", e).on(pid.to_string())),
        }
    }
    if held.is_empty() {
        return Ok(0);
    }
    let now = procs::tree(directory)?;
    held.retain(|(pid, _)| now.binary_search(pid).is_ok());
    held.iter().try_for_each(|(pid, fd)| send(*pid, fd, signal))?;
    Ok(held.len())
}

fn send(pid: i32, fd: &OwnedFd, signal: i32) -> Result<()> {
    match pidfd_send_signal(fd, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(Error::sys(Phase::Cgroup, "signal process", e).on(pid.to_string())),
    }
}

fn left_over(directory: &Path, timeout: Duration) -> Error {
    let pids = procs::tree(directory).unwrap_or_default();
    Error::new(ErrorKind::TimedOut, Phase::Cgroup, "kill cgroup")
        .on(directory.display().to_string())
        .with_detail(format!(
            "processes left after {} ms: {}",
            timeout.as_millis(),
            super::remove::names(&pids)
        ))
}
