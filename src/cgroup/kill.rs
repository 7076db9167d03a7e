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
    let (mut rest, mut reached) = (&pids[..], 0);
    while !rest.is_empty() {
        let (held, taken) = hold(rest)?;
        if !held.is_empty() {
            // One counts only if its pid is in the cgroup still (or again) after the pidfd was opened, so that no process
            // elsewhere is ever hit.
            let now = procs::tree(directory)?;
            for (pid, fd) in held.iter().filter(|(pid, _)| now.binary_search(pid).is_ok()) {
                send(*pid, fd, signal)?;
                reached += 1;
            }
        }
        rest = &rest[taken..];
    }
    Ok(reached)
}

/// A pidfd of each of the first of these processes, and how many of them were looked at.
fn hold(pids: &[i32]) -> Result<(Vec<(i32, OwnedFd)>, usize)> {
    let mut held = Vec::new();
    let mut taken = 0;
    for pid in pids.iter().take(BATCH) {
        // Zero stands for a process outside of this pid namespace.
        match pidfd_open(*pid) {
            Ok(fd) => held.push((*pid, fd)),
            Err(Errno::ESRCH | Errno::EINVAL) => {}
            // What follows needs some descriptors too.
            Err(Errno::EMFILE | Errno::ENFILE) if held.len() > 1 => {
                held.truncate(held.len() / 2);
                let last = held.last().map_or(0, |(pid, _)| *pid);
                taken = pids.iter().position(|pid| *pid == last).map_or(taken, |at| at + 1);
                break;
            }
            Err(e) => return Err(Error::sys(Phase::Cgroup, "pidfd_open", e).on(pid.to_string())),
        }
        taken += 1;
    }
    Ok((held, taken))
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
