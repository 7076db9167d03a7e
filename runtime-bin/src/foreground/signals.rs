//! Signals to this program, as a descriptor.

use super::Terminal;
use super::relay::is_ready;
use crate::sys::process::send_signal;
use nix::errno::Errno;
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};

/// All signals of this program: held back from now on, and read from a descriptor.
pub(crate) struct Signals {
    fd: SignalFd,
    before: SigSet,
    /// Whether a signal that ends programs has arrived.
    told_to_end: Cell<bool>,
}

impl Signals {
    /// Holds back every signal. To be called before the process to be served is made.
    pub(crate) fn take() -> Result<Self, Errno> {
        let (all, mut before) = (SigSet::all(), SigSet::empty());
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before))?;
        let fd = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, before, told_to_end: Cell::new(false) })
    }

    /// Makes this process the parent of its descendants' orphans.
    pub(crate) fn adopt_orphans() -> Result<(), Errno> {
        prctl::set_child_subreaper(true)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Restores the signal mask and drops pending signals, before something that may block: signals can end it.
    pub(crate) fn let_go(&self) {
        while let Ok(Some(_)) = self.fd.read_signal() {}
        let mut mask = self.before;
        // The exit code must not depend on whether the error message can be written.
        mask.add(Signal::SIGPIPE);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    }

    /// Takes what has arrived once the process has ended. Returns whether a signal that ends programs has arrived, now
    /// or before.
    pub(super) fn are_to_end(&self) -> bool {
        while let Ok(Some(info)) = self.fd.read_signal() {
            self.note(info.ssi_signo as i32);
        }
        self.told_to_end.get()
    }

    fn note(&self, signal: i32) {
        if [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP].contains(&signal) {
            self.told_to_end.set(true);
        }
    }

    /// Handles what has arrived: orphans are reaped, a new window size goes to the terminal, and
    /// everything else to the process.
    pub(super) fn handle(&self, pidfd: BorrowedFd<'_>, terminal: Option<&Terminal>) {
        while let Ok(Some(info)) = self.fd.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => reap_others(pidfd),
                libc::SIGWINCH => {
                    if let Some(terminal) = terminal {
                        terminal.resize();
                    }
                }
                // Of this program's own writing, and nothing to the other.
                libc::SIGPIPE => {}
                // The process may just have ended, which the next poll tells.
                signal => {
                    self.note(signal);
                    let _ = send_signal(pidfd, signal);
                }
            }
        }
    }
}

/// Reaps every ended child but the process behind `pidfd`, which is waited for by that.
fn reap_others(pidfd: BorrowedFd<'_>) {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(WaitStatus::Exited(child, _) | WaitStatus::Signaled(child, _, _)) = waitid(Id::All, peek) {
        // Asked after the look: what had ended then, and was the process, is known by now.
        let is_the_process = is_ready(pidfd, PollFlags::POLLIN).unwrap_or(true);
        if is_the_process || waitpid(child, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}
