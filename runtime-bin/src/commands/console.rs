//! Where the master of a process's terminal goes.

use crate::environment::absolute;
use crate::failure::Failure;
use crate::foreground::TerminalRelay;
use orlop::container::Console;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Where the master goes, if the process has a `terminal`. In the foreground, this program relays it.
pub(super) fn console(socket: Option<&Path>, terminal: bool, foreground: bool) -> Result<Console, Failure> {
    match socket {
        Some(_) if foreground || !terminal => Err(Failure::new(
            "cannot use --console-socket: it is for a process with a terminal which is not waited for \
             (create, --detach)",
        )),
        Some(socket) => Ok(Console::Socket(absolute(socket)?)),
        None if terminal && !foreground => Err(Failure::new(
            "cannot allocate tty if it is detached without setting console socket: give --console-socket, or set \
             process.terminal to false",
        )),
        None if terminal => Ok(Console::Keep),
        None => Ok(Console::None),
    }
}

/// Relays a terminal, if there is one, to stdin and stdout.
pub(super) fn relay(master: Option<OwnedFd>) -> Result<Option<TerminalRelay>, Failure> {
    master.map(TerminalRelay::start).transpose().map_err(|e| Failure::system("set up the terminal", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_depends_on_socket_terminal_and_foreground() {
        let socket = Some(Path::new("/s"));
        assert!(matches!(console(None, false, true), Ok(Console::None)));
        assert!(matches!(console(None, false, false), Ok(Console::None)));
        assert!(matches!(console(None, true, true), Ok(Console::Keep)));
        assert!(matches!(console(socket, true, false), Ok(Console::Socket(path)) if path == Path::new("/s")));
        for (socket, terminal, foreground) in
            [(None, true, false), (socket, true, true), (socket, false, false), (socket, false, true)]
        {
            let failure = console(socket, terminal, foreground).unwrap_err();
            assert!(failure.message.contains("console"), "{socket:?} {terminal} {foreground}: {failure:?}");
        }
    }
}
