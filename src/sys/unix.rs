//! AF_UNIX sockets that are named below a directory's descriptor, and descriptors that are sent over them.

use super::fs;
use super::syscall::{call, retry};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect, listen,
    sendmsg, setsockopt, socket, sockopt::PassCred,
};
use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Creates a listening socket with this name in `dir`, whatever the length of the directory's path.
pub(crate) fn listen_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let sock = stream()?;
    bind(sock.as_raw_fd(), &address(dir, name)?)?;
    listen(&sock, Backlog::new(8)?)?;
    Ok(sock)
}

/// Connects to the socket with this name in `dir`, without blocking. Each message that is received over it has a sender
/// (`SO_PASSCRED`).
///
/// # Errors
/// `EAGAIN` if the listener's queue is full.
pub(crate) fn connect_at(dir: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let sock = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    setsockopt(&sock, PassCred, &true)?;
    let address = address(dir, name)?;
    retry(|| connect(sock.as_raw_fd(), &address))?;
    fcntl(&sock, FcntlArg::F_SETFL(OFlag::O_RDWR))?;
    Ok(sock)
}

fn stream() -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

fn address(dir: impl AsFd, name: &str) -> Result<UnixAddr, Errno> {
    UnixAddr::new(format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd()).as_str())
}

/// Sends a byte with these descriptors over a connected socket. A closed peer is not an error, and raises no SIGPIPE.
pub(crate) fn send_descriptors(sock: impl AsFd, descriptors: &[OwnedFd]) -> Result<(), Errno> {
    let numbers: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let (control, byte) = ([ControlMessage::ScmRights(&numbers)], [IoSlice::new(b"m")]);
    let fd = sock.as_fd().as_raw_fd();
    match retry(|| sendmsg::<()>(fd, &byte, &control, MsgFlags::MSG_NOSIGNAL, None)) {
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Creates a datagram socket with this name in `dir`, to which every user may write. Any file of that name is replaced.
///
/// Others may be able to change `dir`. So the socket is bound and its mode is set in `private`, a directory of the
/// caller's on the same file system, and is then renamed.
pub(crate) fn bind_datagram_at(private: impl AsFd, dir: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let sock = datagram(SockFlag::SOCK_CLOEXEC)?;
    let temporary = fs::unguessable_name()?;
    bind(sock.as_raw_fd(), &address(&private, temporary.to_str().map_err(|_| Errno::EINVAL)?)?)?;
    let done = make_writable_by_all(&private, &temporary)
        .and_then(|()| fs::renameat(&private, &temporary, dir, name));
    if done.is_err() {
        let _ = fs::unlinkat(&private, &temporary, 0);
    }
    done.map(|()| sock)
}

/// Lets every user write to the socket with this name in `dir`.
fn make_writable_by_all(dir: impl AsFd, name: &CStr) -> Result<(), Errno> {
    use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
    let file = fs::openat(dir, name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    if fstat(&file)?.st_mode & libc::S_IFMT != SFlag::S_IFSOCK.bits() {
        return Err(Errno::ENOTSOCK);
    }
    // The link leads to the open file, even if another file has its name by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fchmodat(fs::cwd(), path.as_str(), Mode::from_bits_truncate(0o777), FchmodatFlags::FollowSymlink)
}

fn datagram(flags: SockFlag) -> Result<OwnedFd, Errno> {
    socket(AddressFamily::Unix, SockType::Datagram, flags, None)
}

/// Creates a datagram socket that is connected to this address. It never blocks: a full queue is `EAGAIN`, and poll(2)
/// reports POLLOUT when there is room again.
pub(crate) fn connect_datagram(to: &UnixAddr) -> Result<OwnedFd, Errno> {
    let sock = datagram(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    retry(|| connect(sock.as_raw_fd(), to))?;
    Ok(sock)
}

/// Sends a message without blocking, with a descriptor if there is one. Returns the number of bytes that were sent.
pub(crate) fn send_now(
    sock: impl AsFd,
    message: &[u8],
    with: Option<BorrowedFd<'_>>,
) -> Result<usize, Errno> {
    let number = with.map(|fd| [fd.as_raw_fd()]);
    let control = number.as_ref().map(|number| [ControlMessage::ScmRights(number)]);
    let control = control.as_ref().map_or(&[][..], |control| &control[..]);
    let (message, flags) = ([IoSlice::new(message)], MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT);
    let fd = sock.as_fd().as_raw_fd();
    retry(|| sendmsg::<()>(fd, &message, control, flags, None))
}

/// Sends all of `data` before the deadline, and the descriptor with its first part. A closed peer is `EPIPE`, and raises no
/// SIGPIPE.
///
/// # Errors
/// `ETIMEDOUT` if the peer does not read fast enough; a part may have been sent.
pub(crate) fn send_until(
    sock: impl AsFd,
    data: &[u8],
    mut with: Option<BorrowedFd<'_>>,
    deadline: Instant,
) -> Result<(), Errno> {
    let send = |part: &[u8]| send_now(&sock, part, with).inspect(|_| with = None);
    in_parts(data, deadline, send, || wait_for(&sock, libc::POLLOUT, deadline))
}

/// Sends `data` in as many parts as `send` takes; `room` waits until `send` takes more.
fn in_parts(
    mut data: &[u8],
    deadline: Instant,
    mut send: impl FnMut(&[u8]) -> Result<usize, Errno>,
    room: impl Fn() -> Result<bool, Errno>,
) -> Result<(), Errno> {
    while !data.is_empty() {
        match send(data) {
            Ok(n) => data = &data[n..],
            Err(Errno::EAGAIN) if room()? => {}
            Err(Errno::EAGAIN) => return Err(Errno::ETIMEDOUT),
            Err(e) => return Err(e),
        }
        // Otherwise a peer that reads a little at a time could extend the deadline at will.
        if !data.is_empty() && Instant::now() >= deadline {
            return Err(Errno::ETIMEDOUT);
        }
    }
    Ok(())
}

/// Waits for one event of poll(2) until the deadline; `false` after it.
pub(crate) fn wait_for(fd: impl AsFd, event: i16, deadline: Instant) -> Result<bool, Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut set = [PollFd::new(fd.as_fd(), PollFlags::from_bits_truncate(event))];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last iteration does not spin.
        let left = left.as_nanos().div_ceil(1_000_000);
        let timeout = i32::try_from(left).ok().and_then(|ms| PollTimeout::try_from(ms).ok());
        match poll(&mut set, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(n) if n > 0 => return Ok(true),
            Ok(_) if Instant::now() >= deadline => return Ok(false),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Why [`wait_for_message`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketEvent {
    /// There is a message to receive, or the end of the stream.
    Readable,
    /// The process has exited, and no message of it is left. Another process may still hold its end of the socket.
    ProcessExited,
    /// The time limit was reached, or a signal came before it.
    TimedOut,
}

/// Waits for a message, or until the process that is to send it has exited.
pub(crate) fn wait_for_message(
    sock: impl AsFd,
    pidfd: impl AsFd,
    limit: Option<Duration>,
) -> Result<SocketEvent, Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = limit.map_or(PollTimeout::NONE, |limit| {
        let ms = i32::try_from(limit.as_nanos().div_ceil(1_000_000)).ok();
        ms.and_then(|ms| PollTimeout::try_from(ms).ok()).unwrap_or(PollTimeout::MAX)
    });
    let mut set = [sock.as_fd(), pidfd.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    match poll(&mut set, timeout) {
        Ok(0) => return Ok(SocketEvent::TimedOut),
        // With a limit, the caller checks the time and calls again.
        Err(Errno::EINTR) if limit.is_some() => return Ok(SocketEvent::TimedOut),
        Err(Errno::EINTR) => return wait_for_message(sock, pidfd, None),
        other => other?,
    };
    if set[0].any().unwrap_or(true) {
        return Ok(SocketEvent::Readable);
    }
    // The process may have sent its last message after the socket was checked.
    retry(|| poll(&mut set[..1], PollTimeout::ZERO))?;
    Ok(if set[0].any().unwrap_or(true) { SocketEvent::Readable } else { SocketEvent::ProcessExited })
}

/// What [`peek_datagram`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeekedDatagram {
    /// The length of the message, which may exceed the buffer's.
    pub(crate) length: usize,
    /// Whether it carries descriptors.
    pub(crate) descriptors: bool,
}

/// Reads the next message of a datagram socket without blocking, and leaves it in the queue. None of its descriptors is
/// received.
pub(crate) fn peek_datagram(sock: impl AsFd, buffer: &mut [u8]) -> Result<PeekedDatagram, Errno> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is valid: it has no name, no vector, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    let flags = libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    let fd = sock.as_fd();
    // SAFETY: the message and everything that it points to outlive the call.
    let n = retry(|| unsafe { call!(libc::SYS_recvmsg, fd.as_raw_fd(), &raw mut message, flags) })?;
    Ok(PeekedDatagram { length: n as usize, descriptors: message.msg_flags & libc::MSG_CTRUNC != 0 })
}

/// Removes the next message from the queue of a datagram socket. If the message holds the last copy of a descriptor, closing
/// it may block for as long as the sender likes (`SO_LINGER`).
pub(crate) fn drop_datagram(sock: impl AsFd) -> Result<(), Errno> {
    let (fd, null) = (sock.as_fd(), std::ptr::null_mut::<u8>());
    // SAFETY: the addresses are null; neither bytes nor the sender's address are wanted.
    retry(|| unsafe { call!(libc::SYS_recvfrom, fd.as_raw_fd(), null, 0, libc::MSG_DONTWAIT, null, null) })
        .map(drop)
}

/// Receives some bytes (none at the end of the stream) without blocking, and the descriptors that came with them.
pub(crate) fn receive_now(sock: impl AsFd) -> Result<ReceivedMessage, Errno> {
    message(sock, &mut [0; 64], libc::MSG_DONTWAIT)
}

/// A received message.
#[derive(Debug)]
pub(crate) struct ReceivedMessage {
    /// The number of bytes that were received.
    pub(crate) length: usize,
    /// The process that sent it, if the socket asks for senders and the process has a pid here. The kernel vouches for it,
    /// except that a sender with `CAP_SYS_ADMIN` over its own pid namespace may name another process of that namespace.
    pub(crate) sender: Option<i32>,
    descriptors: Vec<OwnedFd>,
}

impl ReceivedMessage {
    /// The first descriptor (close-on-exec). All others are closed.
    pub(crate) fn descriptor(self) -> Option<OwnedFd> {
        self.descriptors.into_iter().next().filter(|_| self.length > 0)
    }
}

/// Makes [`receive_from`] report which process has sent a message. Messages that were sent before have no sender.
pub(crate) fn ask_for_senders(sock: impl AsFd) -> Result<(), Errno> {
    nix::sys::socket::setsockopt(&sock, nix::sys::socket::sockopt::PassCred, &true)
}

/// Receives into a buffer. Returns the number of bytes (0 at the end of the stream), the descriptor that came with them
/// (close-on-exec), and the sender's pid if the socket [asks](ask_for_senders) for it.
pub(crate) fn receive_from(
    sock: impl AsFd,
    buffer: &mut [u8],
) -> Result<(usize, Option<OwnedFd>, Option<i32>), Errno> {
    let message = message(sock, buffer, 0)?;
    let sender = message.sender;
    with_first_descriptor(Ok(message)).map(|(length, descriptor)| (length, descriptor, sender))
}

/// Receives one packet of a SOCK_SEQPACKET socket. Returns the number of bytes (0 at the end of the stream), and the
/// descriptor that came with them.
///
/// # Errors
/// `EMSGSIZE` if the buffer is too small; the packet is lost.
pub(crate) fn receive_packet(sock: impl AsFd, buffer: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let (n, fd) = with_first_descriptor(message(sock, buffer, libc::MSG_TRUNC))?;
    if n > buffer.len() { Err(Errno::EMSGSIZE) } else { Ok((n, fd)) }
}

fn with_first_descriptor(message: Result<ReceivedMessage, Errno>) -> Result<(usize, Option<OwnedFd>), Errno> {
    message.map(|message| (message.length, message.descriptor()))
}

fn message(sock: impl AsFd, buffer: &mut [u8], flags: i32) -> Result<ReceivedMessage, Errno> {
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero msghdr is valid: it has no name, no vector, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control.0);
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    let (sock, to) = (sock.as_fd(), &raw mut message);
    // SAFETY: the message has the addresses and lengths of a buffer and a control buffer, which outlive the call.
    let n = retry(|| unsafe { call!(libc::SYS_recvmsg, sock.as_raw_fd(), to, flags) })?;
    let (mut descriptors, mut sender) = (Vec::new(), None);
    // SAFETY: the kernel has filled the control buffer, and these macros stay within it. Each descriptor in it is new, and
    // has no other owner.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let length = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(header);
                for i in 0..length / size_of::<i32>() {
                    let mut number = [0; size_of::<i32>()];
                    data.add(i * size_of::<i32>()).copy_to_nonoverlapping(number.as_mut_ptr(), number.len());
                    descriptors.push(OwnedFd::from_raw_fd(i32::from_ne_bytes(number)));
                }
            }
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_CREDENTIALS {
                let credentials = libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned();
                sender = Some(credentials.pid).filter(|pid| *pid > 0);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    // Descriptors were sent, but this process has reached its limit of open files.
    if message.msg_flags & libc::MSG_CTRUNC != 0 && descriptors.is_empty() {
        return Err(Errno::EMFILE);
    }
    Ok(ReceivedMessage { length: n as usize, sender, descriptors })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::{cwd, openat, read_all};
    use crate::sys::memfd::memfd_create;

    #[test]
    fn descriptors_are_sent_over_a_socket_below_a_directory() {
        let path =
            std::env::temp_dir().join(format!("orlop-unix-{}-{}", std::process::id(), "n".repeat(150)));
        std::fs::create_dir(&path).unwrap();
        let dir = openat(cwd(), &crate::sys::fs::cstring(&path).unwrap(), libc::O_RDONLY, 0).unwrap();
        let listener = listen_at(&dir, "s").unwrap();
        assert_eq!(listen_at(&dir, "s").unwrap_err(), Errno::EADDRINUSE);
        let ours = connect_at(&dir, "s").unwrap();
        // SAFETY: accept(2) has returned a new descriptor.
        let theirs = unsafe { OwnedFd::from_raw_fd(nix::sys::socket::accept(listener.as_raw_fd()).unwrap()) };
        let file = memfd_create(c"x", 0).unwrap();
        crate::sys::fs::write_all(&file, b"hello").unwrap();
        nix::unistd::lseek(&file, 0, nix::unistd::Whence::SeekSet).unwrap();
        for fds in [&[file.as_raw_fd()][..], &[file.as_raw_fd(), file.as_raw_fd()]] {
            let control = [ControlMessage::ScmRights(fds)];
            sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None)
                .unwrap();
        }
        let got = receive_now(&ours).unwrap();
        assert_eq!(got.sender, Some(std::process::id().cast_signed()));
        assert_eq!(read_all(got.descriptor().unwrap(), 100).unwrap(), b"hello");
        assert!(receive_now(&ours).unwrap().descriptor().is_some());
        crate::sys::fs::write_all(&theirs, b"plain").unwrap();
        assert!(receive_now(&ours).unwrap().descriptor().is_none());
        assert_eq!(receive_now(&ours).unwrap_err(), Errno::EAGAIN);
        let own = crate::sys::process::pidfd_open(std::process::id().cast_signed()).unwrap();
        let limit = Some(Duration::from_millis(1));
        assert_eq!(wait_for_message(&ours, &own, limit), Ok(SocketEvent::TimedOut));
        drop(theirs);
        assert_eq!(wait_for_message(&ours, &own, None), Ok(SocketEvent::Readable));
        assert!(receive_now(&ours).unwrap().descriptor().is_none());
        drop(listener);
        assert_eq!(connect_at(&dir, "s").unwrap_err(), Errno::ECONNREFUSED);
        assert_eq!(connect_at(&dir, "none").unwrap_err(), Errno::ENOENT);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_slow_peer_does_not_extend_the_deadline() {
        let mut full = true;
        let send = |_: &[u8]| {
            full = !full;
            if full { Err(Errno::EAGAIN) } else { Ok(1) }
        };
        assert_eq!(in_parts(&[0; 1000], Instant::now(), send, || Ok(true)), Err(Errno::ETIMEDOUT));
        assert_eq!(in_parts(b"x", Instant::now(), |all| Ok(all.len()), || Ok(true)), Ok(()));
    }
}
