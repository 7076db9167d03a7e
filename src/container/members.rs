//! The container's processes, as its cgroup knows them.

use super::liveness::Presence;
use super::store::Record;
use super::{Container, Signal, Status, population, scope};
use crate::cgroup::{Cgroup, Controller, FreezerState};
use crate::plan::kernel_version;
use crate::process::capability::CapSet;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long the processes of a cgroup may take to die or to stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a signal may take to reach every process of a cgroup whose processes fork meanwhile.
const AT_ONCE: Duration = Duration::from_millis(300);
/// How often a container that freezes itself is thawed and killed again.
const TRIES: usize = 100;
/// How long a cgroup in which nobody was left is waited for before it is looked at again.
const REJOIN: Duration = Duration::from_millis(100);

impl Container {
    /// The pids of all processes of the container, as the caller's pid namespace numbers them, sorted;
    /// none where it is stopped and nobody has outlived its init.
    ///
    /// They are those of its cgroup; where it was made without one, those of its pid namespace.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it has neither of its own.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let Some(record) = self.directory.read()? else { return Ok(Vec::new()) };
        if let Some(cgroup) = cgroup(&record) {
            return cgroup.processes();
        }
        match record.presence()?.alive() {
            None => Ok(Vec::new()),
            Some(_) if record.own_pid_namespace => population::of_namespace(record.init.pid),
            Some(_) => Err(Error::new(
                ErrorKind::Unsupported,
                Phase::Cgroup,
                "cannot tell the processes of container",
            )
            .on(self.id.as_str())
            .with_detail("it has neither a cgroup nor a pid namespace of its own")),
        }
    }

    /// Freezes every process of the container, and waits until all stand still.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] where it is stopped or being made, [`ErrorKind::WrongState`] where
    /// it is paused already.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, status) = self.alive_record()?;
        match status {
            Status::Created | Status::Running => {
                let cgroup = require(&record, "cannot be paused")?;
                cgroup.freeze(PATIENCE)?;
                // Killed meanwhile, it would stand there for ever: `kill` thaws, but that may have been
                // before the freezer was done.
                let dying = is_dying(record.init.pid);
                if !matches!(dying, Ok(false)) {
                    cgroup.thaw()?;
                    dying?;
                    return Err(super::not_running());
                }
                Ok(())
            }
            Status::Paused => Err(wrong_state("container is paused already")),
            _ => Err(super::not_running()),
        }
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] where it is not paused.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.directory.lock()?;
        match self.alive_record() {
            Ok((record, Status::Paused)) => require(&record, "cannot be resumed")?.thaw(),
            // Somebody's freezing that does not come to an end: nobody counts it as paused yet.
            Ok((record, _)) if is_freezing(&record)? => require(&record, "cannot be resumed")?.thaw(),
            Err(e) if e.kind() != ErrorKind::NotRunning => Err(e),
            _ => Err(wrong_state("container not paused")),
        }
    }

    /// The record of a container whose init process lives, and its status.
    pub(super) fn alive_record(&self) -> Result<(Record, Status)> {
        match self.directory.read()? {
            Some(record) => match self.status(Some(&record))? {
                Status::Stopped => Err(super::not_running()),
                status => Ok((record, status)),
            },
            None => Err(super::not_running()),
        }
    }
}

/// Of the namespaces which a container does not share with the host (`CLONE_NEW*`) those which the caller can
/// join: nobody can join the user namespace that he is in.
pub(super) fn namespaces(record: &Record, mut flags: u64) -> Result<u64> {
    let differs = |kind: &str| -> Result<bool> {
        let inode = |path: String| match nix::sys::stat::stat(path.as_str()) {
            Ok(namespace) => Ok(Some(namespace.st_ino)),
            Err(Errno::ENOENT) => Ok(None), // Not supported by this kernel.
            Err(e) => Err(Error::sys(Phase::Namespace, "stat", e).on(path)),
        };
        let ours = inode(format!("/proc/self/ns/{kind}"))?;
        Ok(ours.is_none() || ours != inode(format!("/proc/{}/ns/{kind}", record.init.pid))?)
    };
    if record.restored && differs("time")? {
        flags |= libc::CLONE_NEWTIME as u64;
    }
    if flags & libc::CLONE_NEWUSER as u64 != 0 && !differs("user")? {
        flags &= !(libc::CLONE_NEWUSER as u64);
    }
    Ok(flags)
}

/// The cgroup of a container, unless it was made without.
pub(super) fn cgroup(record: &Record) -> Option<Cgroup> {
    (!record.cgroup.is_empty()).then(|| Cgroup::open(record.cgroup.clone()))
}

/// The cgroup of a container which something needs that is impossible without.
pub(super) fn require(record: &Record, consequence: &'static str) -> Result<Cgroup> {
    cgroup(record).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, Phase::Cgroup, format!("container {consequence}"))
            .with_detail("it is in no cgroup")
            .with_hint("it was made without one, or by a user to whom none was delegated")
    })
}

/// The `status` file of a process; `None` if it has exited.
fn status_file(pid: i32) -> Result<Option<String>> {
    let path = format!("/proc/{pid}/status");
    match sys::fs::cstring(&path).and_then(|path| sys::fs::read_at(sys::fs::cwd(), &path)) {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        Err(e) => Err(Error::sys(Phase::Lifecycle, "read", e).on(path)),
    }
}

