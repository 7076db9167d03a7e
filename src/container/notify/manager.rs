//! The service manager's socket. The manager may stop reading, exit, and be started again.

use crate::sys::unix;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// The manager's socket, connected while a message waits for room in its queue.
#[derive(Debug, Default)]
pub(super) struct ManagerSocket {
    waiting: Option<(OsString, OwnedFd)>,
}

impl ManagerSocket {
    /// The connection on which poll(2) reports room (`POLLOUT`), or that the manager has closed its socket.
    pub(super) fn waiting(&self) -> Option<BorrowedFd<'_>> {
        self.waiting.as_ref().map(|(_, socket)| socket.as_fd())
    }

    /// Sends a message without blocking; `false` if the queue is full.
    ///
    /// # Errors
    /// If the manager cannot be reached.
    pub(super) fn send(&mut self, to: &OsStr, message: &[u8], with: Option<BorrowedFd<'_>>) -> Result<bool> {
        if let Some((_, socket)) = self.waiting.take_if(|(name, _)| name == to) {
            match unix::send_now(&socket, message, with) {
                Ok(_) => return Ok(true),
                Err(Errno::EAGAIN) => {
                    self.waiting = Some((to.to_owned(), socket));
                    return Ok(false);
                }
                // That manager has exited; another one may have replaced it.
                Err(_) => {}
            }
        }
        let socket = unix::connect_datagram(&address(to)?).map_err(|e| failed(to, e))?;
        match unix::send_now(&socket, message, with) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN) => {
                self.waiting = Some((to.to_owned(), socket));
                Ok(false)
            }
            Err(e) => Err(failed(to, e)),
        }
    }
}

fn failed(to: &OsStr, errno: Errno) -> Error {
    Error::sys(Phase::Lifecycle, "notify the service manager", errno).on(to.to_string_lossy())
}

fn address(to: &OsStr) -> Result<UnixAddr> {
    let address = match to.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name),
        [b'/', ..] => UnixAddr::new(to.as_bytes()),
        _ => {
            let why = "NOTIFY_SOCKET must be an absolute path, or @ and a name";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Lifecycle, why).on(to.to_string_lossy()));
        }
    };
    address.map_err(|e| failed(to, e))
}
