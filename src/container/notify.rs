//! What a container's program tells the service manager: sd_notify(3).
//!
//! The program does not get the manager's own socket. The manager would see a process of another
//! cgroup and turn it away, or would see root and believe it that any process of the host is the
//! service's main one. So the program gets a socket in the container's state directory, and the process that
//! starts the container forwards the allowed parts of its messages.

mod inbox;
mod manager;
mod message;
mod relay;

pub(super) use inbox::Inbox;
pub use relay::Notifications;

use super::create::Making;
use super::store::{Directory, state_error};
use super::{Container, CreateOptions};
use crate::Result;
use crate::bundle::Bundle;
use crate::sys;
use nix::errno::Errno;

/// The socket's directory, in the container's state directory.
const DIRECTORY: &str = "notify";
/// Where the container sees it.
const INSIDE: &str = "/run/notify";
const SOCKET: &str = "notify.sock";

impl Container {
    /// Listens for the program's messages to the service manager, in place of an earlier listener; `None` if the
    /// container was created without [`CreateOptions::notify`].
    ///
    /// # Errors
    /// That the socket cannot be made.
    pub fn listen_for_notifications(&self) -> Result<Option<Notifications>> {
        if let Some(inbox) = self.notify.lock().ok().and_then(|mut inbox| inbox.take()) {
            return Notifications::new(inbox).map(Some);
        }
        match self.directory.read()? {
            Some(record) if record.options.notify.is_some() => {
                Notifications::new(self.directory.listen_for_notifications()?).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Making<'_> {
    /// Listens for a program that may begin before its container is handed out.
    pub(super) fn listen_for_notifications(&self) -> Result<()> {
        if self.record.options.notify.is_none() {
            return Ok(());
        }
        self.container.directory.make_notify()?;
        let inbox = self.container.directory.listen_for_notifications()?;
        if let Ok(mut place) = self.container.notify.lock() {
            *place = Some(inbox);
        }
        Ok(())
    }
}

impl Directory {
    /// Makes the directory that the container is to see.
    pub(super) fn make_notify(&self) -> Result<()> {
        let failed = |e| state_error("mkdir notify", e, self.id());
        let name = sys::fs::cstring(DIRECTORY).map_err(failed)?;
        match sys::fs::mkdirat(self, &name, 0o755) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }

    /// Listens in it; another user's program may write to the socket.
    /// An earlier listener receives nothing more.
    pub(super) fn listen_for_notifications(&self) -> Result<Inbox> {
        let failed = |call: &'static str| move |e| state_error(call, e, self.id());
        let name = sys::fs::cstring(DIRECTORY).map_err(failed("open notify"))?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let directory = sys::fs::openat(self, &name, flags, 0).map_err(failed("open notify"))?;
        let socket = sys::fs::cstring(SOCKET)
            .and_then(|name| sys::unix::bind_datagram_at(self, &directory, &name))
            .map_err(failed("bind notify.sock"))?;
        Ok(Inbox::new(socket))
    }

    /// Removes the socket, if there is one.
    pub(super) fn forget_notify(&self) -> Result<()> {
        let failed = |e| state_error("unlink notify.sock", e, self.id());
        let name = sys::fs::cstring(format!("{DIRECTORY}/{SOCKET}")).map_err(failed)?;
        match sys::fs::unlinkat(self, &name, 0) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }
}

/// The directory that is bound into the container, and the variable that says where it is; nothing where
/// the configuration has a socket of its caller's own.
pub(super) fn plan(
    bundle: &Bundle,
    options: &CreateOptions,
    directory: &std::path::Path,
) -> Option<(String, String)> {
    let process = bundle.spec.process.as_ref().filter(|_| options.notify)?;
    let own = process.env.iter().any(|variable| variable.starts_with("NOTIFY_SOCKET="));
    let linux = bundle.spec.linux.as_ref()?;
    let mounts =
        linux.namespaces.iter().any(|n| n.kind == "mount" && n.path.as_deref().is_none_or(str::is_empty));
    (mounts && !own).then(|| {
        let directory = directory.join(DIRECTORY).display().to_string();
        (directory, format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}"))
    })
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
