//! Process groups.

use super::procfs::Procfs;
use super::stat;
use crate::Result;
use crate::sys::process::pidfd_open;
use std::os::fd::OwnedFd;

/// Pidfds of the processes that are in a process group now, except its leader.
///
/// # Errors
/// If the processes cannot be listed.
pub(crate) fn members_without_leader(leader: i32) -> Result<Vec<OwnedFd>> {
    let is_member = |pid: i32| stat::read(pid).is_ok_and(|stat| stat.is_some_and(|s| s.group == leader));
    let found = Procfs::open()?.pids()?.into_iter().filter(|pid| *pid != leader && is_member(*pid));
    // Checked again with the pidfd open: the pid may have been reused.
    Ok(found.filter_map(|pid| pidfd_open(pid).ok().filter(|_| is_member(pid))).collect())
}
