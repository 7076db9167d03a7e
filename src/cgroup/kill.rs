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
                    self.thaw_v1();
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
        let Some(directory) = self.census() else { return Ok(0) };
        let held = hold(directory)?;
        for (pid, fd) in &held {
            send(*pid, fd, signal)?;
        }
        Ok(held.len())
    }

    fn kill_each(&self, directory: &Path, deadline: Instant) -> Result<bool> {
        let mut pause = Duration::from_micros(100);
        for round in 0_u32.. {
            let mut held = hold(directory)?;
            if held.is_empty() && procs::tree(directory)?.is_empty() {
                held = self.hold_latecomers()?;
                if held.is_empty() {
                    return Ok(true);
                }
            }
            for (pid, fd) in &held {
                send(*pid, fd, libc::SIGKILL)?;
            }
            // A frozen process dies only once it is let go.
            self.thaw_v1();
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
    fn hold_latecomers(&self) -> Result<Vec<(i32, OwnedFd)>> {
        for directory in self.paths() {
            let held = hold(directory)?;
            if !held.is_empty() {
                return Ok(held);
            }
        }
        Ok(Vec::new())
    }

    fn thaw_v1(&self) {
        if let Some(directory) = self.record.v1_of(Controller::Freezer) {
            // Best effort: the deadline tells if it was needed and failed.
            let _ = file::write(directory, "freezer.state", b"THAWED");
        }
    }
}

/// A pidfd of each process; one counts only if its pid is in the cgroup still (or again) after the
/// pidfd was opened, so that no process elsewhere is ever hit.
fn hold(directory: &Path) -> Result<Vec<(i32, OwnedFd)>> {
    let mut held = Vec::new();
    for pid in procs::tree(directory)? {
        // Zero stands for a process outside of this pid namespace.
        match pidfd_open(pid) {
            Ok(fd) => held.push((pid, fd)),
            Err(Errno::ESRCH | Errno::EINVAL) => {}
            Err(e) => return Err(Error::sys(Phase::Cgroup, "pidfd_open", e).on(pid.to_string())),
        }
    }
    if !held.is_empty() {
        let now = procs::tree(directory)?;
        held.retain(|(pid, _)| now.binary_search(pid).is_ok());
    }
    Ok(held)
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
