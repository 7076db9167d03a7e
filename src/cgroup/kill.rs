//! Killing, or signalling, every process of a cgroup.

use super::controller::Controller;
use super::create::Cgroup;
use super::dir::{Dir, DirRef, gone};
use super::freeze::wait_v2;
use super::procs;
use super::walk::{self, Visit, walk};
use crate::sys::process::{pidfd_open, pidfd_send_signal};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many pidfds are open at once: callers have few descriptors, containers may have many processes.
const BATCH: usize = 64;
/// How often the walk is repeated for processes that move between cgroups.
const PASSES: usize = 16;

impl Cgroup {
    /// Kills every process in the cgroup and below, and waits until it is empty.
    ///
    /// By `cgroup.kill` where the cgroup is in a cgroup2 hierarchy; a frozen cgroup dies too. On v1
    /// each process is killed through a pidfd; if that is not enough, new processes are prevented (`pids.max`)
    /// and the existing ones are frozen while they are killed. Afterwards nothing should be cloned into the cgroup
    /// (see [`Join`](super::Join)): remove it.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], naming the processes which are left after `timeout`.
    pub fn kill(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        if let Some(directory) = &self.record.unified
            && let Some(dir) = Dir::find(directory)?
        {
            match dir.at().write("cgroup.kill", b"1") {
                Ok(()) => {
                    self.thaw_below()?;
                    if !wait_v2(dir.at(), "populated 0", deadline)? {
                        return Err(left_over(directory, timeout));
                    }
                    if self.record.v1.is_empty() {
                        return Ok(());
                    }
                }
                // The cgroup is gone, the kernel lacks the file, or the subtree is threaded.
                Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => {}
                Err(e) => return Err(dir.at().failed("write", "cgroup.kill", e)),
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
        // Processes that are started meanwhile do not get the signal.
        let mut left: BTreeSet<i32> = procs::tree(directory)?.into_iter().collect();
        let mut reached = 0;
        for _ in 0..PASSES {
            if left.is_empty() {
                break;
            }
            let mut strike = Strike { signal, only: Some(&left), listed: 0, reached: BTreeSet::new() };
            strike.below(directory)?;
            let hit = strike.reached;
            if hit.is_empty() {
                break;
            }
            reached += hit.len();
            left.retain(|pid| !hit.contains(pid));
        }
        Ok(reached)
    }

    fn kill_each(&self, directory: &Path, deadline: Instant) -> Result<bool> {
        let (mut pause, mut limit) = (Duration::from_micros(100), None);
        for round in 0_u32.. {
            if round == 2 {
                limit = self.stop_forks()?;
            }
            if round > 2 {
                // Processes that migrate or freeze each other are stopped while all are killed.
                self.stop_for(Duration::from_millis(20))?;
            }
            let mut listed = kill_all(directory)?;
            if listed == 0 {
                // On v1 a process joins one hierarchy after the other, so a process whose creator was killed
                // may be in only some of them.
                for other in self.paths() {
                    listed += kill_all(other)?;
                }
                if listed == 0 {
                    return limit.map_or(Ok(()), |limit| self.allow_forks(&limit)).map(|()| true);
                }
            }
            // A frozen process dies only after it has been thawed.
            self.thaw_below()?;
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(false)
    }

    /// Prevents new processes, in case they are created faster than they are killed. Returns the limit of before.
    fn stop_forks(&self) -> Result<Option<String>> {
        let Some(pids) = self.record.v1_of(Controller::Pids) else { return Ok(None) };
        let Some(dir) = Dir::find(pids)? else { return Ok(None) };
        let before = dir.at().text("pids.max")?;
        match dir.at().write("pids.max", b"0") {
            Err(e) if !gone(e) => Err(dir.at().failed("write", "pids.max", e)),
            _ => Ok(before),
        }
    }

    /// Sets back the limit of processes, once there are none.
    fn allow_forks(&self, limit: &str) -> Result<()> {
        let Some(pids) = self.record.v1_of(Controller::Pids) else { return Ok(()) };
        match Dir::find(pids)? {
            Some(dir) => match dir.at().write("pids.max", limit.trim().as_bytes()) {
                Err(e) if !gone(e) => Err(dir.at().failed("write", "pids.max", e)),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }
}

/// Sends SIGKILL to every process in the cgroup and below; returns how many were listed.
fn kill_all(directory: &Path) -> Result<usize> {
    let mut strike = Strike { signal: libc::SIGKILL, only: None, listed: 0, reached: BTreeSet::new() };
    strike.below(directory)?;
    Ok(strike.listed)
}

/// Sends a signal to the processes of a cgroup and those below.
struct Strike<'a> {
    signal: i32,
    /// Only these processes, if given.
    only: Option<&'a BTreeSet<i32>>,
    listed: usize,
    reached: BTreeSet<i32>,
}

impl Strike<'_> {
    fn below(&mut self, directory: &Path) -> Result<()> {
        match Dir::find(directory)? {
            Some(dir) => walk(dir.at(), walk::PATIENT, self),
            None => Ok(()),
        }
    }

    /// Sends the signal to those processes that are still in this cgroup now that their pidfds are open: if a pid
    /// was reused outside of the cgroup, its new owner is not signalled.
    fn send(&mut self, cgroup: DirRef<'_>, held: &[(i32, OwnedFd)]) -> Result<()> {
        let now = procs::members(cgroup)?;
        for (pid, fd) in held.iter().filter(|(pid, _)| now.binary_search(pid).is_ok()) {
            match pidfd_send_signal(fd, self.signal) {
                Ok(()) => drop(self.reached.insert(*pid)),
                Err(Errno::ESRCH) => {}
                Err(e) => {
                    return Err(Error::sys(Phase::Cgroup, "signal process", e).on(pid.to_string()));
                }
            }
        }
        Ok(())
    }
}

impl Visit for Strike<'_> {
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        let mut pids = procs::members(cgroup)?;
        self.listed += pids.len();
        pids.retain(|pid| self.only.is_none_or(|only| only.contains(pid)) && !self.reached.contains(pid));
        in_batches(pids, |held| self.send(cgroup, held))
    }
}

/// Opens pidfds for the processes and passes them to `send` in batches, as large as the caller's descriptor limit
/// allows; two descriptors are kept free for `send`.
pub(crate) fn in_batches(
    pids: Vec<i32>,
    mut send: impl FnMut(&[(i32, OwnedFd)]) -> Result<()>,
) -> Result<()> {
    let open = |pid: i32| match pidfd_open(pid) {
        Ok(fd) => Ok(Some(fd)),
        // It has ended; or it is outside of this pid namespace, and listed as 0.
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(e) => Err(Error::sys(Phase::Cgroup, "pidfd_open", e).on(pid.to_string())),
    };
    let full = |e: &Error| matches!(e.errno(), Some(Errno::EMFILE | Errno::ENFILE));
    let own = std::process::id() as i32;
    let mut pids = pids.into_iter().peekable();
    while pids.peek().is_some() {
        let kept_free = (open(own)?, open(own)?);
        let mut held: Vec<(i32, OwnedFd)> = Vec::new();
        while let Some(&pid) = pids.peek().filter(|_| held.len() < BATCH) {
            match open(pid) {
                Err(e) if full(&e) && !held.is_empty() => break,
                other => held.extend(other?.map(|fd| (pid, fd))),
            }
            pids.next();
        }
        drop(kept_free);
        if !held.is_empty() {
            send(&held)?;
        }
    }
    Ok(())
}

fn left_over(directory: &Path, timeout: Duration) -> Error {
    // Without the list the message is still correct.
    let pids = procs::tree(directory).unwrap_or_default();
    Error::new(ErrorKind::TimedOut, Phase::Cgroup, "kill cgroup")
        .on(directory.display().to_string())
        .with_detail(format!(
            "processes left after {} ms: {}",
            timeout.as_millis(),
            super::remove::names(&pids)
        ))
}
