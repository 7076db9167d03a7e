//! A byte each way between the two sides of a launch.

use super::{call, owned, retry};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// socketpair(2): two connected AF_UNIX stream sockets, close-on-exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(libc::SOCK_STREAM)
}

/// socketpair(2): two connected AF_UNIX sockets that keep messages apart, close-on-exec.
pub fn packets() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(libc::SOCK_SEQPACKET)
}

fn socketpair(kind: i32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0i32; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    call!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, fds.as_mut_ptr())?;
    Ok((owned(fds[0].into()), owned(fds[1].into())))
}

/// Waits for one byte; `false` at the end of the stream, also where the peer died with a byte of ours
/// unread.
pub fn receive(socket: impl AsFd) -> Result<bool, Errno> {
    let mut byte = [0u8; 1];
    let fd = socket.as_fd().as_raw_fd();
    match retry(|| call!(libc::SYS_read, fd, byte.as_mut_ptr(), 1)) {
        Ok(n) => Ok(n == 1),
        Err(Errno::ECONNRESET) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Sends one byte; a peer that is gone is no error here, and raises no SIGPIPE.
pub fn send(socket: impl AsFd) -> Result<(), Errno> {
    let (fd, byte, null) = (socket.as_fd().as_raw_fd(), [1u8], std::ptr::null::<u8>());
    match retry(|| call!(libc::SYS_sendto, fd, byte.as_ptr(), 1, libc::MSG_NOSIGNAL, null, 0)) {
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sends one packet; raises no SIGPIPE.
pub fn send_packet(socket: impl AsFd, data: &[u8]) -> Result<(), Errno> {
    let (fd, null) = (socket.as_fd().as_raw_fd(), std::ptr::null::<u8>());
    retry(|| call!(libc::SYS_sendto, fd, data.as_ptr(), data.len(), libc::MSG_NOSIGNAL, null, 0)).map(drop)
}

/// Writes `data` at `offset` of a file, and makes the file whole pages long.
pub fn fill(file: impl AsFd, offset: usize, data: &[u8]) -> Result<(), Errno> {
    let fd = file.as_fd().as_raw_fd();
    retry(|| call!(libc::SYS_ftruncate, fd, (offset + data.len()).next_multiple_of(4096)))?;
    call!(libc::SYS_lseek, fd, offset, libc::SEEK_SET)?;
    super::fs::write_all(file, data)
}
