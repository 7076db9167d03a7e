//! The loop that serves a process.

use super::notify::NotifyForwarder;
use super::signals::BlockedSignals;
use super::terminal::TerminalRelay;
use crate::failure::Failure;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::container::Exit;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How long writing the rest of the output may take after a signal that asks this program to exit.
const GRACE: Duration = Duration::from_secs(1);

/// Serves the process of `pidfd` until it has exited. `reap` reaps it and returns its exit status, if it has exited.
///
/// `signals` were blocked before the process was created, so that no SIGCHLD is missed. `terminal` relays its terminal
/// and `notify` its messages to the service manager, if it has them.
///
/// Only poll(2) blocks here: signals are forwarded even if the reader of the output, or the service manager, hangs.
pub(crate) fn serve(
    pidfd: BorrowedFd<'_>,
    reap: &dyn Fn() -> orlop::Result<Option<Exit>>,
    signals: &BlockedSignals,
    mut terminal: Option<&mut TerminalRelay>,
    mut notify: Option<&mut NotifyForwarder>,
) -> Result<Exit, Failure> {
    let main = i32::try_from(std::process::id()).ok();
    loop {
        let terminal_events = terminal.as_deref().map(TerminalRelay::events).unwrap_or_default();
        let other = notify.as_deref().map_or(pidfd, AsFd::as_fd);
        let mut set =
            [signals.as_fd(), pidfd, other, pidfd, pidfd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut count = 3;
        for (fd, events) in terminal_events.into_iter().flatten() {
            set[count] = PollFd::new(fd, events);
            count += 1;
        }
        match poll(&mut set[..count], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(Failure::system("wait for the process", e)),
        }
        let ready = |at: usize| set[at].any().unwrap_or(true);
        let (signalled, exited, notified, relay) =
            (ready(0), ready(1), ready(2), count > 3 && (ready(3) || count > 4 && ready(4)));
        if notified && let Some(notify) = notify.as_deref_mut() {
            notify.relay(main);
        }
        if relay && let Some(terminal) = terminal.as_deref_mut() {
            terminal.relay();
        }
        if exited && let Some(exit) = reap()? {
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

/// Writes the rest of the output, however long its reader takes. After a signal that asks this program to exit, it
/// waits no longer than [`GRACE`].
fn drain(terminal: &mut TerminalRelay, signals: &BlockedSignals) -> Result<(), Errno> {
    let mut asked_to_exit = signals.drain_for_exit().then(Instant::now);
    while let Some((fd, events)) = terminal.drain() {
        let timeout = match asked_to_exit {
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
        if signals.drain_for_exit() {
            asked_to_exit.get_or_insert_with(Instant::now);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use orlop::init::{Child, Command};

    /// Serves a shell in place of a container.
    fn serve_shell(script: &str, before: impl FnOnce(&Child)) -> Exit {
        let signals = BlockedSignals::block().unwrap();
        let child =
            Command::new("/bin/sh").args(["-c", script]).env("PATH", "/usr/bin:/bin").spawn().unwrap();
        before(&child);
        serve(child.as_fd(), &|| child.try_wait(), &signals, None, None).unwrap()
    }

    #[test]
    fn the_exit_of_a_process_is_seen_even_if_it_was_earlier() {
        let wait = |_: &Child| std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(serve_shell("exit 7", wait), Exit::Code(7));
        assert_eq!(serve_shell("kill -KILL $$", wait), Exit::Signal(9));
    }

    #[test]
    fn a_signal_is_forwarded_to_the_process() {
        let script = "trap 'exit 5' USR1; while :; do sleep 0.01; done";
        let signal = |_: &Child| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            // To this thread, because the other threads of the test do not block it.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).unwrap();
        };
        assert_eq!(serve_shell(script, signal), Exit::Code(5));
    }
}
