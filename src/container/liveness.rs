//! Is this still the process that was recorded? A pid alone does not say: it may name another
//! process by now. It counts only together with the process's start time and the boot.

use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// A process as it is recorded: its pid, and when it started in clock ticks since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The pid as the runtime's pid namespace numbers it.
    pub(crate) pid: i32,
    /// Field 22 of `/proc/PID/stat`.
    pub(crate) start_time: u64,
}

impl Identity {
    /// The identity of a process that cannot be reaped meanwhile (a child of the caller, or one
    /// whose pidfd is known to be alive).
    pub(crate) fn of(pid: i32) -> Result<Self> {
        match stat(pid).map_err(|e| Error::sys(Phase::State, "read", e).on(format!("/proc/{pid}/stat")))? {
            Some(stat) => Ok(Self { pid, start_time: stat.start_time }),
            None => Err(Error::sys(Phase::State, "read", Errno::ESRCH).on(format!("/proc/{pid}/stat"))),
        }
    }

    /// Whether the process lives, and then the letter of its state. Without a descriptor of it, so that the
    /// answer is of this instant only.
    pub(crate) fn look(self) -> Result<Option<u8>> {
        if self.pid <= 0 {
            return Ok(None);
        }
        let found = stat(self.pid)
            .map_err(|e| Error::sys(Phase::State, "read", e).on(format!("/proc/{}/stat", self.pid)))?;
        match found {
            Some(stat) if stat.start_time != self.start_time => Ok(None),
            // Its other threads may go on: only a pidfd tells.
            Some(Stat { state: state @ (b'Z' | b'X' | b'x'), .. }) => Ok(self.find()?.alive().map(|_| state)),
            Some(stat) => Ok((!stat.is_exiting()).then_some(stat.state)),
            None => Ok(None),
        }
    }

    /// Finds the process.
    pub(crate) fn find(self) -> Result<Presence> {
        Ok(match self.hold()? {
            Some((pidfd, stat)) if self.has_ended(&stat, &pidfd)? => Presence::Ended(pidfd),
            Some((pidfd, _)) => Presence::Alive(pidfd),
            None => Presence::Gone,
        })
    }

    /// The process, and the letter of its state, if it lives.
    pub(crate) fn find_alive(self) -> Result<Option<(OwnedFd, u8)>> {
        match self.hold()? {
            Some((pidfd, stat)) if !self.has_ended(&stat, &pidfd)? => Ok(Some((pidfd, stat.state))),
            _ => Ok(None),
        }
    }

    fn has_ended(self, stat: &Stat, pidfd: &OwnedFd) -> Result<bool> {
        stat.has_ended(pidfd).map_err(|e| Error::sys(Phase::State, "poll", e).on(self.pid.to_string()))
    }

    /// The process unless it is gone, and what is said of it.
    fn hold(self) -> Result<Option<(OwnedFd, Stat)>> {
        if self.pid <= 0 {
            return Ok(None);
        }
        // The descriptor comes first: whoever it names, the start time read afterwards is that of
        // the pid's owner now, and both can be the recorded process only if they are the same.
        let pidfd = match sys::process::pidfd_open(self.pid) {
            Ok(fd) => fd,
            // EINVAL: the pid is a thread's now, so the process is gone.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(e) => return Err(Error::sys(Phase::State, "pidfd_open", e).on(self.pid.to_string())),
        };
        let found = stat(self.pid)
            .map_err(|e| Error::sys(Phase::State, "read", e).on(format!("/proc/{}/stat", self.pid)))?;
        Ok(found.filter(|stat| stat.start_time == self.start_time).map(|stat| (pidfd, stat)))
    }
}

/// What became of a recorded process.
#[derive(Debug)]
pub(crate) enum Presence {
    /// It is no more, or its pid is another's.
    Gone,
    /// It has ended, and nobody has reaped it; or it ends and only waits for others to be reaped.
    Ended(OwnedFd),
    /// It lives.
    Alive(OwnedFd),
}

