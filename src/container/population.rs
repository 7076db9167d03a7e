//! Who lives in a pid namespace, for containers that no cgroup sets apart.

use super::{Signal, liveness};
use crate::cgroup::in_batches;
use crate::sys::fs as sysfs;
use crate::sys::process::{pidfd_open, pidfd_send_signal};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statfs::PROC_SUPER_MAGIC;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// The processes of `init`'s pid namespace and those below it, sorted. Processes that the caller has no permission
/// to inspect are left out.
///
/// # Errors
/// If a process cannot be inspected for another reason, or `init` itself cannot.
pub(super) fn of_namespace(init: i32) -> Result<Vec<i32>> {
    let proc = Proc::open()?;
    let Some(ours) = proc.of_init(init)? else { return Ok(Vec::new()) };
    proc.members(ours)
}

/// Sends a signal to all processes of `init`'s pid namespace and those below it, except `init`; returns whether there
/// were any.
///
/// # Errors
/// As [`of_namespace`], and the kernel's refusal.
pub(super) fn signal(init: i32, signal: Signal) -> Result<bool> {
    let proc = Proc::open()?;
    let Some(ours) = proc.of_init(init)? else { return Ok(false) };
    let mut pids = proc.members(ours)?;
    pids.retain(|pid| *pid != init);
    let any = !pids.is_empty();
    in_batches(pids, |held| {
        // Only processes that are still members now that their pidfds are open: a pid may have been reused.
        let mut now: Option<Vec<i32>> = None;
        for (pid, fd) in held {
            if proc.namespace(*pid)? != Some(ours) {
                let now = match &mut now {
                    Some(now) => now,
                    None => now.insert(proc.members(ours)?),
                };
                if now.binary_search(pid).is_err() {
                    continue;
                }
            }
            match pidfd_send_signal(fd, signal.number()) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(e) => {
                    return Err(Error::sys(Phase::Lifecycle, "signal process", e).on(pid.to_string()));
                }
            }
        }
        Ok(())
    })?;
    Ok(any)
}

/// The device and inode of a namespace.
type Namespace = (u64, u64);

/// The procfs of the caller's pid namespace.
struct Proc(OwnedFd);

impl Proc {
    fn open() -> Result<Self> {
        let failed = |e| Error::sys(Phase::Lifecycle, "open", e).on("/proc");
        let fd =
            sysfs::openat(sysfs::cwd(), c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0).map_err(failed)?;
        if sysfs::file_system(&fd).map_err(failed)? != PROC_SUPER_MAGIC {
            return Err(failed(Errno::ENODEV).with_detail("it is not a procfs"));
        }
        Ok(Self(fd))
    }

    fn look(&self, pid: i32) -> Result<Option<Namespace>, Errno> {
        match fstatat(&self.0, format!("{pid}/ns/pid").as_str(), AtFlags::empty()) {
            Ok(found) => Ok(Some((found.st_dev, found.st_ino))),
            Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The pid namespace of a container's init process; `None` if it has ended.
    fn of_init(&self, pid: i32) -> Result<Option<Namespace>> {
        self.look(pid).map_err(|e| not_seen("stat", pid, "ns/pid", e))
    }

    /// The pid namespace of a process; `None` if it has ended, or the caller has no permission to see it.
    fn namespace(&self, pid: i32) -> Result<Option<Namespace>> {
        match self.look(pid) {
            Err(Errno::EACCES | Errno::EPERM) => Ok(None),
            other => other.map_err(|e| not_seen("stat", pid, "ns/pid", e)),
        }
    }

    fn parent(pid: i32) -> Result<Option<i32>> {
        match liveness::stat(pid) {
            Err(Errno::EACCES | Errno::EPERM) => Ok(None),
            other => Ok(other.map_err(|e| not_seen("read", pid, "stat", e))?.map(|stat| stat.parent)),
        }
    }

    /// Every process that it shows.
    fn all(&self) -> Result<Vec<i32>> {
        let failed = |e| Error::sys(Phase::Lifecycle, "list the processes below", e).on("/proc");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = nix::dir::Dir::openat(&self.0, c".", flags, Mode::empty()).map_err(failed)?;
        let mut found = Vec::new();
        for entry in listing.iter() {
            let name = entry.map_err(failed)?;
            found.extend(name.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
        }
        Ok(found)
    }

    /// The processes of a pid namespace and those below it, sorted.
    fn members(&self, ours: Namespace) -> Result<Vec<i32>> {
        let mut found = BTreeSet::new();
        let mut others = Vec::new();
        for pid in self.all()? {
            if self.namespace(pid)? == Some(ours) {
                found.insert(pid);
            } else if let Some(parent) = Self::parent(pid)? {
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
}

/// The processes of a process group but its leader, each held by its pidfd; those which are there when it is asked.
///
/// # Errors
/// That the processes cannot be listed.
pub(super) fn of_group(leader: i32) -> Result<Vec<OwnedFd>> {
    let is_member = |pid: i32| liveness::stat(pid).is_ok_and(|stat| stat.is_some_and(|s| s.group == leader));
    let found = Proc::open()?.all()?.into_iter().filter(|pid| *pid != leader && is_member(*pid));
    // A pid counts only if it is of the group still (or again) after its pidfd was opened.
    Ok(found.filter_map(|pid| pidfd_open(pid).ok().filter(|_| is_member(pid))).collect())
}

fn not_seen(operation: &'static str, pid: i32, file: &str, errno: Errno) -> Error {
    Error::sys(Phase::Lifecycle, operation, errno).on(format!("/proc/{pid}/{file}"))
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
