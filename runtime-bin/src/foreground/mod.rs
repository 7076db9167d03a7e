//! Waiting for a process in the foreground: signals forwarded, orphans reaped, terminal relayed.

mod relay;
mod signals;
mod terminal;

pub(crate) use signals::Signals;
pub(crate) use terminal::Terminal;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use orlop::sys::process::{self, Exit};
use std::os::fd::BorrowedFd;

/// Serves the process behind `pidfd` until it has ended, and reaps it.
///
/// `signals` were taken before the process was made, so none of its end's can be missed; `terminal`
/// is the master of its terminal, if it has one.
pub(crate) fn serve(
    pidfd: BorrowedFd<'_>,
    signals: &Signals,
    mut terminal: Option<&mut Terminal>,
) -> Result<Exit, Errno> {
    loop {
        let wanted = terminal.as_deref().map(Terminal::wanted).unwrap_or_default();
        let mut set = [signals.as_fd(), pidfd, pidfd, pidfd].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let mut count = 2;
        for (fd, events) in wanted.into_iter().flatten() {
            set[count] = PollFd::new(fd, events);
            count += 1;
        }
        match poll(&mut set[..count], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
        let ready = |at: usize| set[at].any().unwrap_or(true);
        let (signalled, ended, relay) =
            (ready(0), ready(1), count > 2 && (ready(2) || count > 3 && ready(3)));
        if relay && let Some(terminal) = terminal.as_deref_mut() {
            terminal.relay();
        }
        if ended && let Some(exit) = process::wait(pidfd, false)? {
            if let Some(terminal) = terminal {
                terminal.drain();
            }
            return Ok(exit);
        }
        if signalled {
            signals.handle(pidfd, terminal.as_deref());
        }
    }
}
