//! Pidfds for many processes, of a caller that may have few descriptors.

use crate::sys::process::pidfd_open;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// The maximum number of pidfds that are open at once.
const BATCH: usize = 64;

/// Opens pidfds for the processes and passes them to `send` in batches, as large as the caller's descriptor limit allows.
/// Two descriptors are left for `send`.
pub(crate) fn in_batches(
    pids: Vec<i32>,
    mut send: impl FnMut(&[(i32, OwnedFd)]) -> Result<()>,
) -> Result<()> {
    let open = |pid: i32| match pidfd_open(pid) {
        Ok(fd) => Ok(Some(fd)),
        // It has exited, or is not in this pid namespace and is listed as 0.
        Err(Errno::ESRCH | Errno::EINVAL) => Ok(None),
        Err(e) => Err(Error::sys(Phase::Cgroup, "pidfd_open", e).on(pid.to_string())),
    };
    let out_of_descriptors = |e: &Error| matches!(e.errno(), Some(Errno::EMFILE | Errno::ENFILE));
    let own_pid = std::process::id() as i32;
    let mut pids = pids.into_iter().peekable();
    while pids.peek().is_some() {
        let reserved = (open(own_pid)?, open(own_pid)?);
        let mut batch: Vec<(i32, OwnedFd)> = Vec::new();
        while let Some(&pid) = pids.peek().filter(|_| batch.len() < BATCH) {
            match open(pid) {
                Err(e) if out_of_descriptors(&e) && !batch.is_empty() => break,
                other => batch.extend(other?.map(|fd| (pid, fd))),
            }
            pids.next();
        }
        drop(reserved);
        if !batch.is_empty() {
            send(&batch)?;
        }
    }
    Ok(())
}
