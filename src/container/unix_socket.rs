//! Unix sockets of other processes that receive descriptors: consoles, pidfds, seccomp listeners.

use super::options::require_absolute;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt::SendTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest path that fits into a `sockaddr_un` with its NUL.
const LONGEST_ADDRESS: usize = 107;
/// How long to wait for a peer whose queue is full or that does not read.
pub(crate) const PEER_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes of a payload the readers of console sockets accept.
const LONGEST_PAYLOAD: usize = 4095;

/// Sends one descriptor with `payload` as data to the AF_UNIX stream socket at `path`. It does not wait for a reply,
/// because the peer may accept the connection only later.
pub(crate) fn send_descriptor(path: &Path, fd: impl AsFd, payload: &str, what: &'static str) -> Result<()> {
    let sock = connect(path, what)?;
    let payload = payload.as_bytes();
    let payload = if payload.is_empty() { b" " } else { &payload[..payload.len().min(LONGEST_PAYLOAD)] };
    sys::unix::send_until(sock, payload, Some(fd.as_fd()), Instant::now() + PEER_TIMEOUT)
        .map_err(|e| Error::sys(Phase::Lifecycle, "send descriptor to", e).on(describe(what, path)))
}

/// Connects to the AF_UNIX stream socket at `path`.
pub(crate) fn connect(path: &Path, what: &'static str) -> Result<OwnedFd> {
    require_absolute(path, what)?;
    let failed = |operation: &'static str| {
        move |e: Errno| Error::sys(Phase::Lifecycle, operation, e).on(describe(what, path))
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let sock = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed("socket for"))?;
    // A listener that never accepts and whose queue is full must not block the caller for ever.
    let timeout = TimeVal::seconds(PEER_TIMEOUT.as_secs().cast_signed());
    setsockopt(&sock, SendTimeout, &timeout).map_err(failed("setsockopt for"))?;
    connect_to(&sock, path).map_err(failed("connect to"))?;
    Ok(sock)
}

fn describe(what: &'static str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

/// Connects to a socket by its path. A path that is too long for an address is replaced by that of a descriptor, so the
/// working directory need not change.
fn connect_to(sock: &OwnedFd, path: &Path) -> Result<(), Errno> {
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return connect_with_timeout(sock, &UnixAddr::new(path)?);
    }
    let target = sys::fs::openat(sys::fs::cwd(), &sys::fs::cstring(path)?, libc::O_PATH, 0)?;
    let address = format!("/proc/self/fd/{}", target.as_raw_fd());
    connect_with_timeout(sock, &UnixAddr::new(address.as_str())?)
}

/// The timeout holds even if signals keep interrupting connect(2).
fn connect_with_timeout(sock: &OwnedFd, address: &UnixAddr) -> Result<(), Errno> {
    let deadline = Instant::now() + PEER_TIMEOUT;
    loop {
        match nix::sys::socket::connect(sock.as_raw_fd(), address) {
            Err(Errno::EINTR) if Instant::now() < deadline => {}
            Err(Errno::EINTR | Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::io::{IoSliceMut, Read};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("orlop-unix-socket-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Sends a file to a listener that accepts only afterwards, and reads it there.
    fn send_and_receive(path: &Path, listener: &UnixListener) {
        let file = tempfile();
        send_descriptor(path, &file, "/dev/pts/7", "console socket").unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut data = [0; 64];
        let mut space = nix::cmsg_space!([i32; 4]);
        let mut slices = [IoSliceMut::new(&mut data)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                .unwrap();
        let fds: Vec<i32> = message
            .cmsgs()
            .unwrap()
            .flat_map(|c| match c {
                ControlMessageOwned::ScmRights(fds) => fds,
                other => panic!("{other:?}"),
            })
            .collect();
        let bytes = message.bytes;
        assert_eq!(fds.len(), 1);
        let mut received = std::fs::File::open(format!("/proc/self/fd/{}", fds[0])).unwrap();
        nix::unistd::close(fds[0]).unwrap();
        assert_eq!(&data[..bytes], b"/dev/pts/7");
        let mut text = String::new();
        received.read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }

    fn tempfile() -> OwnedFd {
        let fd = sys::memfd::memfd_create(c"test", 0).unwrap();
        sys::fs::write_all(&fd, b"content").unwrap();
        fd
    }

    #[test]
    fn a_descriptor_is_sent_to_a_path_of_any_length() {
        let directory = scratch("socket");
        let path = directory.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        send_and_receive(&path, &listener);
        let deep = directory.join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let moved = deep.join("a-socket-with-a-name");
        std::fs::rename(&path, &moved).unwrap();
        send_and_receive(&moved, &listener);
        // A child process that another test is starting may have a copy of the listener.
        nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
        let e = send_descriptor(&moved, tempfile(), "x", "console socket").unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ECONNREFUSED));
        assert!(e.to_string().starts_with("connect to console socket /"), "{e}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
