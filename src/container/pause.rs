//! Pausing and resuming a container.

use super::container::Container;
use super::freezer::is_freezing;
use super::state::Status;
use super::status::{alive_record, not_running};
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::time::Duration;

/// How long to wait until all processes of the cgroup are frozen.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// Freezes every process of the container, and waits until all of them are frozen.
pub(super) fn pause(container: &Container) -> Result<()> {
    let _lock = container.directory.lock()?;
    let (record, status) = alive_record(&container.directory)?;
    match status {
        Status::Created | Status::Running => {
            let cgroup = record.require_cgroup("cannot be paused")?;
            cgroup.freeze(FREEZE_TIMEOUT)?;
            // An init process that is killed in the meantime would stay frozen for ever: `kill` thaws the cgroup, but
            // perhaps it did so before the freezer was done.
            let killed = is_kill_pending(record.init.pid);
            if !matches!(killed, Ok(false)) {
                cgroup.thaw()?;
                killed?;
                return Err(not_running());
            }
            Ok(())
        }
        Status::Paused => Err(wrong_state("container is paused already")),
        _ => Err(not_running()),
    }
}

/// Resumes a paused container.
pub(super) fn resume(container: &Container) -> Result<()> {
    let _lock = container.directory.lock()?;
    match alive_record(&container.directory) {
        Ok((record, Status::Paused)) => record.require_cgroup("cannot be resumed")?.thaw(),
        // Freezing was begun and never completes: this does not count as paused.
        Ok((record, _)) if is_freezing(&record)? => record.require_cgroup("cannot be resumed")?.thaw(),
        Err(e) if e.kind() != ErrorKind::NotRunning => Err(e),
        _ => Err(wrong_state("container not paused")),
    }
}

/// Whether SIGKILL is pending for a process.
fn is_kill_pending(pid: i32) -> Result<bool> {
    let path = format!("/proc/{pid}/status");
    match sys::fs::cstring(&path).and_then(|path| sys::fs::read_at(sys::fs::cwd(), &path)) {
        Ok(text) => Ok(shows_pending_kill(&String::from_utf8_lossy(&text))),
        // The process has exited.
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(false),
        Err(e) => Err(Error::sys(Phase::Lifecycle, "read", e).on(path)),
    }
}

/// Parses `/proc/PID/status` (proc_pid_status(5)).
fn shows_pending_kill(status: &str) -> bool {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let pending = |name| {
        let digits = status.lines().find_map(|line| line.strip_prefix(name))?.trim();
        u64::from_str_radix(digits, 16).ok()
    };
    ["SigPnd:", "ShdPnd:"].into_iter().filter_map(pending).any(|set| set & KILL != 0)
}

fn wrong_state(text: &'static str) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_kill_is_recognised() {
        let status =
            |private: &str, shared: &str| format!("Name:\tx\nSigPnd:\t{private}\nShdPnd:\t{shared}\n");
        let (none, kill, others) = ("0000000000000000", "0000000000000100", "ffffffff00004e02");
        assert!(shows_pending_kill(&status(none, kill)) && shows_pending_kill(&status(kill, none)));
        assert!(!shows_pending_kill(&status(none, others)) && !shows_pending_kill(""));
        assert!(!is_kill_pending(std::process::id() as i32).unwrap());
    }
}
