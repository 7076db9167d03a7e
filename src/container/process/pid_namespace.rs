//! The processes of a pid namespace, for containers without a cgroup.

use super::procfs::{PidNamespaceId, Procfs};
use super::stat;
use crate::cgroup::in_batches;
use crate::sys;
use crate::sys::process::pidfd_send_signal;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeSet;

/// The processes of `init`'s pid namespace and the namespaces below it, sorted. Processes that the caller has no
/// permission to inspect are left out.
///
/// # Errors
/// If a process cannot be inspected for another reason, or `init` itself cannot.
pub(crate) fn processes(init: i32) -> Result<Vec<i32>> {
    let procfs = Procfs::open()?;
    let Some(namespace) = namespace_of_init(&procfs, init)? else { return Ok(Vec::new()) };
    processes_in(&procfs, namespace)
}

/// Sends a signal to all processes of `init`'s pid namespace and the namespaces below it, except `init`; returns whether
/// there were any.
///
/// # Errors
/// As [`processes`], or if the kernel refuses the signal.
pub(crate) fn signal_all_but_init(init: i32, signal: i32) -> Result<bool> {
    let procfs = Procfs::open()?;
    let Some(namespace) = namespace_of_init(&procfs, init)? else { return Ok(false) };
    let mut pids = processes_in(&procfs, namespace)?;
    pids.retain(|pid| *pid != init);
    let any = !pids.is_empty();
    in_batches(pids, |opened| {
        // With the pidfds open, only processes that are still in the namespace count: a pid may have been reused.
        let mut current: Option<Vec<i32>> = None;
        for (pid, fd) in opened {
            if namespace_if_permitted(&procfs, *pid)? != Some(namespace) {
                let current = match &mut current {
                    Some(current) => current,
                    None => current.insert(processes_in(&procfs, namespace)?),
                };
                if current.binary_search(pid).is_err() {
                    continue;
                }
            }
            match pidfd_send_signal(fd, signal) {
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

/// The pid that a process has in its own pid namespace.
pub(crate) fn pid_inside(pid: i32) -> Result<i32> {
    let failed = |e| Error::sys(Phase::Hook, "read", e).on(format!("/proc/{pid}/status"));
    let path = sys::fs::cstring(format!("/proc/{pid}/status")).map_err(failed)?;
    let text = sys::fs::read_at(sys::fs::cwd(), &path).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let inside =
        text.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().last()?.parse().ok());
    inside.ok_or_else(|| failed(Errno::EPROTO))
}

/// The pid namespace of a container's init process; `None` if the process does not exist any more.
fn namespace_of_init(procfs: &Procfs, pid: i32) -> Result<Option<PidNamespaceId>> {
    procfs.pid_namespace(pid).map_err(|e| cannot_inspect("stat", pid, "ns/pid", e))
}

/// The pid namespace of a process; `None` if the process does not exist any more, or the caller has no permission to
/// inspect it.
fn namespace_if_permitted(procfs: &Procfs, pid: i32) -> Result<Option<PidNamespaceId>> {
    match procfs.pid_namespace(pid) {
        Err(Errno::EACCES | Errno::EPERM) => Ok(None),
        other => other.map_err(|e| cannot_inspect("stat", pid, "ns/pid", e)),
    }
}

fn parent(pid: i32) -> Result<Option<i32>> {
    match stat::read(pid) {
        Err(Errno::EACCES | Errno::EPERM) => Ok(None),
        other => Ok(other.map_err(|e| cannot_inspect("read", pid, "stat", e))?.map(|stat| stat.parent)),
    }
}

/// The processes of a pid namespace and the namespaces below it, sorted.
fn processes_in(procfs: &Procfs, namespace: PidNamespaceId) -> Result<Vec<i32>> {
    let mut found = BTreeSet::new();
    let mut others = Vec::new();
    for pid in procfs.pids()? {
        if namespace_if_permitted(procfs, pid)? == Some(namespace) {
            found.insert(pid);
        } else if let Some(parent) = parent(pid)? {
            others.push((pid, parent));
        }
    }
    // The first process of a namespace below is a child of a process of this one, and the other processes of that
    // namespace descend from its first process.
    loop {
        let before = found.len();
        others.retain(|&(pid, parent)| !(found.contains(&parent) && found.insert(pid)));
        if found.len() == before {
            return Ok(found.into_iter().collect());
        }
    }
}

fn cannot_inspect(operation: &'static str, pid: i32, file: &str, errno: Errno) -> Error {
    Error::sys(Phase::Lifecycle, operation, errno).on(format!("/proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processes_of_this_namespace_include_this_process_and_are_sorted() {
        let pid = std::process::id() as i32;
        let all = processes(pid).unwrap();
        assert!(all.binary_search(&pid).is_ok(), "{all:?}");
        assert!(all.is_sorted());
        assert_eq!(processes(i32::MAX).unwrap(), [0_i32; 0]);
    }
}
