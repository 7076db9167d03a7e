//! Who lives in a pid namespace, for containers that no cgroup sets apart.

use super::liveness;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// The processes of `init`'s pid namespace and those below it, sorted. Those which the caller may not
/// look at are left out: they are not his.
pub(super) fn of_namespace(init: i32) -> Result<Vec<i32>> {
    let failed = |e| Error::sys(Phase::Lifecycle, "list the processes below", e).on("/proc");
    let Some(ours) = namespace(init) else { return Ok(Vec::new()) };
    let mut found = BTreeSet::new();
    let mut others = Vec::new();
    for pid in all().map_err(failed)? {
        if namespace(pid) == Some(ours) {
            found.insert(pid);
        } else if let Ok(Some(parent)) = parent(pid) {
            others.push((pid, parent));
        }
    }
    // A namespace below has its first process from this one, and its processes are that one's heirs.
    loop {
        let before = found.len();
        others.retain(|&(pid, parent)| !(found.contains(&parent) && found.insert(pid)));
        if found.len() == before {
            return Ok(found.into_iter().collect());
        }
    }
}

/// The processes of a process group but its leader, each held by its pidfd; those which are there when it is asked.
pub(super) fn of_group(leader: i32) -> Vec<OwnedFd> {
    let is_member = |pid: i32| liveness::stat(pid).is_ok_and(|stat| stat.is_some_and(|s| s.group == leader));
    let found = all().unwrap_or_default().into_iter().filter(|pid| *pid != leader && is_member(*pid));
    // A pid counts only if it is of the group still (or again) after its pidfd was opened.
    found.filter_map(|pid| sys::process::pidfd_open(pid).ok().filter(|_| is_member(pid))).collect()
}

/// Every process that `/proc` shows.
fn all() -> Result<Vec<i32>, Errno> {
    let proc = sys::fs::openat(sys::fs::cwd(), c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let mut found = Vec::new();
    for entry in nix::dir::Dir::from_fd(proc)?.iter() {
        found.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(found)
}

/// The device and inode of a process's pid namespace; `None` once it has gone, or where it is not to
/// be seen.
fn namespace(pid: i32) -> Option<(u64, u64)> {
    nix::sys::stat::stat(format!("/proc/{pid}/ns/pid").as_str()).ok().map(|s| (s.st_dev, s.st_ino))
}

fn parent(pid: i32) -> Result<Option<i32>, Errno> {
    Ok(liveness::stat(pid)?.map(|stat| stat.parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_in_its_namespace_and_the_sum_is_sorted() {
        let pid = std::process::id() as i32;
        let all = of_namespace(pid).unwrap();
        assert!(all.binary_search(&pid).is_ok(), "{all:?}");
        assert!(all.is_sorted());
        assert_eq!(of_namespace(i32::MAX).unwrap(), [0_i32; 0]);
    }
}
