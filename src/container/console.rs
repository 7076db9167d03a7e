//! The socket over which the init stub sends the pseudo-terminal master.

use super::options::Console;
use super::unix_socket;
use crate::init::launch::lost;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// The two ends of the socket.
#[derive(Debug, Default)]
pub(super) struct ConsoleSocket {
    /// The end that the stub sends to.
    pub(super) stub: Option<OwnedFd>,
    /// The end from which the caller receives the master, for [`Console::Keep`].
    pub(super) caller: Option<OwnedFd>,
}

impl ConsoleSocket {
    /// Connects to the console socket, or creates a socket pair.
    pub(super) fn open(console: &Console) -> Result<Self> {
        match console {
            Console::None => Ok(Self::default()),
            Console::Socket(path) => {
                Ok(Self { stub: Some(unix_socket::connect(path, "console socket")?), caller: None })
            }
            Console::Keep => {
                let (stub, caller) = sys::channel::pair().map_err(|e| failed("socketpair", e))?;
                Ok(Self { stub: Some(stub), caller: Some(caller) })
            }
        }
    }
}

/// Receives the master, which was sent before the process was ready.
pub(super) fn receive_master(caller: &OwnedFd) -> Result<Option<OwnedFd>> {
    match sys::unix::receive_now(caller) {
        Err(Errno::EAGAIN) => Err(lost()),
        other => other.map(sys::unix::ReceivedMessage::descriptor).map_err(|e| failed("recvmsg", e)),
    }
}

fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::sys(Phase::Process, operation, errno).on("the terminal's socket")
}
