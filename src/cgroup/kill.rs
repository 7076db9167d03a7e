//! Kills or signals every process of a cgroup.

use super::controller::Controller;
use super::dir::{Dir, DirRef};
use super::file::is_gone_errno;
use super::freeze::{thaw_descendants, try_freeze_v1, wait_for_event};
use super::pidfds::in_batches;
use super::procs;
use super::record::CgroupRecord;
use super::walk::{self, Visitor, walk};
use crate::sys::process::pidfd_send_signal;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the walk is repeated for processes that move between cgroups.
const PASSES: usize = 16;

/// Kills every process of the cgroup and its descendants, and waits until it is empty.
pub(super) fn kill(record: &CgroupRecord, timeout: Duration) -> Result<()> {
    let deadline = Instant::now() + timeout;
    if let Some(directory) = &record.unified
        && let Some(dir) = Dir::open_if_exists(directory)?
    {
        match dir.at().write("cgroup.kill", b"1") {
            Ok(()) => {
                thaw_descendants(record)?;
                // A process that v1 freezes may have to be thawed more than once.
                if record.v1.is_empty() {
                    let empty = wait_for_event(dir.at(), "populated 0", deadline)?;
                    return if empty { Ok(()) } else { Err(left_over(directory, timeout)) };
                }
            }
            // The cgroup is gone, the kernel lacks the file, or the cgroup is threaded.
            Err(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP) => {}
            Err(e) => return Err(dir.at().failed("write", "cgroup.kill", e)),
        }
    }
    let Some(directory) = procs::listing_directory(record) else { return Ok(()) };
    let killed = kill_each(record, directory, deadline)?;
    if killed { Ok(()) } else { Err(left_over(directory, timeout)) }
}

/// Sends a signal once to every process that is now in the cgroup or its descendants. Returns how many there were.
pub(super) fn signal(record: &CgroupRecord, signal: i32) -> Result<usize> {
    let Some(directory) = procs::listing_directory(record) else { return Ok(0) };
    // Processes that start later do not get the signal.
    let mut left: BTreeSet<i32> = procs::processes_in(directory)?.into_iter().collect();
    let mut reached = 0;
    for _ in 0..PASSES {
        if left.is_empty() {
            break;
        }
        let mut visitor = SignalVisitor { signal, only: Some(&left), listed: 0, reached: BTreeSet::new() };
        visitor.visit(directory)?;
        let signalled = visitor.reached;
        if signalled.is_empty() {
            break;
        }
        reached += signalled.len();
        left.retain(|pid| !signalled.contains(pid));
    }
    Ok(reached)
}

/// Kills the processes one by one. Returns false if some are left at the deadline.
fn kill_each(record: &CgroupRecord, directory: &Path, deadline: Instant) -> Result<bool> {
    let (mut pause, mut old_limit) = (Duration::from_micros(100), None);
    for round in 0_u32.. {
        if round == 2 {
            old_limit = forbid_forks(record)?;
        }
        if round > 2 {
            // While frozen, processes cannot move to another cgroup or freeze each other.
            try_freeze_v1(record, Duration::from_millis(20))?;
        }
        let mut listed = signal_all(directory)?;
        if listed == 0 {
            // On v1 a process joins one hierarchy after the other. If its creator was killed in between, it is only in
            // some of them.
            for other in record.paths() {
                listed += signal_all(other)?;
            }
            if listed == 0 {
                return old_limit.map_or(Ok(()), |limit| restore_pids_limit(record, &limit)).map(|()| true);
            }
        }
        // A frozen process dies only after it has been thawed.
        thaw_descendants(record)?;
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    Ok(false)
}

/// Sets `pids.max` to 0, in case processes are created faster than they are killed. Returns the previous limit.
fn forbid_forks(record: &CgroupRecord) -> Result<Option<String>> {
    let Some(pids) = record.v1_of(Controller::Pids) else { return Ok(None) };
    let Some(dir) = Dir::open_if_exists(pids)? else { return Ok(None) };
    let before = dir.at().text("pids.max")?;
    match dir.at().write("pids.max", b"0") {
        Err(e) if !is_gone_errno(e) => Err(dir.at().failed("write", "pids.max", e)),
        _ => Ok(before),
    }
}

fn restore_pids_limit(record: &CgroupRecord, limit: &str) -> Result<()> {
    let Some(pids) = record.v1_of(Controller::Pids) else { return Ok(()) };
    let Some(dir) = Dir::open_if_exists(pids)? else { return Ok(()) };
    match dir.at().write("pids.max", limit.trim().as_bytes()) {
        Err(e) if !is_gone_errno(e) => Err(dir.at().failed("write", "pids.max", e)),
        _ => Ok(()),
    }
}

/// Sends SIGKILL to every process of the cgroup and its descendants. Returns how many were listed.
fn signal_all(directory: &Path) -> Result<usize> {
    let mut visitor =
        SignalVisitor { signal: libc::SIGKILL, only: None, listed: 0, reached: BTreeSet::new() };
    visitor.visit(directory)?;
    Ok(visitor.listed)
}

/// Sends a signal to the processes of a cgroup and its descendants.
struct SignalVisitor<'a> {
    signal: i32,
    /// Only these processes, if given.
    only: Option<&'a BTreeSet<i32>>,
    /// How many processes were listed.
    listed: usize,
    /// The processes that were signalled.
    reached: BTreeSet<i32>,
}

impl SignalVisitor<'_> {
    fn visit(&mut self, directory: &Path) -> Result<()> {
        match Dir::open_if_exists(directory)? {
            Some(dir) => walk(dir.at(), walk::REMOVAL_TIMEOUT, self),
            None => Ok(()),
        }
    }

    /// Sends the signal to those processes that are still in this cgroup after their pidfds were opened. A process
    /// outside of the cgroup that has reused a pid is not signalled.
    fn send(&mut self, cgroup: DirRef<'_>, batch: &[(i32, OwnedFd)]) -> Result<()> {
        let now = procs::members(cgroup)?;
        for (pid, fd) in batch.iter().filter(|(pid, _)| now.binary_search(pid).is_ok()) {
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

impl Visitor for SignalVisitor<'_> {
    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        let mut pids = procs::members(cgroup)?;
        self.listed += pids.len();
        pids.retain(|pid| self.only.is_none_or(|only| only.contains(pid)) && !self.reached.contains(pid));
        in_batches(pids, |batch| self.send(cgroup, batch))
    }
}

fn left_over(directory: &Path, timeout: Duration) -> Error {
    // If the list cannot be read, the message is still correct.
    let pids = procs::processes_in(directory).unwrap_or_default();
    Error::new(ErrorKind::TimedOut, Phase::Cgroup, "kill cgroup")
        .on(directory.display().to_string())
        .with_detail(format!("processes left after {} ms: {}", timeout.as_millis(), procs::summary(&pids)))
}
