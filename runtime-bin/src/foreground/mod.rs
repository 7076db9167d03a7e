//! Waiting for a process in the foreground: signals forwarded, orphans reaped, terminal and service
//! manager's messages relayed.

mod notify;
mod relay;
mod signals;
mod terminal;

pub(crate) use notify::Notify;
pub(crate) use signals::Signals;
pub(crate) use terminal::Terminal;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::bundle::spec::{ConsoleSize, Process};
use orlop::sys::process::{self, Exit};
use std::os::fd::{AsFd, BorrowedFd};

/// Gives a terminal that is still to be made the size of the user's, where nothing else is asked for:
/// the program finds it so from its first moment.
pub(crate) fn fit_console(process: &mut Process) {
    if process.terminal && process.console_size.is_none() {
        process.console_size = terminal::users_size()
            .map(|size| ConsoleSize { height: size.rows.into(), width: size.columns.into() });
    }
}

/// What serving a process has failed at, and why.
#[derive(Debug)]
pub(crate) struct Unserved(pub(crate) &'static str, pub(crate) Errno);

/// Repeats a call while a signal interrupts it.
fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Serves the process behind `pidfd` until it has ended, and reaps it.
///
/// `signals` were taken before the process was made, so none of its end's can be missed; `terminal`
/// is the master of its terminal, and `notify` its way to the service manager, if it has them.
pub(crate) fn serve(
    pidfd: BorrowedFd<'_>,
    signals: &Signals,
    mut terminal: Option<&mut Terminal>,
    notify: Option<&Notify>,
) -> Result<Exit, Unserved> {
    let failed = |e| Unserved("wait for the process", e);
    let tell = || notify.map(|notify| notify.relay(i32::try_from(std::process::id()).ok()));
    loop {
        let wanted = terminal.as_deref().map(Terminal::wanted).unwrap_or_default();
        let other = notify.map_or(pidfd, AsFd::as_fd);
        let mut set =
            [signals.as_fd(), pidfd, other, pidfd, pidfd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut count = 3;
        for (fd, events) in wanted.into_iter().flatten() {
            set[count] = PollFd::new(fd, events);
            count += 1;
        }
        match poll(&mut set[..count], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(failed(e)),
        }
        let ready = |at: usize| set[at].any().unwrap_or(true);
        let (signalled, ended, relay) =
            (ready(0), ready(1), count > 3 && (ready(3) || count > 4 && ready(4)));
        if ready(2) {
            tell();
        }
        if relay && let Some(terminal) = terminal.as_deref_mut() {
            terminal.relay();
        }
        if ended && let Some(exit) = process::wait(pidfd, false).map_err(failed)? {
            let drained = terminal.map_or(Ok(()), Terminal::drain);
            tell();
            return drained.map(|()| exit).map_err(|e| Unserved("relay the terminal", e));
        }
        if signalled {
            signals.handle(pidfd, terminal.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Serves a shell whose pidfd stands in for a container's.
    fn serve_shell(script: &str, before: impl FnOnce(i32)) -> Exit {
        let signals = Signals::take().unwrap();
        #[allow(clippy::zombie_processes, reason = "served, and so reaped, by pidfd")]
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        let pid = child.id() as i32;
        let pidfd = process::pidfd_open(pid).unwrap();
        before(pid);
        serve(pidfd.as_fd(), &signals, None, None).unwrap()
    }

    #[test]
    fn a_process_which_has_ended_already_is_not_missed() {
        let wait = |_| std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(serve_shell("exit 7", wait), Exit::Code(7));
        assert_eq!(serve_shell("kill -KILL $$", wait), Exit::Signal(9));
    }

    #[test]
    fn a_signal_to_this_thread_reaches_the_process() {
        let script = "trap 'exit 5' USR1; while :; do sleep 0.01; done";
        let signal = |_| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            // To the thread: the test's other threads do not hold it back.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).unwrap();
        };
        assert_eq!(serve_shell(script, signal), Exit::Code(5));
    }
}
