//! A connection to a bus, or to systemd itself: blocking, with a deadline for every answer.

use super::message::{FIXED, Kind, Message};
use super::value::Value;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Why a call was not answered as hoped.
#[derive(Debug)]
pub(super) enum Failure {
    /// By an error: its name, and its text.
    Refused(String, String),
    /// Not at all.
    Broken(Errno),
}

impl Failure {
    /// Whether it is the error with this last part of its name.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Refused(full, _) if full.rsplit('.').next() == Some(name))
    }

    /// The error of `operation` on `object`.
    pub(super) fn of(self, operation: &'static str, object: impl Into<String>) -> Error {
        match self {
            Self::Refused(name, text) => Error::new(ErrorKind::System, Phase::Cgroup, operation)
                .on(object)
                .with_detail(if text.is_empty() { name } else { text }),
            Self::Broken(Errno::EAGAIN | Errno::ETIMEDOUT) => {
                Error::new(ErrorKind::TimedOut, Phase::Cgroup, operation)
                    .on(object)
                    .with_detail(format!("systemd has not answered in {} s", PATIENCE.as_secs()))
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
    /// What has come and was not asked for yet.
    signals: Vec<Message>,
}

impl Connection {
    /// Connects to the first of these places that answers: `unix:path=`, `unix:abstract=`, several of them separated
    /// by `;`.
    pub(super) fn open(address: &str) -> Result<Self> {
        let failed = |e| Error::sys(Phase::Cgroup, "connect to systemd", e).on(address.to_owned());
        let mut first = None;
        for place in address.split(';').filter(|place| !place.is_empty()) {
            let done = match place_of(place) {
                Some(at) => at.and_then(|at| Self::connect(&at)),
                None => Err(Errno::EAFNOSUPPORT),
            };
            match done {
                Ok(connection) => return Ok(connection),
                Err(e) => first = first.or(Some(e)),
            }
        }
        Err(failed(first.unwrap_or(Errno::EINVAL)))
    }

    fn connect(at: &UnixAddr) -> Result<Self, Errno> {
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let mut connection = Self { socket, serial: 0, signals: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        connection.limit(deadline)?;
        socket::connect(connection.socket.as_raw_fd(), at)?;
        connection.authenticate(deadline)?;
        Ok(connection)
    }

    /// SASL EXTERNAL without a name: the peer takes the one that the kernel tells it, which is right from
    /// inside of a user namespace too.
    fn authenticate(&mut self, deadline: Instant) -> Result<(), Errno> {
        // Its end comes at once: a peer that read it together with the first message might look at that
        // only when more comes.
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

    /// A line of the conversation before the first message: byte by byte, as what follows belongs to that.
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

    /// Lets the kernel end any call on the socket at the deadline.
    fn limit(&self, deadline: Instant) -> Result<(), Errno> {
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
            self.limit(deadline)?;
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
            self.limit(deadline)?;
            match socket::recv(self.socket.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(0) => return Err(Errno::ECONNRESET),
                Ok(got) => bytes = &mut bytes[got..],
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn next(&self, deadline: Instant) -> Result<Option<Message>, Errno> {
        let mut bytes = vec![0; FIXED];
        self.receive(&mut bytes, deadline)?;
        let length = Message::length(&bytes).ok_or(Errno::EBADMSG)?;
        bytes.resize(length, 0);
        self.receive(&mut bytes[FIXED..], deadline)?;
        // A message of a kind that is not known is to be passed over.
        Ok(Message::decode(&bytes))
    }

    /// Calls a method of `destination`, and waits for its answer.
    pub(super) fn call(
        &mut self,
        destination: &str,
        (path, interface, member): Method<'_>,
        body: Vec<Value>,
    ) -> Result<Message, Failure> {
        let deadline = Instant::now() + PATIENCE;
        self.serial += 1;
        let message = Message {
            kind: Kind::Call,
            serial: self.serial,
            destination: Some(destination.to_owned()),
            path: Some(path.to_owned()),
            interface: Some(interface.to_owned()),
            member: Some(member.to_owned()),
            body,
            ..Message::default()
        };
        self.send(&message.encode(), deadline).map_err(Failure::Broken)?;
        loop {
            let Some(message) = self.next(deadline).map_err(Failure::Broken)? else { continue };
            match message.kind {
                Kind::Reply if message.reply_to == Some(self.serial) => return Ok(message),
                Kind::Error if message.reply_to == Some(self.serial) => {
                    let text = message.text(0).unwrap_or_default().to_owned();
                    return Err(Failure::Refused(message.member.unwrap_or_default(), text));
                }
                Kind::Signal => self.signals.push(message),
                _ => {}
            }
        }
    }

    /// The signal `member` whose body `wanted` knows, whether it has come already or comes within `patience`.
    pub(super) fn signal(
        &mut self,
        member: &str,
        wanted: impl Fn(&Message) -> bool,
        patience: Duration,
    ) -> Result<Option<Message>, Failure> {
        let until = Instant::now() + patience;
        let is = |m: &Message| m.member.as_deref() == Some(member) && wanted(m);
        if let Some(at) = self.signals.iter().position(is) {
            return Ok(Some(self.signals.swap_remove(at)));
        }
        // A message that has begun is read to its end, or what follows could not be understood.
        while self.is_readable(until).map_err(Failure::Broken)? {
            match self.next(Instant::now() + PATIENCE).map_err(Failure::Broken)? {
                Some(message) if message.kind == Kind::Signal && is(&message) => return Ok(Some(message)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether something comes before then.
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

/// Where an address leads; `None` for one that is no AF_UNIX socket's.
fn place_of(address: &str) -> Option<Result<UnixAddr, Errno>> {
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

/// `%41` is a byte.
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
    fn addresses() {
        let path = |text: &str| place_of(text).unwrap().unwrap().path().map(|p| p.display().to_string());
        assert_eq!(path("unix:path=/run/user/1000/bus,guid=0f").as_deref(), Some("/run/user/1000/bus"));
        assert_eq!(path("unix:path=/a%20b").as_deref(), Some("/a b"));
        assert!(place_of("unix:abstract=/tmp/x").unwrap().unwrap().as_abstract().is_some());
        assert!(place_of("tcp:host=localhost").is_none());
        let e = Connection::open("tcp:host=x;unix:path=/nowhere").unwrap_err();
        assert!(e.to_string().contains("tcp:host=x"), "{e}");
    }
}
