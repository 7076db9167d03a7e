//! What a container's program tells the service manager: sd_notify(3).
//!
//! The program does not get the manager's own socket. The manager would see a process of another
//! cgroup and turn it away, or would see root and believe it that any process of the host is the
//! service's main one. So the program gets a socket of the container's directory, and whoever starts
//! the container passes on what it says of itself.

use super::create::Making;
use super::store::{Directory, state_error};
use super::{Container, CreateOptions};
use crate::bundle::Bundle;
use crate::sys::{self, unix};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::socket::UnixAddr;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The socket's directory, in the container's state directory.
const DIRECTORY: &str = "notify";
/// Where the container sees it.
const INSIDE: &str = "/run/notify";
const SOCKET: &str = "notify.sock";
/// What a program may say of itself. Not `MAINPID=`, whose number is of another pid namespace, nor what
/// would give the manager descriptors to keep or change whom it listens to.
const ALLOWED: [&[u8]; 12] = [
    b"READY=",
    b"RELOADING=",
    b"STOPPING=",
    b"MONOTONIC_USEC=",
    b"STATUS=",
    b"ERRNO=",
    b"BUSERROR=",
    b"VARLINKERROR=",
    b"EXIT_STATUS=",
    b"WATCHDOG=",
    b"WATCHDOG_USEC=",
    b"EXTEND_TIMEOUT_USEC=",
];
/// How long the manager may take to have read all.
const BARRIER: Duration = Duration::from_secs(5);
/// More than the manager itself reads of one message.
const LONGEST: usize = 8192;

