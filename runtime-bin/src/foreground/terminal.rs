//! A process's terminal, relayed to the user's.

use super::poll::retry;
use super::relay::Relay;
use super::stdout::StdoutWriter;
use crate::sys::terminal::{WindowSize, set_window_size, window_size};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use orlop::bundle::spec::{ConsoleSize, Process};
use std::io::{IsTerminal, Stdin, Stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Relays a process's pseudo-terminal to this program's stdin and stdout.
///
/// The user's own terminal is in raw mode meanwhile, and restored when this is dropped.
pub(crate) struct TerminalRelay {
    master: OwnedFd,
    user: Option<UserTerminal>,
    stdin: Stdin,
    input: Relay,
    output: Relay,
    stdout: StdoutWriter,
}

/// The user's own terminal, in raw mode.
struct UserTerminal {
    fd: OwnedFd,
    previous_modes: Termios,
}

impl TerminalRelay {
    /// Relays the terminal of `master` to stdin and stdout.
    pub(crate) fn start(master: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // The user's terminal adds the carriage returns itself, and a file must not have any.
        let mut modes = retry(|| tcgetattr(&master))?;
        modes.output_flags.remove(OutputFlags::ONLCR);
        retry(|| tcsetattr(&master, SetArg::TCSANOW, &modes))?;
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let user = UserTerminal::find(&stdin, &stdout)?;
        let stdout = StdoutWriter::open(stdout)?;
        let relay = Self { master, user, stdin, input: Relay::new(), output: Relay::new(), stdout };
        relay.resize();
        Ok(relay)
    }

    /// Gives the process's terminal the size of the user's.
    pub(super) fn resize(&self) {
        if let Some(size) = self.user.as_ref().and_then(|user| window_size(&user.fd).ok()) {
            // Not a failure: the process may have exited already.
            let _ = set_window_size(&self.master, size);
        }
    }

    /// What the two directions wait for.
    pub(super) fn events(&self) -> [Option<(BorrowedFd<'_>, PollFlags)>; 2] {
        let (master, stdout) = (self.master.as_fd(), self.stdout.as_fd());
        [self.input.event(self.stdin.as_fd(), master), self.output.event(master, stdout)]
    }

    /// Relays what can be relayed without blocking.
    pub(super) fn relay(&mut self) {
        self.input.step(self.stdin.as_fd(), self.master.as_fd());
        self.output.step(self.master.as_fd(), self.stdout.as_fd());
    }

    /// Relays the rest of the output without blocking, after the process has exited. Returns what to wait for, or `None`
    /// once everything is written.
    pub(super) fn drain(&mut self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.output.drain(self.master.as_fd(), self.stdout.as_fd()) {
            self.stdout.close();
        }
        self.stdout.event()
    }

    /// Why bytes were lost, unless their reader has gone.
    pub(super) fn failure(&self) -> Option<Errno> {
        self.output.failure().or_else(|| self.stdout.failure()).or(self.input.failure())
    }
}

/// Gives a terminal that is still to be created the size of the user's, unless the configuration has a size: it is right
/// before the program starts.
pub(crate) fn set_console_size(process: &mut Process) {
    if process.terminal && process.console_size.is_none() {
        process.console_size =
            user_size().map(|size| ConsoleSize { height: size.rows.into(), width: size.columns.into() });
    }
}

/// The size of the user's terminal. If there is no terminal, the new one has no size either.
fn user_size() -> Option<WindowSize> {
    let streams = (std::io::stderr(), std::io::stdout(), std::io::stdin());
    let standard = [streams.0.as_fd(), streams.1.as_fd(), streams.2.as_fd()];
    standard.into_iter().find_map(|fd| window_size(fd).ok()).or_else(|| {
        let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        window_size(tty).ok()
    })
}

impl UserTerminal {
    /// Finds the terminal that stderr, stdout or stdin is, or else the controlling terminal (stdin is often
    /// `/dev/null`), and sets raw mode. `None` if there is no terminal.
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
        let previous_modes = retry(|| tcgetattr(&fd))?;
        let mut raw = previous_modes.clone();
        cfmakeraw(&mut raw);
        // The container's terminal does not add carriage returns, so this one still does.
        raw.output_flags.insert(OutputFlags::OPOST);
        retry(|| tcsetattr(&fd, SetArg::TCSANOW, &raw))?;
        Ok(Some(Self { fd, previous_modes }))
    }
}

fn errno(e: &std::io::Error) -> Errno {
    Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))
}

impl Drop for UserTerminal {
    fn drop(&mut self) {
        // The output was written in raw mode, and has been waited for. A stopped terminal must not block here.
        let _ = retry(|| tcsetattr(&self.fd, SetArg::TCSANOW, &self.previous_modes));
    }
}
