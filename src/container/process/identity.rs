//! Whether a recorded process still exists. A pid may name another process by now, so it counts only together with the
//! start time and the boot.

use super::stat::{self, ProcessStat};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// A process as it is recorded: its pid and its start time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    /// The pid in the runtime's pid namespace.
    pub(crate) pid: i32,
    /// In clock ticks since the boot, as `/proc/PID/stat` shows it.
    pub(crate) start_time: u64,
}

impl ProcessIdentity {
    /// The identity of a process that cannot be reaped in the meantime: a child of the caller, or a process whose pidfd
    /// is known to be alive.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        match read_stat(pid)? {
            Some(stat) => Ok(Self { pid, start_time: stat.start_time }),
            None => Err(Error::sys(Phase::State, "read", Errno::ESRCH).on(format!("/proc/{pid}/stat"))),
        }
    }

    /// The state character of the process if it is alive. No pidfd is kept open, so the result holds for this instant
    /// only.
    pub(crate) fn state_if_alive(self) -> Result<Option<u8>> {
        if self.pid <= 0 {
            return Ok(None);
        }
        match read_stat(self.pid)? {
            Some(stat) if stat.start_time != self.start_time => Ok(None),
            // Other threads may still run: only a pidfd tells.
            Some(stat) if stat.is_zombie() => Ok(self.open()?.alive_pidfd().map(|_| stat.state)),
            Some(stat) => Ok((!stat.is_exiting()).then_some(stat.state)),
            None => Ok(None),
        }
    }

    /// Opens a pidfd of the process, and tells whether it has exited.
    pub(crate) fn open(self) -> Result<ProcessState> {
        Ok(match self.open_with_stat()? {
            Some((pidfd, stat)) if self.has_exited(&stat, &pidfd)? => ProcessState::Exited(pidfd),
            Some((pidfd, _)) => ProcessState::Alive(pidfd),
            None => ProcessState::Gone,
        })
    }

    /// A pidfd of the process and its state character if it is alive.
    pub(crate) fn open_if_alive(self) -> Result<Option<(OwnedFd, u8)>> {
        match self.open_with_stat()? {
            Some((pidfd, stat)) if !self.has_exited(&stat, &pidfd)? => Ok(Some((pidfd, stat.state))),
            _ => Ok(None),
        }
    }

    fn has_exited(self, stat: &ProcessStat, pidfd: &OwnedFd) -> Result<bool> {
        stat.has_exited(pidfd).map_err(|e| Error::sys(Phase::State, "poll", e).on(self.pid.to_string()))
    }

    fn open_with_stat(self) -> Result<Option<(OwnedFd, ProcessStat)>> {
        if self.pid <= 0 {
            return Ok(None);
        }
        // The pidfd is opened first. The start time that is read afterwards is that of the pid's current owner, and the
        // pidfd can refer to the recorded process only if both are the same.
        let pidfd = match sys::process::pidfd_open(self.pid) {
            Ok(fd) => fd,
            // EINVAL: the pid is a thread's now, so the process is gone.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(e) => return Err(Error::sys(Phase::State, "pidfd_open", e).on(self.pid.to_string())),
        };
        let stat = read_stat(self.pid)?.filter(|stat| stat.start_time == self.start_time);
        Ok(stat.map(|stat| (pidfd, stat)))
    }
}

fn read_stat(pid: i32) -> Result<Option<ProcessStat>> {
    stat::read(pid).map_err(|e| Error::sys(Phase::State, "read", e).on(format!("/proc/{pid}/stat")))
}

/// What has become of a recorded process.
#[derive(Debug)]
pub(crate) enum ProcessState {
    /// It does not exist any more; its pid may be another process's.
    Gone,
    /// It has exited and is not reaped yet, or it is exiting and waits only for other processes to be reaped.
    Exited(OwnedFd),
    /// It is alive.
    Alive(OwnedFd),
}

impl ProcessState {
    /// The pidfd if the process is alive.
    pub(crate) fn alive_pidfd(self) -> Option<OwnedFd> {
        match self {
            Self::Alive(fd) => Some(fd),
            _ => None,
        }
    }

    /// The pidfd, whether the process has exited or not.
    pub(crate) fn pidfd(self) -> Option<OwnedFd> {
        match self {
            Self::Alive(fd) | Self::Exited(fd) => Some(fd),
            Self::Gone => None,
        }
    }
}

/// The id of this boot, without the newline. It is read once, because no process outlives its boot.
pub(crate) fn boot_id() -> Result<&'static str> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id);
    }
    let path = c"/proc/sys/kernel/random/boot_id";
    let mut buffer = [0; 64];
    let bytes = sys::fs::read_once(sys::fs::cwd(), path, &mut buffer)
        .map_err(|e| Error::sys(Phase::State, "read", e).on("/proc/sys/kernel/random/boot_id"))?;
    Ok(ID.get_or_init(|| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn alive_zombie_and_reaped_processes_are_told_apart() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = ProcessIdentity::of(child.id() as i32).unwrap();
        let pidfd = identity.open().unwrap().alive_pidfd().expect("it is alive");
        let other = ProcessIdentity { start_time: identity.start_time + 1, ..identity };
        assert!(matches!(other.open().unwrap(), ProcessState::Gone), "another process has this pid");
        sys::process::pidfd_send_signal(&pidfd, libc::SIGKILL).unwrap();
        assert!(sys::process::poll_in(&pidfd, 10_000).unwrap());
        assert!(matches!(identity.open().unwrap(), ProcessState::Exited(_)), "a zombie has exited");
        child.wait().unwrap();
        assert!(matches!(identity.open().unwrap(), ProcessState::Gone));
        assert!(matches!(ProcessIdentity::default().open().unwrap(), ProcessState::Gone));
    }

    #[test]
    fn the_boot_id_is_a_uuid_without_a_newline() {
        let id = boot_id().unwrap();
        assert_eq!((id.len(), id.trim_end()), (36, id));
    }
}