/// The end at which a container's messages to the service manager arrive.
#[derive(Debug)]
pub struct Notifications {
    socket: OwnedFd,
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Container {
    /// Listens for what the container's program tells the service manager, from now on instead of
    /// whoever did before; `None` where it was created without [`CreateOptions::notify`].
    ///
    /// # Errors
    /// That the socket cannot be made.
    pub fn listen_for_notifications(&self) -> Result<Option<Notifications>> {
        if let Some(socket) = self.notify.lock().ok().and_then(|mut socket| socket.take()) {
            return Ok(Some(Notifications { socket }));
        }
        match self.directory.read()? {
            Some(record) if record.options.notify.is_some() => {
                self.directory.listen_for_notifications().map(|socket| Some(Notifications { socket }))
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
        let socket = self.container.directory.listen_for_notifications()?;
        if let Ok(mut place) = self.container.notify.lock() {
            *place = Some(socket);
        }
        Ok(())
    }
}

impl Notifications {
    /// Passes on to the manager's socket `to` (`NOTIFY_SOCKET`: a path, or `@` and an abstract name) what
    /// has come, without waiting; whether `READY=1` was among it. With that the manager is told of
    /// `main`, the process that it is to watch from then on.
    ///
    /// # Errors
    /// That the manager's socket does not take it.
    pub fn forward(&self, to: &OsStr, main: Option<i32>) -> Result<bool> {
        let mut ready = false;
        let mut buffer = [0; LONGEST];
        loop {
            let (length, descriptors) = match unix::receive_datagram(&self.socket, &mut buffer) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(ready),
                Err(e) => return Err(Error::sys(Phase::Lifecycle, "recvmsg", e).on("the notify socket")),
            };
            let message = &buffer[..length];
            if message == b"BARRIER=1" {
                // Its sender waits until the manager has closed what it got.
                send(to, message, &descriptors)?;
                continue;
            }
            let now = message.split(|b| *b == b'\n').any(|line| line == b"READY=1");
            let passed = passed(message, main.filter(|_| now));
            if !passed.is_empty() {
                send(to, &passed, &[])?;
            }
            ready |= now;
        }
    }

    /// Waits until the manager has read what was sent to it: while its sender lives it knows whose it is.
    ///
    /// # Errors
    /// That the manager's socket does not take it.
    pub fn settle(to: &OsStr) -> Result<()> {
        let failed = |e| Error::sys(Phase::Lifecycle, "wait for the service manager", e);
        let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed)?;
        send(to, b"BARRIER=1", &[theirs])?;
        // One that does not know barriers is not waited for any longer.
        let limit = i32::try_from(BARRIER.as_millis()).unwrap_or(i32::MAX);
        sys::process::poll_in(&ours, limit).map(drop).map_err(failed)
    }
}

/// What of a message is the program's to say.
fn passed(message: &[u8], main: Option<i32>) -> Vec<u8> {
    let allowed = |line: &&[u8]| ALLOWED.iter().any(|name| line.starts_with(name));
    let mut lines: Vec<Vec<u8>> =
        message.split(|b| *b == b'\n').filter(allowed).map(<[u8]>::to_vec).collect();
    if let Some(pid) = main {
        lines.push(format!("MAINPID={pid}").into_bytes());
    }
    lines.join(&b'\n')
}

fn send(to: &OsStr, message: &[u8], descriptors: &[OwnedFd]) -> Result<()> {
    let failed = |e| {
        Error::sys(Phase::Lifecycle, "notify the service manager", e).on(to.to_string_lossy().into_owned())
    };
    let address = match to.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name),
        [b'/', ..] => UnixAddr::new(to.as_bytes()),
        _ => {
            let why = "NOTIFY_SOCKET must be an absolute path, or @ and a name";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Lifecycle, why).on(to.to_string_lossy()));
        }
    };
    let address = address.map_err(failed)?;
    unix::send_datagram(&address, message, descriptors).map_err(failed)
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
    pub(super) fn listen_for_notifications(&self) -> Result<OwnedFd> {
        let failed = |call: &'static str| move |e| state_error(call, e, self.id());
        let name = sys::fs::cstring(DIRECTORY).map_err(failed("open notify"))?;
        let directory = sys::fs::openat(self, &name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
            .map_err(failed("open notify"))?;
        self.forget_notify()?;
        unix::bind_datagram_at(&directory, SOCKET).map_err(failed("bind notify.sock"))
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
mod tests {
    use super::*;

    #[test]
    fn a_program_speaks_for_itself_only() {
        let text = |message: &[u8], main| String::from_utf8(passed(message, main)).unwrap();
        assert_eq!(text(b"READY=1\nMAINPID=7\nSTATUS=well", Some(42)), "READY=1\nSTATUS=well\nMAINPID=42");
        assert_eq!(text(b"MAINPID=1", None), "");
        assert_eq!(text(b"FDSTORE=1\nFDNAME=x\nWATCHDOG=1\nNOTIFYACCESS=all\n", None), "WATCHDOG=1");
        assert_eq!(text(b"X_OURS=1", None), "");
    }

    #[test]
    fn messages_arrive_at_the_manager() {
        let directory = std::env::temp_dir().join(format!("orlop-notify-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let manager = directory.join("manager");
        let theirs = std::os::unix::net::UnixDatagram::bind(&manager).unwrap();
        let fd = sys::fs::openat(sys::fs::cwd(), &sys::fs::cstring(&directory).unwrap(), libc::O_RDONLY, 0)
            .unwrap();
        let ours = Notifications { socket: unix::bind_datagram_at(&fd, "ours").unwrap() };
        let program = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let say = |text: &str| program.send_to(text.as_bytes(), directory.join("ours")).unwrap();
        let hear = || {
            let mut buffer = [0; 100];
            let n = theirs.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..n]).into_owned()
        };
        assert!(!ours.forward(manager.as_os_str(), Some(7)).unwrap());
        say("STATUS=begins");
        assert!(!ours.forward(manager.as_os_str(), Some(7)).unwrap());
        assert_eq!(hear(), "STATUS=begins");
        say("READY=1\nMAINPID=1");
        assert!(ours.forward(manager.as_os_str(), Some(7)).unwrap());
        assert_eq!(hear(), "READY=1\nMAINPID=7");
        // Its descriptor is closed once the barrier was read.
        std::thread::scope(|scope| {
            let reader = scope.spawn(hear);
            Notifications::settle(manager.as_os_str()).unwrap();
            assert_eq!(reader.join().unwrap(), "BARRIER=1");
        });
        say("READY=1");
        let e = ours.forward(OsStr::new("relative"), None).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        say("READY=1");
        let e = ours.forward(directory.join("nobody").as_os_str(), None).unwrap_err();
        assert!(e.to_string().contains("nobody"), "{e}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
