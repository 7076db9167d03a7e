//! The sockets between the two sides of a launch, and the file that they share.

use super::syscall::{call, retry};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// socketpair(2): two connected AF_UNIX stream sockets, close-on-exec.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(libc::SOCK_STREAM)
}

/// socketpair(2): two connected AF_UNIX sockets that preserve message boundaries, close-on-exec.
pub(crate) fn packets() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(libc::SOCK_SEQPACKET)
}

fn socketpair(kind: i32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut fds = [0i32; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: there is room for two descriptors. Once the call has succeeded they are new, and have no other owner.
    unsafe {
        call!(libc::SYS_socketpair, libc::AF_UNIX, kind, 0, fds.as_mut_ptr())?;
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}

/// Sends one byte. A closed peer is not an error, and raises no SIGPIPE.
pub(crate) fn send(socket: impl AsFd) -> Result<(), Errno> {
    match retry(|| send_some(socket.as_fd(), &[1])) {
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Sends one packet; raises no SIGPIPE.
pub(crate) fn send_packet(socket: impl AsFd, data: &[u8]) -> Result<(), Errno> {
    let socket = socket.as_fd();
    retry(|| send_some(socket, data)).map(drop)
}

/// sendto(2) to the peer; raises no SIGPIPE. The number of bytes that were sent.
pub(super) fn send_some(socket: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    let (fd, flags, null) = (socket.as_raw_fd(), libc::MSG_NOSIGNAL, std::ptr::null::<u8>());
    // SAFETY: the data outlives the call; the socket address is null.
    unsafe { call!(libc::SYS_sendto, fd, data.as_ptr(), data.len(), flags, null, 0) }.map(|n| n as usize)
}

/// Writes `data` at `offset` of a file, and extends the file to whole pages.
pub(crate) fn fill(file: impl AsFd, offset: usize, data: &[u8]) -> Result<(), Errno> {
    let fd = file.as_fd();
    // SAFETY: no argument is an address.
    unsafe {
        retry(|| call!(libc::SYS_ftruncate, fd.as_raw_fd(), (offset + data.len()).next_multiple_of(4096)))?;
        call!(libc::SYS_lseek, fd.as_raw_fd(), offset, libc::SEEK_SET)?;
    }
    super::fs::write_all(file, data)
}