/// The permitted capabilities of a process, in its own user namespace; none if it has exited.
pub(super) fn permitted_capabilities(pid: i32) -> Result<CapSet> {
    let Some(text) = status_file(pid)? else { return Ok(CapSet::default()) };
    let digits = text.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    let bits = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    bits.map(CapSet).ok_or_else(|| {
        Error::sys(Phase::Lifecycle, "read CapPrm", Errno::EPROTO).on(format!("/proc/{pid}/status"))
    })
}

/// Whether a process has been sent SIGKILL and could not die of it yet.
fn is_dying(pid: i32) -> Result<bool> {
    Ok(status_file(pid)?.is_some_and(|text| has_kill_pending(&text)))
}

/// proc_pid_status(5).
fn has_kill_pending(status: &str) -> bool {
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

/// Sends a signal to every process in the cgroup; whether there was any. SIGKILL reaches also those which are forked
/// meanwhile.
pub(super) fn signal(record: &Record, signal: Signal) -> Result<bool> {
    match cgroup(record) {
        Some(cgroup) if signal == Signal::KILL => {
            let any = !cgroup.processes()?.is_empty();
            match cgroup.kill(AT_ONCE) {
                // They have the signal, and hang in the kernel.
                Err(e) if e.kind() == ErrorKind::TimedOut => Ok(any),
                done => done.map(|()| any),
            }
        }
        Some(cgroup) => Ok(cgroup.signal(signal.number())? > 0),
        // The caller signals init itself.
        None if record.own_pid_namespace && record.presence()?.alive().is_some() => {
            population::signal(record.init.pid, signal)
        }
        None => Ok(false),
    }
}

/// Sends SIGKILL to the init process and to every other that can be found, as far as that is possible, and waits for
/// none. Needs no lock.
pub(super) fn end(record: &Record) {
    if let Some(pidfd) = record.presence().ok().and_then(Presence::alive) {
        let _ = sys::process::pidfd_send_signal(&pidfd, libc::SIGKILL);
    }
    if let Some(cgroup) = cgroup(record) {
        let _ = cgroup.kill(Duration::ZERO);
    }
    let _ = thaw(record);
}

/// What is to be said where processes are signalled or killed that nobody can find.
pub(super) fn untold(record: &Record) -> Option<Error> {
    (record.cgroup.is_empty() && !record.own_pid_namespace && record.init.pid != 0).then(|| {
        let why = "only the first process of the container is reached";
        Error::new(ErrorKind::Unsupported, Phase::Lifecycle, why)
            .with_detail("it has neither a cgroup nor a pid namespace of its own to find the others by")
    })
}

/// Whether a container can be frozen whose init process is in the state of this letter, of `/proc/PID/stat`.
///
/// By the freezer of cgroup v1 a process stands still as `D`. Before Linux 6.1 one that slept already was left
/// to sleep, and the freezer of cgroup2 is a sleep of its own.
pub(super) fn may_be_frozen(record: &Record, letter: u8) -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let by_v1 = || record.cgroup.v1_of(Controller::Freezer).is_some();
    let tells = || *TELLS.get_or_init(|| kernel_version().is_ok_and(|version| version >= (6, 1)));
    !(matches!(letter, b'R' | b'S') && by_v1() && tells())
}

/// Whether the container is frozen. A container without a freezer is not.
pub(super) fn is_frozen(record: &Record) -> Result<bool> {
    if record.cgroup.is_empty() {
        return Ok(false);
    }
    match record.cgroup.is_frozen() {
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
        other => other,
    }
}

/// Whether it is to stand still, and some of its processes do not yet.
fn is_freezing(record: &Record) -> Result<bool> {
    if record.cgroup.is_empty() {
        return Ok(false);
    }
    match record.cgroup.freezer_state() {
        Ok(state) => Ok(state == FreezerState::Freezing),
        Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
        Err(e) => Err(e),
    }
}

/// Lets what was killed while it was frozen die.
///
/// On cgroup v1 a container that can write to its cgroup can freeze a child cgroup, and freeze it again as soon as it
/// is thawed. All processes are killed then, as the whole container is to die anyway.
pub(super) fn thaw(record: &Record) -> Result<()> {
    let Some(cgroup) = cgroup(record) else { return Ok(()) };
    if record.cgroup.v1_of(Controller::Freezer).is_none() && is_frozen(record)? {
        return cgroup.begin_thaw();
    }
    for _ in 0..TRIES {
        if !cgroup.thaw_descendants()? {
            break;
        }
        cgroup.signal(Signal::KILL.number())?;
    }
    Ok(())
}

/// Kills what is left in the cgroup, and removes it. `alone` says that every process has died with
/// the init of the pid namespace, so that there is nothing to look for.
pub(super) fn remove(record: &Record, alone: bool) -> Result<()> {
    let Some(cgroup) = cgroup(record) else { return Ok(()) };
    if alone {
        scope::stop(record)?;
        if cgroup.remove_within(REJOIN).is_ok() {
            return Ok(());
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        cgroup.kill(PATIENCE)?;
        scope::stop(record)?;
        // A `create` that was killed may have left a process which is only about to join.
        match cgroup.remove_within(REJOIN) {
            Err(e) if e.errno() == Some(Errno::EBUSY) && Instant::now() < deadline => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_kill_is_seen() {
        let status =
            |private: &str, shared: &str| format!("Name:\tx\nSigPnd:\t{private}\nShdPnd:\t{shared}\n");
        let (none, kill, others) = ("0000000000000000", "0000000000000100", "ffffffff00004e02");
        assert!(has_kill_pending(&status(none, kill)) && has_kill_pending(&status(kill, none)));
        assert!(!has_kill_pending(&status(none, others)) && !has_kill_pending(""));
        assert!(!is_dying(std::process::id() as i32).unwrap());
    }
}
