//! Handing things to the caller's other processes: a pid in a file, a descriptor over a socket.

use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt::SendTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest path that fits a `sockaddr_un` with its NUL.
const LONGEST_ADDRESS: usize = 107;
/// How long a listener's full queue is waited for, and for how long it may not read what it is sent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How much of a payload the readers of console sockets take.
const LONGEST_PAYLOAD: usize = 4095;

/// Writes `pid` in decimal, without a line's end, so that a reader sees all of it or nothing. A file, link,
/// FIFO or socket of that name is replaced ([`replace_at`](sys::fs::replace_at)), and never opened.
pub(crate) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let failed = |e| Error::sys(Phase::Lifecycle, "write pid file", e).on(path.display().to_string());
    require_absolute(path, "pid file")?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::EISDIR));
    };
    let parent = sys::fs::cstring(parent).map_err(failed)?;
    let directory = sys::fs::openat(sys::fs::cwd(), &parent, libc::O_PATH | libc::O_DIRECTORY, 0);
    let name = sys::fs::cstring(Path::new(name)).map_err(failed)?;
    directory.and_then(|d| sys::fs::replace_at(d, &name, pid.to_string().as_bytes(), 0o644)).map_err(|e| {
        let hint = "a device of the host is not replaced: name an ordinary file";
        if e == Errno::EOPNOTSUPP { failed(e).with_hint(hint) } else { failed(e) }
    })
}

/// Removes a pid file that has this pid, for the way back from a failure: a number of a process that is gone would be
/// another one's some day. What cannot be removed stays.
pub(crate) fn remove_pid_file(path: &Path, pid: i32) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let _ = sys::fs::cstring(parent).and_then(|parent| {
        let name = sys::fs::cstring(Path::new(name))?;
        let directory = sys::fs::openat(sys::fs::cwd(), &parent, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let text = sys::fs::read_plain_at(&directory, &name, 32)?;
        if text == pid.to_string().as_bytes() { sys::fs::unlinkat(&directory, &name, 0) } else { Ok(()) }
    });
}

/// Replaces the file `name` in an opened directory, so that a reader sees the old or the new content: what has the
/// name, a link too, is neither opened nor followed.
///
/// # Errors
/// `EISDIR` if it is a directory; `EOPNOTSUPP` if it is a device, or a link in `/dev`, which the host needs; those of
/// the file system.
pub fn replace_file(directory: impl AsFd, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let written =
        sys::fs::cstring(name).and_then(|name| sys::fs::replace_at(directory, &name, content, mode));
    written.map_err(|e| Error::sys(Phase::Lifecycle, "write", e).on(name))
}

/// Sends one descriptor, with `payload` for data, to the AF_UNIX stream socket at `path`: one
/// connect, one message, and no waiting for an answer, as nobody may be there to accept yet.
pub(crate) fn send_descriptor(path: &Path, fd: impl AsFd, payload: &str, what: &'static str) -> Result<()> {
    let sock = connect(path, what)?;
    let payload = payload.as_bytes();
    let payload = if payload.is_empty() { b" " } else { &payload[..payload.len().min(LONGEST_PAYLOAD)] };
    sys::unix::send_until(sock, payload, Some(fd.as_fd()), Instant::now() + PATIENCE)
        .map_err(|e| Error::sys(Phase::Lifecycle, "send descriptor to", e).on(name(what, path)))
}

/// Connects to the AF_UNIX stream socket at `path`.
pub(crate) fn connect(path: &Path, what: &'static str) -> Result<OwnedFd> {
    require_absolute(path, what)?;
    let failed = |operation: &'static str| {
        move |e: Errno| Error::sys(Phase::Lifecycle, operation, e).on(name(what, path))
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let sock = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed("socket for"))?;
    // A listener whose queue is full and who never accepts must not hold the caller for ever.
    let patience = TimeVal::seconds(PATIENCE.as_secs().cast_signed());
    setsockopt(&sock, SendTimeout, &patience).map_err(failed("setsockopt for"))?;
    connect_to(&sock, path).map_err(failed("connect to"))?;
    Ok(sock)
}

fn name(what: &'static str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

/// Connects to a socket by path. One that is too long for an address is named by a descriptor, so
/// that nobody's working directory has to change for it.
fn connect_to(sock: &OwnedFd, path: &Path) -> Result<(), Errno> {
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return connect_in_time(sock, &UnixAddr::new(path)?);
    }
    let target = sys::fs::openat(sys::fs::cwd(), &sys::fs::cstring(path)?, libc::O_PATH, 0)?;
    let address = format!("/proc/self/fd/{}", target.as_raw_fd());
    connect_in_time(sock, &UnixAddr::new(address.as_str())?)
}

/// Signals may come as often as they like: the time is up all the same.
fn connect_in_time(sock: &OwnedFd, address: &UnixAddr) -> Result<(), Errno> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match nix::sys::socket::connect(sock.as_raw_fd(), address) {
            Err(Errno::EINTR) if Instant::now() < deadline => {}
            Err(Errno::EINTR | Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            other => return other,
        }
    }
}

pub(crate) fn require_absolute(path: &Path, what: &'static str) -> Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, format!("{what} must be an absolute path"))
        .on(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::io::{IoSliceMut, Read};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("orlop-handoff-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_pid_file_has_digits_and_nothing_else() {
        let directory = scratch("pid");
        let file = directory.join("pid");
        write_pid_file(&file, 123_456).unwrap();
        write_pid_file(&file, 42).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"42");
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no temporary file stays");
        remove_pid_file(&file, 43);
        assert!(file.exists(), "it is another process's");
        remove_pid_file(&file, 42);
        assert!(!file.exists());
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        remove_pid_file(&file, 42);
        assert!(file.is_symlink());
        write_pid_file(&file, 42).unwrap();
        let e = write_pid_file(&directory.join("no/pid"), 1).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ENOENT));
        let e = write_pid_file(Path::new("pid"), 1).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        std::fs::remove_dir_all(directory).unwrap();
    }

    /// Sends a file to a listener who accepts only afterwards, and reads it there.
    fn round(path: &Path, listener: &UnixListener) {
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
    fn a_descriptor_travels_also_over_a_long_path() {
        let directory = scratch("socket");
        let path = directory.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        round(&path, &listener);
        let deep = directory.join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let moved = deep.join("a-socket-with-a-name");
        std::fs::rename(&path, &moved).unwrap();
        round(&moved, &listener);
        // A child that another test makes just now may hold a copy of it.
        nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
        let e = send_descriptor(&moved, tempfile(), "x", "console socket").unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ECONNREFUSED));
        assert!(e.to_string().starts_with("connect to console socket /"), "{e}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
