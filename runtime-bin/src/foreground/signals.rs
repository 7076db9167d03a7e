//! Signals to this program, as a descriptor.

use super::Terminal;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use orlop::sys::process::pidfd_send_signal;
use std::os::fd::{AsFd, BorrowedFd};

/// All signals of this program: held back from now on, and read from a descriptor.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Holds back every signal. To be called before the process to be served is made.
    pub(crate) fn take() -> Result<Self, Errno> {
        let all = SigSet::all();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), None)?;
        Ok(Self(SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Makes this process the parent of its descendants' orphans.
    pub(crate) fn adopt_orphans() -> Result<(), Errno> {
        prctl::set_child_subreaper(true)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Handles what has arrived: orphans are reaped, a new window size goes to the terminal, and
    /// everything else to the process.
    pub(super) fn handle(&self, pid: i32, pidfd: BorrowedFd<'_>, terminal: Option<&Terminal>) {
        while let Ok(Some(info)) = self.0.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => reap_others(pid),
                libc::SIGWINCH => {
                    if let Some(terminal) = terminal {
                        terminal.resize();
                    }
                }
                // Of this program's own writing, and nothing to the other.
                libc::SIGPIPE => {}
                // The process may just have ended, which the next poll tells.
                signal => drop(pidfd_send_signal(pidfd, signal)),
            }
        }
    }
}

/// Reaps every ended child but `pid`, which is waited for by its pidfd.
fn reap_others(pid: i32) {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(WaitStatus::Exited(child, _) | WaitStatus::Signaled(child, _, _)) = waitid(Id::All, peek) {
        if child.as_raw() == pid || waitpid(child, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}