impl Presence {
    /// Its pidfd if it lives.
    pub(crate) fn alive(self) -> Option<OwnedFd> {
        match self {
            Self::Alive(fd) => Some(fd),
            _ => None,
        }
    }

    /// Its pidfd, ended or not.
    pub(crate) fn any(self) -> Option<OwnedFd> {
        match self {
            Self::Alive(fd) | Self::Ended(fd) => Some(fd),
            Self::Gone => None,
        }
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    state: u8,
    pub(super) parent: i32,
    pub(super) group: i32,
    flags: u64,
    threads: u64,
    start_time: u64,
}

impl Stat {
    /// Whether the process has ended. A dead first thread shows as a zombie while others of the
    /// process still run: the pidfd is what knows. The init of a pid namespace stays in its exit
    /// until everybody in the namespace has been reaped, by whomever: it runs nothing any more.
    fn has_ended(&self, pidfd: &OwnedFd) -> Result<bool, Errno> {
        match self.state {
            b'Z' | b'X' | b'x' => sys::process::poll_in(pidfd, 0),
            _ => Ok(self.is_exiting()),
        }
    }

    /// Whether a signal or a tracer has stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    fn is_exiting(&self) -> bool {
        const PF_EXITING: u64 = 0x4;
        self.flags & PF_EXITING != 0 && self.threads <= 1
    }
}

/// Reads `/proc/PID/stat`; `None` where there is no such process.
pub(super) fn stat(pid: i32) -> Result<Option<Stat>, Errno> {
    let path = sys::fs::cstring(format!("/proc/{pid}/stat"))?;
    // Fifty numbers of twenty digits at most, and a name of sixty-four bytes.
    match sys::fs::read_once(sys::fs::cwd(), &path, &mut [0; 2048]) {
        Ok(text) => parse_stat(text).map(Some).ok_or(Errno::EPROTO),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The program's name may hold anything, parentheses too: fields are counted from the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = sys::memory::rfind(text, b')')?;
    let mut fields = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace();
    // proc_pid_stat(5) numbers from 1, and the state is field 3.
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = |further: usize| fields.nth(further).and_then(|field| field.parse::<u64>().ok());
    let (parent, group) = (number(0)? as i32, number(0)? as i32);
    let flags = number(9 - 6)?;
    let threads = number(20 - 10)?;
    let start_time = number(22 - 21)?;
    Some(Stat { state, parent, group, flags, threads, start_time })
}

/// The boot's id, without the line's end; read once, as no process outlives its boot.
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
    fn a_name_with_parentheses_does_not_confuse() {
        let text = b"42 (a) S 1 (b)) R 1 2 3 4 5 64 7 8 9 10 11 12 13 14 15 16 7 18 4711 20 21\n";
        let expected = Stat { state: b'R', parent: 1, group: 2, flags: 64, threads: 7, start_time: 4711 };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x) S 1 2"), None);
    }

    #[test]
    fn a_living_process_a_zombie_and_a_reaped_one() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        let pidfd = identity.find().unwrap().alive().expect("it lives");
        let other = Identity { start_time: identity.start_time + 1, ..identity };
        assert!(matches!(other.find().unwrap(), Presence::Gone), "another process has this pid");
        sys::process::pidfd_send_signal(&pidfd, libc::SIGKILL).unwrap();
        assert!(sys::process::poll_in(&pidfd, 10_000).unwrap());
        assert!(matches!(identity.find().unwrap(), Presence::Ended(_)), "a zombie has ended");
        child.wait().unwrap();
        assert!(matches!(identity.find().unwrap(), Presence::Gone));
        assert!(matches!(Identity::default().find().unwrap(), Presence::Gone));
    }

    #[test]
    fn another_reader_sees_the_same() {
        let theirs = procfs::process::Process::myself().unwrap().stat().unwrap();
        let ours = stat(theirs.pid).unwrap().unwrap();
        assert_eq!(ours.start_time, theirs.starttime);
    }

    #[test]
    fn the_boot_has_an_id() {
        let id = boot_id().unwrap();
        assert_eq!((id.len(), id.trim_end()), (36, id));
    }
}
