//! A connection to a bus, or to systemd's private socket. It blocks, with a timeout for every reply.

use super::message::{FIXED, Message, MessageType};
use super::value::Value;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a reply may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call has failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The reply is an error, with this name and text.
    Refused(String, String),
    /// There is no reply.
    Broken(Errno),
}

impl CallError {
    /// Whether the name of the error ends with this part.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(full, _) if full.rsplit('.').next() == Some(name))
    }

    /// The error for `operation` on `object`.
    pub(super) fn into_error(self, operation: &'static str, object: impl Into<String>) -> Error {
        match self {
            Self::Refused(name, text) => Error::new(ErrorKind::System, Phase::Cgroup, operation)
                .on(object)
                .with_detail(if text.is_empty() { name } else { text }),
            Self::Broken(Errno::EAGAIN | Errno::ETIMEDOUT) => {
                Error::new(ErrorKind::TimedOut, Phase::Cgroup, operation)
                    .on(object)
                    .with_detail(format!("systemd has not answered in {} s", CALL_TIMEOUT.as_secs()))
            }
            Self::Broken(errno) => Error::sys(Phase::Cgroup, operation, errno).on(object),
        }
    }
}

/// A method: object path, interface, name.
pub(super) type Method<'a> = (&'a str, &'a str, &'a str);

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    serial: u32,
    /// Signals that were received while waiting for a reply.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to the first of these addresses that works: `unix:path=` or `unix:abstract=`, separated by `;`.
    pub(super) fn open(address: &str) -> Result<Self> {
        let failed = |e| Error::sys(Phase::Cgroup, "connect to systemd", e).on(address.to_owned());
        let mut first = None;
        for one in address.split(';').filter(|one| !one.is_empty()) {
            let done = match socket_address(one) {
                Some(socket_address) => socket_address.and_then(|a| Self::connect(&a)),
                None => Err(Errno::EAFNOSUPPORT),
            };
            match done {
                Ok(connection) => return Ok(connection),
                Err(e) => first = first.or(Some(e)),
            }
        }
        Err(failed(first.unwrap_or(Errno::EINVAL)))
    }

    fn connect(address: &UnixAddr) -> Result<Self, Errno> {
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let mut connection = Self { socket, serial: 0, signals: Vec::new() };
        let deadline = Instant::now() + CALL_TIMEOUT;
        connection.set_timeouts(deadline)?;
        socket::connect(connection.socket.as_raw_fd(), address)?;
        connection.authenticate(deadline)?;
        Ok(connection)
    }

    /// SASL EXTERNAL without a user: the peer takes that of the socket's credentials, which is correct in a user namespace
    /// too.
    fn authenticate(&mut self, deadline: Instant) -> Result<(), Errno> {
        // BEGIN is sent at once. A peer that reads it together with the first message may process the message only when
        // more data arrives.
        self.send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", deadline)?;
        loop {
            let line = self.line(deadline)?;
            match line.split(u8::is_ascii_whitespace).next().unwrap_or_default() {
                b"OK" => return Ok(()),
                b"DATA" => {}
                _ => return Err(Errno::EACCES),
            }
        }
    }

    /// A line of the authentication, read byte by byte, because the first message may follow.
    fn line(&self, deadline: Instant) -> Result<Vec<u8>, Errno> {
        const LONGEST: usize = 4096;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LONGEST {
                return Err(Errno::EBADMSG);
            }
            let mut byte = [0];
            self.receive(&mut byte, deadline)?;
            line.push(byte[0]);
        }
        Ok(line)
    }

    /// Makes calls on the socket time out at the deadline.
    fn set_timeouts(&self, deadline: Instant) -> Result<(), Errno> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::ETIMEDOUT);
        }
        let left = TimeVal::milliseconds(i64::try_from(left.as_millis()).unwrap_or(i64::MAX).max(1));
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &left)?;
        setsockopt(&self.socket, sockopt::SendTimeout, &left)
    }

    fn send(&self, mut bytes: &[u8], deadline: Instant) -> Result<(), Errno> {
        while !bytes.is_empty() {
            self.set_timeouts(deadline)?;
            match socket::send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn receive(&self, mut bytes: &mut [u8], deadline: Instant) -> Result<(), Errno> {
        while !bytes.is_empty() {
            self.set_timeouts(deadline)?;
            match socket::recv(self.socket.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(0) => return Err(Errno::ECONNRESET),
                Ok(got) => bytes = &mut bytes[got..],
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Receives a message; `None` if its type is unknown.
    fn next(&self, deadline: Instant) -> Result<Option<Message>, Errno> {
        let mut bytes = vec![0; FIXED];
        self.receive(&mut bytes, deadline)?;
        let length = Message::length(&bytes).ok_or(Errno::EBADMSG)?;
        bytes.resize(length, 0);
        self.receive(&mut bytes[FIXED..], deadline)?;
        Ok(Message::decode(&bytes))
    }

    /// Calls a method of `destination`, and waits for the reply.
    pub(super) fn call(
        &mut self,
        destination: &str,
        (path, interface, member): Method<'_>,
        body: Vec<Value>,
    ) -> Result<Message, CallError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        self.serial += 1;
        let message = Message {
            kind: MessageType::Call,
            serial: self.serial,
            destination: Some(destination.to_owned()),
            path: Some(path.to_owned()),
            interface: Some(interface.to_owned()),
            member: Some(member.to_owned()),
            body,
            ..Message::default()
        };
        self.send(&message.encode(), deadline).map_err(CallError::Broken)?;
        loop {
            let Some(message) = self.next(deadline).map_err(CallError::Broken)? else { continue };
            match message.kind {
                MessageType::Reply if message.reply_to == Some(self.serial) => return Ok(message),
                MessageType::Error if message.reply_to == Some(self.serial) => {
                    let text = message.text(0).unwrap_or_default().to_owned();
                    return Err(CallError::Refused(message.member.unwrap_or_default(), text));
                }
                MessageType::Signal => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// The signal `member` that matches `wanted`, if it was received already or is received within `timeout`.
    pub(super) fn signal(
        &mut self,
        member: &str,
        wanted: impl Fn(&Message) -> bool,
        timeout: Duration,
    ) -> Result<Option<Message>, CallError> {
        let until = Instant::now() + timeout;
        let is = |m: &Message| m.member.as_deref() == Some(member) && wanted(m);
        if let Some(at) = self.signals.iter().position(is) {
            return Ok(Some(self.signals.swap_remove(at)));
        }
        // Once a message has begun, it must be read completely, or the next one could not be parsed.
        while self.is_readable(until).map_err(CallError::Broken)? {
            match self.next(Instant::now() + CALL_TIMEOUT).map_err(CallError::Broken)? {
                Some(message) if message.kind == MessageType::Signal && is(&message) => {
                    return Ok(Some(message));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether data arrives before then.
    fn is_readable(&self, until: Instant) -> Result<bool, Errno> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
                Ok(ready) => return Ok(ready > 0),
            }
        }
    }
}

/// The AF_UNIX address in a D-Bus address; `None` if it is another type of address.
fn socket_address(address: &str) -> Option<Result<UnixAddr, Errno>> {
    let keys = address.strip_prefix("unix:")?;
    keys.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = unescape(value)?;
        match key {
            "path" => Some(UnixAddr::new(&value[..])),
            "abstract" => Some(UnixAddr::new_abstract(&value)),
            _ => None,
        }
    })
}

/// Replaces escapes such as `%41`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_are_parsed() {
        let path =
            |text: &str| socket_address(text).unwrap().unwrap().path().map(|p| p.display().to_string());
        assert_eq!(path("unix:path=/run/user/1000/bus,guid=0f").as_deref(), Some("/run/user/1000/bus"));
        assert_eq!(path("unix:path=/a%20b").as_deref(), Some("/a b"));
        assert!(socket_address("unix:abstract=/tmp/x").unwrap().unwrap().as_abstract().is_some());
        assert!(socket_address("tcp:host=localhost").is_none());
        let e = Connection::open("tcp:host=x;unix:path=/nowhere").unwrap_err();
        assert!(e.to_string().contains("tcp:host=x"), "{e}");
    }
}
