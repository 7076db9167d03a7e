//! The window size of a terminal.

use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSize {
    /// Lines of text.
    pub(crate) rows: u16,
    /// Characters in a line.
    pub(crate) columns: u16,
}

/// ioctl(2) `TIOCGWINSZ`.
pub(crate) fn window_size(terminal: impl AsFd) -> Result<WindowSize, Errno> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = terminal.as_fd();
    // SAFETY: `size` is valid for writes, and outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// ioctl(2) `TIOCSWINSZ`. On a pseudo-terminal's master, the foreground processes of the terminal get SIGWINCH.
pub(crate) fn set_window_size(terminal: impl AsFd, size: WindowSize) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = terminal.as_fd();
    // SAFETY: `size` is valid for reads, and outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_that_was_set_is_read_back() {
        let master = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
        set_window_size(&master, WindowSize { rows: 33, columns: 77 }).unwrap();
        assert_eq!(window_size(&master), Ok(WindowSize { rows: 33, columns: 77 }));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(window_size(&file), Err(Errno::ENOTTY));
    }
}
