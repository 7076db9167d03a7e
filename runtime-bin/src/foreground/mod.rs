//! Waiting for a process in the foreground: signals forwarded, orphans reaped, terminal and service
//! manager's messages relayed.

mod notify;
mod outlet;
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
use std::time::{Duration, Instant};

/// How long the rest of the output may take once this program was asked to end.
const GRACE: Duration = Duration::from_secs(1);

/// Gives a terminal that is still to be made the size of the user's, where nothing else is asked for:
/// the program finds it so from its first moment.
pub(crate) fn fit_console(process: &mut Process) {
    if process.terminal && process.console_size.is_none() {
        process.console_size = terminal::users_size()
            .map(|size| ConsoleSize { height: size.rows.into(), width: size.columns.into() });
    }
}

/// Repeats a call while a signal interrupts it.
fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Serves the process behind `pidfd` until it has ended, and reaps it: `reap` says how it has ended, if it has.
///
/// `signals` were taken before the process was made, so none of its end's can be missed; `terminal`
/// is the master of its terminal, and `notify` its way to the service manager, if it has them.
///
/// Only poll(2) blocks here, so signals are forwarded even if the reader of the output, or the manager, hangs.
pub(crate) fn serve(
    pidfd: BorrowedFd<'_>,
    reap: &dyn Fn() -> orlop::Result<Option<Exit>>,
    signals: &Signals,
    mut terminal: Option<&mut Terminal>,
    mut notify: Option<&mut Notify>,
) -> Result<Exit, Failure> {
    let main = i32::try_from(std::process::id()).ok();
    loop {
        let wanted = terminal.as_deref().map(Terminal::wanted).unwrap_or_default();
        let other = notify.as_deref().map_or(pidfd, AsFd::as_fd);
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
        let (signalled, ended, told, relay) =
            (ready(0), ready(1), ready(2), count > 3 && (ready(3) || count > 4 && ready(4)));
        if told && let Some(notify) = notify.as_deref_mut() {
            notify.relay(main);
        }
        if relay && let Some(terminal) = terminal.as_deref_mut() {
            terminal.relay();
        }
        if ended && let Some(exit) = reap()? {
            let mut lost = None;
            if let Some(terminal) = terminal {
                drain(terminal, signals).map_err(|e| Failure::system("wait for the process", e))?;
                lost = terminal.failure();
            }
            if let Some(notify) = notify {
                notify.finish(main);
            }
            return lost.map_or(Ok(exit), |e| Err(Failure::system("relay the terminal", e)));
        }
        if signalled {
            signals.handle(pidfd, terminal.as_deref());
        }
    }
}

/// Writes the rest of the output, for as long as its reader takes. After a signal that asks this program to end, it
/// waits for [`GRACE`] only.
fn drain(terminal: &mut Terminal, signals: &Signals) -> Result<(), Errno> {
    let mut told = signals.are_to_end().then(Instant::now);
    while let Some((fd, events)) = terminal.drain() {
        let timeout = match told {
            None => PollTimeout::NONE,
            Some(since) => match GRACE.saturating_sub(Instant::elapsed(&since)) {
                Duration::ZERO => return Ok(()),
                left => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
            },
        };
        let mut set = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(fd, events)];
        match poll(&mut set, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
        if signals.are_to_end() {
            told.get_or_insert_with(Instant::now);
        }
    }
    Ok(())
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
