//! Who lives in a pid namespace, for containers that no cgroup sets apart.

use super::liveness;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;

/// The processes of `init`'s pid namespace and those below it, sorted. Those which the caller may not
/// look at are left out: they are not his.
pub(super) fn of_namespace(init: i32) -> Result<Vec<i32>> {
    let failed = |e| Error::sys(Phase::Lifecycle, "list the processes below", e).on("/proc");
    let Some(ours) = namespace(init)? else { return Ok(Vec::new()) };
    let proc =
        sys::fs::openat(sys::fs::cwd(), c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0).map_err(failed)?;
    let mut found = BTreeSet::new();
    let mut others = Vec::new();
    for entry in nix::dir::Dir::from_fd(proc).map_err(failed)?.iter() {
        let name = entry.map_err(failed)?;
        let Some(pid) = name.file_name().to_str().ok().and_then(|n| n.parse::<i32>().ok()) else { continue };
        if namespace(pid)? == Some(ours) {
            found.insert(pid);
        } else if let Some(parent) = parent(pid)? {
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

/// The device and inode of a process's pid namespace; `None` once it has gone, or where it is not to
/// be seen.
fn namespace(pid: i32) -> Result<Option<(u64, u64)>> {
    let path = format!("/proc/{pid}/ns/pid");
    match nix::sys::stat::stat(path.as_str()) {
        Ok(s) => Ok(Some((s.st_dev, s.st_ino))),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(e) => Err(Error::sys(Phase::Lifecycle, "stat", e).on(path)),
    }
}

fn parent(pid: i32) -> Result<Option<i32>> {
    let failed = |e| Error::sys(Phase::Lifecycle, "read", e).on(format!("/proc/{pid}/stat"));
    match liveness::stat(pid) {
        Ok(stat) => Ok(stat.map(|stat| stat.parent)),
        // As with hidepid: it is another user's.
        Err(Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(e) => Err(failed(e)),
    }
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
