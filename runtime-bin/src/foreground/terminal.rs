//! The user's terminal while a container has it.

use super::again;
use super::outlet::Outlet;
use super::relay::Relay;
use crate::sys::terminal::{WindowSize, set_window_size, window_size};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Stdin, Stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process's pseudo-terminal joined to this program's stdin and stdout.
///
/// The user's own terminal is raw meanwhile, and as it was once this is dropped.
pub(crate) struct Terminal {
    master: OwnedFd,
    host: Option<Host>,
    stdin: Stdin,
    input: Relay,
    output: Relay,
    outlet: Outlet,
}

/// The user's own terminal.
struct Host {
    fd: OwnedFd,
    before: Termios,
}

impl Terminal {
    /// Joins the terminal behind `master` to stdin and stdout.
    pub(crate) fn join(master: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // The user's terminal ends its lines itself, and a file wants them as they were written.
        let mut modes = again(|| tcgetattr(&master))?;
        modes.output_flags.remove(OutputFlags::ONLCR);
        again(|| tcsetattr(&master, SetArg::TCSANOW, &modes))?;
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let host = Host::find(&stdin, &stdout)?;
        let outlet = Outlet::open(stdout)?;
        let terminal = Self { master, host, stdin, input: Relay::new(), output: Relay::new(), outlet };
        terminal.resize();
        Ok(terminal)
    }

    /// Gives the process's terminal the size of the user's.
    pub(super) fn resize(&self) {
        if let Some(size) = self.host.as_ref().and_then(|host| window_size(&host.fd).ok()) {
            // The process may be gone already; nobody looks at the size then.
            let _ = set_window_size(&self.master, size);
        }
    }

    /// What the two directions wait for.
    pub(super) fn wanted(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        let (master, outlet) = (self.master.as_fd(), self.outlet.as_fd());
        [self.input.wanted(self.stdin.as_fd(), master), self.output.wanted(master, outlet)]
    }

    /// Moves what can be moved without waiting.
    pub(super) fn relay(&mut self) {
        self.input.step(self.stdin.as_fd(), self.master.as_fd());
        self.output.step(self.master.as_fd(), self.outlet.as_fd());
    }

    /// Moves the rest of the output without blocking, once the process has ended. Returns what to wait for; `None` once
    /// everything is written.
    pub(super) fn drain(&mut self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.output.drain(self.master.as_fd(), self.outlet.as_fd()) {
            self.outlet.close();
        }
        self.outlet.waits_for()
    }

    /// Why something was lost that would have been taken.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.output.failure().or_else(|| self.outlet.failure()).or(self.input.failure())
    }
}

/// The size of the user's terminal, for one that is still to be made. Without a terminal there is no size: then the new
/// one has none either, as if nothing had asked for one.
pub(crate) fn users_size() -> Option<WindowSize> {
    let streams = (std::io::stderr(), std::io::stdout(), std::io::stdin());
    let standard = [streams.0.as_fd(), streams.1.as_fd(), streams.2.as_fd()];
    standard.into_iter().find_map(|fd| window_size(fd).ok()).or_else(|| {
        let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        window_size(tty).ok()
    })
}

impl Host {
    /// The terminal which stderr, stdout or stdin is, or the controlling one (stdin may well be
    /// `/dev/null`), made raw; `None` where there is no terminal at all.
    fn find(stdin: &Stdin, stdout: &Stdout) -> Result<Option<Self>, Errno> {
        let stderr = std::io::stderr();
        let standard = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
        let fd = match standard.into_iter().find(IsTerminal::is_terminal) {
            Some(fd) => fd.try_clone_to_owned().map_err(|e| errno(&e))?,
            None => match std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty") {
                Ok(file) => file.into(),
                Err(_) => return Ok(None),
            },
        };
        let before = again(|| tcgetattr(&fd))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        // The container's terminal leaves line ends alone, so this one goes on making them.
        raw.output_flags.insert(OutputFlags::OPOST);
        again(|| tcsetattr(&fd, SetArg::TCSANOW, &raw))?;
        Ok(Some(Self { fd, before }))
    }
}

fn errno(e: &std::io::Error) -> Errno {
    Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))
}

impl Drop for Host {
    fn drop(&mut self) {
        // The last output needs the raw modes. The outlet has waited for it; a stopped terminal must not block here.
        let _ = again(|| tcsetattr(&self.fd, SetArg::TCSANOW, &self.before));
    }
}
