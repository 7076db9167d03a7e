//! rtnetlink(7): requests about network devices, one at a time.

use super::channel;
use super::syscall::{call, open, retry};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Longer than any message (`NLMSG_GOODSIZE` is at most 8 KiB, the buffer of a dump 32 KiB).
const MAX_MESSAGE: usize = 64 << 10;

/// `NLM_F_*` flags of a request, besides those that every request has.
pub(crate) mod flag {
    #![allow(missing_docs)]
    pub(crate) const DUMP: u16 = libc::NLM_F_DUMP as u16;
    pub(crate) const CREATE_NEW: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetlinkRequest(Vec<u8>);

impl NetlinkRequest {
    /// A request of this type (`RTM_*`) with its fixed part.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let ack = if flags & flag::DUMP == flag::DUMP { 0 } else { libc::NLM_F_ACK as u16 };
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | ack | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        // Sequence number and port are 0: there is one request at a time, and it goes to the kernel.
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    /// Adds an attribute.
    #[must_use]
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self.0.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self
    }
}

/// One message of the kernel's answer: its fixed part and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetlinkMessage(Vec<u8>);

impl NetlinkMessage {
    /// `N` bytes of the fixed part; zeros if it is shorter.
    pub(crate) fn fixed<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    /// The value of an attribute after a fixed part of this length.
    pub(crate) fn attribute(&self, length: usize, kind: u16) -> Option<&[u8]> {
        let mut rest = self.0.get(length..)?;
        while rest.len() >= 4 {
            let size = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
            let found = u16::from_ne_bytes([rest[2], rest[3]]);
            if size < 4 {
                return None;
            }
            if found == kind {
                return rest.get(4..size);
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        None
    }
}

/// A socket for requests about the devices of one network namespace, the one in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    /// For the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, Errno> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no argument is an address; the call returns a new descriptor.
        unsafe { open!(libc::SYS_socket, libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }.map(Self)
    }

    /// For the network namespace of a file, which a short-lived thread joins.
    pub(crate) fn open_in(namespace: impl AsFd) -> Result<Self, Errno> {
        let namespace = namespace.as_fd();
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                super::namespace::join_network(namespace)?;
                Self::open()
            });
            there.join().unwrap_or(Err(Errno::EIO))
        })
    }

    /// Sends a request and receives all of its answer.
    pub(crate) fn request(&self, message: &NetlinkRequest) -> Result<Vec<NetlinkMessage>, Errno> {
        // A dump that a change has interrupted is requested again.
        let mut left = 10;
        loop {
            match self.attempt(message) {
                Err(Errno::EINTR) if left > 0 => left -= 1,
                other => return other,
            }
        }
    }

    fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
        let (fd, null) = (self.0.as_raw_fd(), std::ptr::null::<u8>());
        let (to, length) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: there is room for so many bytes; the sender's address is not wanted.
        let n = retry(|| unsafe { call!(libc::SYS_recvfrom, fd, to, length, 0, null, null) })?;
        Ok(&buffer[..n as usize])
    }

    fn attempt(&self, message: &NetlinkRequest) -> Result<Vec<NetlinkMessage>, Errno> {
        let mut bytes = message.0.clone();
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        retry(|| channel::send_some(self.0.as_fd(), &bytes))?;
        let (mut answers, mut buffer) = (Vec::new(), vec![0u8; MAX_MESSAGE]);
        let mut interrupted = false;
        loop {
            let mut rest = self.receive(&mut buffer)?;
            while rest.len() >= HEADER {
                let size = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let (kind, flags) =
                    (u16::from_ne_bytes([rest[4], rest[5]]), u16::from_ne_bytes([rest[6], rest[7]]));
                let Some(payload) = rest.get(HEADER..size) else { return Err(Errno::EBADMSG) };
                interrupted |= i32::from(flags) & libc::NLM_F_DUMP_INTR != 0;
                match i32::from(kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        let code =
                            payload.get(..4).map_or(0, |b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
                        return match code {
                            0 if interrupted => Err(Errno::EINTR),
                            0 => Ok(answers),
                            code => Err(Errno::from_raw(-code)),
                        };
                    }
                    libc::NLMSG_NOOP => {}
                    _ => answers.push(NetlinkMessage(payload.to_vec())),
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_found() {
        let netlink = Netlink::open().unwrap();
        let ask = NetlinkRequest::new(libc::RTM_GETLINK, 0, &[0; 16]).attribute(libc::IFLA_IFNAME, b"lo\0");
        let answers = netlink.request(&ask).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].attribute(16, libc::IFLA_IFNAME), Some(&b"lo\0"[..]));
        let none =
            NetlinkRequest::new(libc::RTM_GETLINK, 0, &[0; 16]).attribute(libc::IFLA_IFNAME, b"no-such\0");
        assert_eq!(netlink.request(&none).unwrap_err(), Errno::ENODEV);
        let all = netlink.request(&NetlinkRequest::new(libc::RTM_GETLINK, flag::DUMP, &[0; 16])).unwrap();
        assert!(all.contains(&answers[0]) || all.iter().any(|one| one.fixed::<4>(4) == answers[0].fixed(4)));
    }

    #[test]
    fn malformed_attributes_are_ignored() {
        assert_eq!(NetlinkMessage(vec![0; 20]).attribute(16, 0), None);
        assert_eq!(NetlinkMessage(vec![1, 2, 3]).attribute(16, 0), None);
        assert_eq!(NetlinkMessage(vec![9, 0, 3, 0]).attribute(0, 3), None);
        assert_eq!(NetlinkMessage(vec![1]).fixed::<4>(0), [0; 4]);
    }
}
