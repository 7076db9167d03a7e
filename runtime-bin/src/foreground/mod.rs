//! Waiting for a process in the foreground: signals forwarded, orphans reaped, terminal and service
//! manager's messages relayed.

mod notify;
mod relay;
mod signals;
mod terminal;

pub(crate) use notify::Notify;
pub(crate) use signals::Signals;
pub(crate) use terminal::Terminal;

use crate::commands::Failure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::bundle::spec::{ConsoleSize, Process};
use orlop::container::Exit;
use std::os::fd::{AsFd, BorrowedFd};

/// Gives a terminal that is still to be made the size of the user's, where nothing else is asked for:
/// the program finds it so from its first moment.
pub(crate) fn fit_console(process: &mut Process) {
    if process.terminal && process.console_size.is_none() {
        process.console_size = terminal::users_size()
            .map(|size| ConsoleSize { height: size.rows.into(), width: size.columns.into() });
    }
}

/// Serves the process behind `pidfd` until it has ended, and reaps it: `reap` says how it has ended, if it has.
///
/// `signals` were taken before the process was made, so none of its end's can be missed; `terminal`
/// is the master of its terminal, and `notify` its way to the service manager, if it has them.
pub(crate) fn serve(
    pidfd: BorrowedFd<'_>,
    reap: &dyn Fn() -> orlop::Result<Option<Exit>>,
    signals: &Signals,
    mut terminal: Option<&mut Terminal>,
    notify: Option<&Notify>,
) -> Result<Exit, Failure> {
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
            Err(e) => return Err(Failure::system("wait for the process", e)),
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
        if ended && let Some(exit) = reap()? {
            if let Some(terminal) = terminal {
                terminal.drain();
            }
            tell();
            return Ok(exit);
        }
        if signalled {
            signals.handle(pidfd, terminal.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orlop::init::{Child, Command};

    /// Serves a shell whose pidfd stands in for a container's.
    fn serve_shell(script: &str, before: impl FnOnce(&Child)) -> Exit {
        let signals = Signals::take().unwrap();
        let child =
            Command::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/bin:/bin").spawn().unwrap();
        before(&child);
        serve(child.as_fd(), &|| child.try_wait(), &signals, None, None).unwrap()
    }

    #[test]
    fn a_process_which_has_ended_already_is_not_missed() {
        let wait = |_: &Child| std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(serve_shell("exit 7", wait), Exit::Code(7));
        assert_eq!(serve_shell("kill -KILL $$", wait), Exit::Signal(9));
    }

    #[test]
    fn a_signal_to_this_thread_reaches_the_process() {
        let script = "trap 'exit 5' USR1; while :; do sleep 0.01; done";
        let signal = |_: &Child| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            // To the thread: the test's other threads do not hold it back.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).unwrap();
        };
        assert_eq!(serve_shell(script, signal), Exit::Code(5));
    }
}
