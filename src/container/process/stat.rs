//! `/proc/PID/stat` (proc_pid_stat(5)).

use crate::sys;
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// The fields of `/proc/PID/stat` that are used here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// The state character.
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    flags: u64,
    threads: u64,
    /// In clock ticks since the boot.
    pub(crate) start_time: u64,
}

impl ProcessStat {
    /// Whether the process has exited.
    ///
    /// A process whose first thread has exited is shown as a zombie while other threads still run; only the pidfd tells
    /// the two cases apart. The init process of a pid namespace does not finish exiting until every process of the
    /// namespace has been reaped, but it runs no code any more.
    pub(crate) fn has_exited(&self, pidfd: &OwnedFd) -> Result<bool, Errno> {
        if self.is_zombie() { sys::process::poll_in(pidfd, 0) } else { Ok(self.is_exiting()) }
    }

    /// Whether the first thread is a zombie or dead.
    pub(crate) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// Whether a signal or a tracer has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether its last thread is exiting.
    pub(crate) fn is_exiting(&self) -> bool {
        const PF_EXITING: u64 = 0x4;
        self.flags & PF_EXITING != 0 && self.threads <= 1
    }
}

/// Reads `/proc/PID/stat`; `None` if there is no such process.
pub(crate) fn read(pid: i32) -> Result<Option<ProcessStat>, Errno> {
    let path = sys::fs::cstring(format!("/proc/{pid}/stat"))?;
    // At most fifty numbers of twenty digits, and a name of 64 bytes.
    match sys::fs::read_once(sys::fs::cwd(), &path, &mut [0; 2048]) {
        Ok(text) => parse(text).map(Some).ok_or(Errno::EPROTO),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether a signal or a tracer has stopped a process; no if that cannot be read.
pub(crate) fn is_stopped(pid: i32) -> bool {
    read(pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.is_stopped()))
}

/// The program's name may contain any byte, even `)`, so fields are counted from the last one.
fn parse(text: &[u8]) -> Option<ProcessStat> {
    let end = sys::memory::rfind(text, b')')?;
    let mut fields = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace();
    // proc_pid_stat(5) counts from 1, and the state is field 3.
    let state = *fields.next()?.as_bytes().first()?;
    let mut number = |further: usize| fields.nth(further).and_then(|field| field.parse::<u64>().ok());
    let (parent, group) = (number(0)? as i32, number(0)? as i32);
    let flags = number(9 - 6)?;
    let threads = number(20 - 10)?;
    let start_time = number(22 - 21)?;
    Some(ProcessStat { state, parent, group, flags, threads, start_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_in_the_program_name_are_parsed() {
        let text = b"42 (a) S 1 (b)) R 1 2 3 4 5 64 7 8 9 10 11 12 13 14 15 16 7 18 4711 20 21\n";
        let expected =
            ProcessStat { state: b'R', parent: 1, group: 2, flags: 64, threads: 7, start_time: 4711 };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse(b"42 (x"), None);
        assert_eq!(parse(b"42 (x) S 1 2"), None);
    }

    #[test]
    fn the_start_time_agrees_with_the_procfs_crate() {
        let theirs = procfs::process::Process::myself().unwrap().stat().unwrap();
        let ours = read(theirs.pid).unwrap().unwrap();
        assert_eq!(ours.start_time, theirs.starttime);
    }
}
