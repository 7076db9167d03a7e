//! Is this still the process that was recorded? A pid alone does not say: it may name another
//! process by now. It counts only together with the process's start time and the boot.

use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

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

    /// A pidfd of the process, if it is the one recorded and has not ended; a zombie has ended.
    pub(crate) fn open(self) -> Result<Option<OwnedFd>> {
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
        match found {
            Some(stat) if stat.start_time == self.start_time => {
                // A dead first thread shows as a zombie while others of the process still run: the
                // pidfd is what knows.
                let ended = matches!(stat.state, b'Z' | b'X' | b'x')
                    && sys::process::poll_in(&pidfd, 0).unwrap_or(true);
                Ok((!ended).then_some(pidfd))
            }
            _ => Ok(None),
        }
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    start_time: u64,
}

/// Reads `/proc/PID/stat`; `None` where there is no such process.
fn stat(pid: i32) -> Result<Option<Stat>, Errno> {
    let path = sys::fs::cstring(format!("/proc/{pid}/stat"))?;
    match sys::fs::read_at(sys::fs::cwd(), &path) {
        Ok(text) => parse_stat(&text).map(Some).ok_or(Errno::EPROTO),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The program's name may hold anything, parentheses too: fields are counted from the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&b| b == b')')?;
    let mut fields = text.get(end + 1..)?.split(|&b| b == b' ').filter(|f| !f.is_empty());
    let state = *fields.next()?.first()?;
    let start_time = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Stat { state, start_time })
}

/// The boot's id, without the line's end.
pub(crate) fn boot_id() -> Result<String> {
    let path = c"/proc/sys/kernel/random/boot_id";
    let bytes = sys::fs::read_at(sys::fs::cwd(), path)
        .map_err(|e| Error::sys(Phase::State, "read", e).on("/proc/sys/kernel/random/boot_id"))?;
    Ok(String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = b"42 (a) S 1 (b)) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
        assert_eq!(parse_stat(text), Some(Stat { state: b'R', start_time: 4711 }));
        assert_eq!(parse_stat(b"42 (x"), None);
        assert_eq!(parse_stat(b"42 (x) S 1 2"), None);
    }

    #[test]
    fn a_living_process_a_zombie_and_a_reaped_one() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        let pidfd = identity.open().unwrap().expect("it lives");
        let other = Identity { start_time: identity.start_time + 1, ..identity };
        assert!(other.open().unwrap().is_none(), "another process has this pid");
        sys::process::pidfd_send_signal(&pidfd, libc::SIGKILL).unwrap();
        assert!(sys::process::poll_in(&pidfd, 10_000).unwrap());
        assert!(identity.open().unwrap().is_none(), "a zombie has ended");
        child.wait().unwrap();
        assert!(identity.open().unwrap().is_none(), "it is gone");
        assert!(Identity::default().open().unwrap().is_none());
    }

    #[test]
    fn the_boot_has_an_id() {
        let id = boot_id().unwrap();
        assert_eq!((id.len(), id.trim_end()), (36, id.as_str()));
    }
}
