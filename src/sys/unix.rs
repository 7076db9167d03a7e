//! AF_UNIX sockets named below a directory's descriptor, and descriptors that travel over them.

use super::{call, owned, retry};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen,
    sendmsg, socket,
};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Makes a listening socket with this name in `dir`, whatever the length of the directory's path.
pub fn listen_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let sock = stream()?;
    bind(sock.as_raw_fd(), &address(dir, name)?)?;
    listen(&sock, Backlog::new(8)?)?;
    Ok(sock)
}

/// Connects to the socket with this name in `dir`.
pub fn connect_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let sock = stream()?;
    let address = address(dir, name)?;
    retry(|| connect(sock.as_raw_fd(), &address))?;
    Ok(sock)
}

fn stream() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

fn address(dir: impl AsFd, name: &str) -> Result<UnixAddr, Errno> {
    UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd()).as_str())
}

/// Makes a datagram socket with this name in `dir`, which everybody may write to.
pub fn bind_datagram_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let sock = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let address = address(dir, name)?;
    bind(sock.as_raw_fd(), &address)?;
    let path = address.path().ok_or(Errno::EINVAL)?;
    let everybody = nix::sys::stat::Mode::from_bits_truncate(0o777);
    let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
    nix::sys::stat::fchmodat(super::fs::cwd(), path, everybody, follow)?;
    Ok(sock)
}

/// Sends one message with these descriptors to a datagram socket.
pub fn send_datagram(to: &UnixAddr, message: &[u8], descriptors: &[OwnedFd]) -> Result<(), Errno> {
    let sock = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let numbers: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[][..] } else { &control[..] };
    let message = [IoSlice::new(message)];
    retry(|| sendmsg(sock.as_raw_fd(), &message, control, MsgFlags::MSG_NOSIGNAL, Some(to))).map(drop)
}

/// Receives one message without waiting: its length, and the descriptors that came with it, close-on-exec. What is
/// longer than the buffer is cut off.
pub fn receive_datagram(sock: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    message(sock, buffer, libc::MSG_DONTWAIT)
}

/// Receives one descriptor, close-on-exec, with at least a byte of data; `None` at the end of the
/// stream, and where the message has no descriptor.
pub fn receive_fd(sock: impl AsFd) -> Result<Option<OwnedFd>, Errno> {
    receive(sock).map(|(_, fd)| fd)
}

/// Receives some bytes, and the descriptor that came with them (close-on-exec), if any; no bytes: the end of
/// the stream.
pub fn receive(sock: impl AsFd) -> Result<(usize, Option<OwnedFd>), Errno> {
    one(message(sock, &mut [0; 64], 0))
}

/// Receives one packet of a SOCK_SEQPACKET socket, and the descriptor that came with it: how many
/// bytes of the buffer it has filled, 0 at the end.
///
/// # Errors
/// `EMSGSIZE` where the buffer is too small; the packet is lost.
pub fn receive_packet(sock: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let (n, fd) = one(message(sock, buffer, libc::MSG_TRUNC))?;
    if n > buffer.len() { Err(Errno::EMSGSIZE) } else { Ok((n, fd)) }
}

/// The first descriptor. Every one is owned, so that those which nobody asked for are closed.
fn one(message: Result<(usize, Vec<OwnedFd>), Errno>) -> Result<(usize, Option<OwnedFd>), Errno> {
    message.map(|(n, descriptors)| (n, descriptors.into_iter().next().filter(|_| n > 0)))
}

fn message(sock: impl AsFd, buffer: &mut [u8], flags: i32) -> Result<(usize, Vec<OwnedFd>), Errno> {
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr: no name, no vector, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control.0);
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    let n = retry(|| call!(libc::SYS_recvmsg, sock.as_fd().as_raw_fd(), &raw mut message, flags))?;
    // Some were sent, and the kernel could not give us the first one.
    if message.msg_flags & libc::MSG_CTRUNC != 0 && message.msg_controllen == 0 {
        return Err(Errno::EMFILE);
    }
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the control buffer, whose headers these macros walk in bounds;
    // each descriptor in it was just installed in this process and is nobody else's.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let length = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header);
                for i in 0..length / size_of::<i32>() {
                    let mut number = [0; size_of::<i32>()];
                    data.add(i * size_of::<i32>()).copy_to_nonoverlapping(number.as_mut_ptr(), number.len());
                    descriptors.push(owned(i32::from_ne_bytes(number).into()));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((n as usize, descriptors))
}

/// Sends all of `data`; a peer that is gone is `EPIPE`, and raises no signal.
pub fn send_all(sock: impl AsFd, mut data: &[u8]) -> Result<(), Errno> {
    let (fd, null) = (sock.as_fd().as_raw_fd(), std::ptr::null::<u8>());
    while !data.is_empty() {
        let n =
            retry(|| call!(libc::SYS_sendto, fd, data.as_ptr(), data.len(), libc::MSG_NOSIGNAL, null, 0))?;
        data = &data[n as usize..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{cwd, openat, read_all};
    use crate::sys::memfd::memfd_create;

    #[test]
    fn a_descriptor_over_a_socket_below_a_directory() {
        let path =
            std::env::temp_dir().join(format!("orlop-unix-{}-{}", std::process::id(), "n".repeat(150)));
        std::fs::create_dir(&path).unwrap();
        let dir = openat(cwd(), &crate::sys::fs::cstring(&path).unwrap(), libc::O_RDONLY, 0).unwrap();
        let listener = listen_at(&dir, "s").unwrap();
        assert_eq!(listen_at(&dir, "s").unwrap_err(), Errno::EADDRINUSE);
        let ours = connect_at(&dir, "s").unwrap();
        let theirs = nix::sys::socket::accept(listener.as_raw_fd()).map(|fd| owned(fd.into())).unwrap();
        let file = memfd_create(c"x", 0).unwrap();
        crate::sys::fs::write_all(&file, b"hello").unwrap();
        nix::unistd::lseek(&file, 0, nix::unistd::Whence::SeekSet).unwrap();
        for fds in [&[file.as_raw_fd()][..], &[file.as_raw_fd(), file.as_raw_fd()]] {
            let control = [ControlMessage::ScmRights(fds)];
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None)
                .unwrap();
        }
        let got = receive_fd(&ours).unwrap().unwrap();
        assert_eq!(read_all(&got, 100).unwrap(), b"hello");
        assert!(receive_fd(&ours).unwrap().is_some());
        crate::sys::fs::write_all(&theirs, b"plain").unwrap();
        assert!(receive_fd(&ours).unwrap().is_none());
        drop(theirs);
        assert!(receive_fd(&ours).unwrap().is_none());
        drop(listener);
        assert_eq!(connect_at(&dir, "s").unwrap_err(), Errno::ECONNREFUSED);
        assert_eq!(connect_at(&dir, "none").unwrap_err(), Errno::ENOENT);
        std::fs::remove_dir_all(path).unwrap();
    }
}
