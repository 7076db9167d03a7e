//! Signals to this program, read from a descriptor.

use super::poll::is_ready;
use super::terminal::TerminalRelay;
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

/// All signals of this program, blocked and read from a descriptor.
pub(crate) struct BlockedSignals {
    fd: SignalFd,
    previous_mask: SigSet,
    /// Whether a signal that asks programs to exit has arrived.
    asked_to_exit: Cell<bool>,
}

impl BlockedSignals {
    /// Blocks all signals. To be called before the process to be served is created.
    pub(crate) fn block() -> Result<Self, Errno> {
        let (all, mut previous_mask) = (SigSet::all(), SigSet::empty());
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut previous_mask))?;
        let fd = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { fd, previous_mask, asked_to_exit: Cell::new(false) })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Discards pending signals and restores the signal mask, so that signals can interrupt a call that may block.
    pub(crate) fn unblock(&self) {
        while let Ok(Some(_)) = self.fd.read_signal() {}
        let mut mask = self.previous_mask;
        // The exit code must not depend on whether the error message can be written.
        mask.add(Signal::SIGPIPE);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
    }

    /// Reads the signals that have arrived, after the process has exited. Returns whether any signal so far asks this
    /// program to exit.
    pub(super) fn drain_for_exit(&self) -> bool {
        while let Ok(Some(info)) = self.fd.read_signal() {
            self.note(info.ssi_signo as i32);
        }
        self.asked_to_exit.get()
    }

    fn note(&self, signal: i32) {
        if [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP].contains(&signal) {
            self.asked_to_exit.set(true);
        }
    }

    /// Handles the signals that have arrived: SIGCHLD reaps orphans, SIGWINCH resizes the terminal, and all others are
    /// forwarded to the process.
    pub(super) fn handle(&self, pidfd: BorrowedFd<'_>, terminal: Option<&TerminalRelay>) {
        while let Ok(Some(info)) = self.fd.read_signal() {
            match info.ssi_signo as i32 {
                libc::SIGCHLD => reap_others(pidfd),
                libc::SIGWINCH => {
                    if let Some(terminal) = terminal {
                        terminal.resize();
                    }
                }
                // Caused by this program's own writes.
                libc::SIGPIPE => {}
                // The process may just have exited, which the next poll reports.
                signal => {
                    self.note(signal);
                    let _ = send_signal(pidfd, signal);
                }
            }
        }
    }
}

/// Makes this process the parent of its descendants' orphans.
pub(crate) fn become_subreaper() -> Result<(), Errno> {
    prctl::set_child_subreaper(true)
}

/// Reaps every exited child except the process of `pidfd`, whose exit status is read through that.
fn reap_others(pidfd: BorrowedFd<'_>) {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(WaitStatus::Exited(child, _) | WaitStatus::Signaled(child, _, _)) = waitid(Id::All, peek) {
        // Polled after waitid: if the child that it found is the process, the pidfd is ready by now.
        let is_the_process = is_ready(pidfd, PollFlags::POLLIN).unwrap_or(true);
        if is_the_process || waitpid(child, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}
