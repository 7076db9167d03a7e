//! The sockets in a state directory.

use super::error::state_error;
use crate::Result;
use crate::sys;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The waiting init process listens here for `start`.
pub(super) const START_SOCKET: &CStr = c"start.sock";
const START_SOCKET_NAME: &str = "start.sock";
/// The directory of the notify socket, which the container sees as a mount.
pub(crate) const NOTIFY_DIRECTORY: &str = "notify";
/// The socket that receives the program's messages to the service manager, in [`NOTIFY_DIRECTORY`].
pub(crate) const NOTIFY_SOCKET: &str = "notify.sock";

/// Creates the socket on which the waiting init process will listen for `start`.
pub(crate) fn listen_for_start(directory: impl AsFd, id: &str) -> Result<OwnedFd> {
    sys::unix::listen_at(directory, START_SOCKET_NAME).map_err(|e| state_error("listen on start.sock", e, id))
}

/// Connects to the waiting init process; `None` if it does not listen any more.
pub(crate) fn connect_to_start(directory: impl AsFd, id: &str) -> Result<Option<OwnedFd>> {
    match sys::unix::connect_at(directory, START_SOCKET_NAME) {
        Ok(sock) => Ok(Some(sock)),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(None),
        Err(e) => Err(state_error("connect to start.sock", e, id)),
    }
}

/// Creates the directory of the notify socket.
pub(crate) fn create_notify_directory(directory: impl AsFd, id: &str) -> Result<()> {
    let failed = |e| state_error("mkdir notify", e, id);
    let name = sys::fs::cstring(NOTIFY_DIRECTORY).map_err(failed)?;
    match sys::fs::mkdirat(directory, &name, 0o755) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(e) => Err(failed(e)),
    }
}

/// Binds the notify socket, to which programs of other users may write. A socket that was bound earlier receives no
/// more messages.
pub(crate) fn bind_notify_socket(state_directory: impl AsFd, id: &str) -> Result<OwnedFd> {
    let failed = |call: &'static str| move |e| state_error(call, e, id);
    let name = sys::fs::cstring(NOTIFY_DIRECTORY).map_err(failed("open notify"))?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let directory = sys::fs::openat(&state_directory, &name, flags, 0).map_err(failed("open notify"))?;
    sys::fs::cstring(NOTIFY_SOCKET)
        .and_then(|name| sys::unix::bind_datagram_at(&state_directory, &directory, &name))
        .map_err(failed("bind notify.sock"))
}

/// Removes the notify socket if it exists.
pub(super) fn remove_notify_socket(directory: impl AsFd, id: &str) -> Result<()> {
    let failed = |e| state_error("unlink notify.sock", e, id);
    let name = sys::fs::cstring(format!("{NOTIFY_DIRECTORY}/{NOTIFY_SOCKET}")).map_err(failed)?;
    match sys::fs::unlinkat(directory, &name, 0) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(failed(e)),
    }
}
