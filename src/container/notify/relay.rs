//! Forwards messages from the container's socket to the manager's, without blocking and in bounded amounts.
//!
//! If the manager's queue is full, messages are merged into one short message that has the last value of each variable
//! and is sent as soon as there is room. At most [`READ_BATCH`] messages are read per [`READ_PAUSE`], so a flood of messages
//! slows down its sender and uses little time of this process. At most [`BURST`] messages are sent at once, then one per
//! [`SEND_INTERVAL`]; further messages are merged too.

use super::inbox::{Inbox, QueueHead};
use super::manager::ManagerSocket;
use super::message::{LONGEST, Outgoing};
use crate::sys::unix;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// How many messages are read at once.
const READ_BATCH: u32 = 32;
/// The pause after reading.
const READ_PAUSE: Duration = Duration::from_millis(1);
/// The interval for checking whether the helper thread is done.
const HELPER_CHECK: Duration = Duration::from_millis(10);
/// How many messages may be sent at once.
const BURST: u32 = 32;
/// The interval of further messages.
const SEND_INTERVAL: Duration = Duration::from_millis(50);
/// How long to wait until the manager has read everything, and how long a barrier of the container is delayed at most.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long forwarding may take after the container has exited.
const FINAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Receives a container's messages to the service manager, and forwards them. Its descriptor is readable for poll(2) when
/// [`forward`](Self::forward) is to be called.
#[derive(Debug)]
pub struct Notifications {
    inbox: Inbox,
    outgoing: Outgoing,
    manager: ManagerSocket,
    epoll: Epoll,
    timer: TimerFd,
    /// Whether the inbox is watched, and whether the timer is set.
    watched: bool,
    timed: bool,
    ready: bool,
    /// The end of the pause in reading.
    pause_until: Option<Instant>,
    /// When the barrier at the head of the queue was first seen.
    barrier: Option<Instant>,
    send_budget: TokenBucket,
}

/// A token bucket: how many messages may be sent now.
#[derive(Debug)]
struct TokenBucket {
    left: u32,
    since: Instant,
}

impl TokenBucket {
    fn take_token(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.since).as_nanos() / SEND_INTERVAL.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(BURST).min(BURST);
        if self.left + earned >= BURST {
            (self.left, self.since) = (BURST, now);
        } else {
            self.left += earned;
            self.since += SEND_INTERVAL * earned;
        }
        let any = self.left > 0;
        self.left -= u32::from(any);
        any
    }

    /// When the next token becomes available, if none is left.
    fn next_token_at(&self) -> Instant {
        self.since + SEND_INTERVAL
    }
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |e| Error::sys(Phase::Lifecycle, call, e).on("the notify socket")
}

impl Notifications {
    pub(in crate::container) fn new(inbox: Inbox) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create1"))?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed("timerfd_create"))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed("epoll_ctl"))?;
        epoll.add(&inbox, EpollEvent::new(EpollFlags::EPOLLIN, 1)).map_err(failed("epoll_ctl"))?;
        Ok(Self {
            inbox,
            outgoing: Outgoing::default(),
            manager: ManagerSocket::default(),
            epoll,
            timer,
            watched: true,
            timed: false,
            ready: false,
            pause_until: None,
            barrier: None,
            send_budget: TokenBucket { left: BURST, since: Instant::now() },
        })
    }

    /// Whether the program has sent `READY=1`.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Forwards received messages to the manager's socket `to` (`NOTIFY_SOCKET`: a path, or `@` and an abstract
    /// name), without blocking. With `READY=1` the manager is told that `main` is the process to watch from then on.
    ///
    /// If the manager's queue is full, messages are saved for the next call, which is due when this value is readable.
    /// Descriptors are never forwarded. A barrier of the container (sd_notify_barrier(3)) is answered once the messages
    /// before it were forwarded, or after a few seconds.
    ///
    /// # Errors
    /// If the manager's socket cannot be reached; the messages are lost.
    pub fn forward(&mut self, to: &OsStr, main: Option<i32>) -> Result<()> {
        let now = Instant::now();
        let sent = self.flush(to, now, false);
        let read = self.read(to, main, now);
        let armed = self.arm(now);
        sent.and(read).and(armed)
    }

    /// Forwards pending messages, and waits until the manager has read them: it identifies their sender by its pid, so the
    /// sender must not exit before. Waits a few seconds at most for a manager that does not read or does not support
    /// barriers.
    ///
    /// # Errors
    /// If the manager's socket cannot be reached, or is not read.
    pub fn settle(&mut self, to: &OsStr) -> Result<()> {
        let deadline = Instant::now() + BARRIER_TIMEOUT;
        loop {
            self.flush(to, Instant::now(), true)?;
            if self.outgoing.is_empty() {
                break;
            }
            self.wait_for_room(to, deadline)?;
        }
        let (ours, theirs) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed("pipe2"))?;
        while !self.manager.send(to, b"BARRIER=1", Some(theirs.as_fd()))? {
            self.wait_for_room(to, deadline)?;
        }
        drop(theirs);
        unix::wait_for(&ours, libc::POLLIN, deadline).map(drop).map_err(failed("poll"))
    }

    /// Forwards all remaining messages after the container has exited. Waits a second at most for the manager.
    ///
    /// # Errors
    /// If the manager's socket cannot be reached, or is not read.
    pub fn finish(&mut self, to: &OsStr, main: Option<i32>) -> Result<()> {
        let deadline = Instant::now() + FINAL_TIMEOUT;
        loop {
            let now = Instant::now();
            self.pause_until = None;
            let more = self.read(to, main, now)?;
            self.flush(to, now, true)?;
            if !more && self.outgoing.is_empty() {
                return Ok(());
            }
            if now >= deadline {
                return if self.outgoing.is_empty() { Ok(()) } else { Err(unread(to)) };
            }
            self.arm(now)?;
            unix::wait_for(&self.epoll.0, libc::POLLIN, deadline).map_err(failed("poll"))?;
        }
    }

    /// Reads some messages; returns whether there may be more.
    fn read(&mut self, to: &OsStr, main: Option<i32>, now: Instant) -> Result<bool> {
        if self.pause_until.is_some_and(|until| now < until) {
            return Ok(true);
        }
        self.pause_until = None;
        let (mut buffer, mut done) = ([0; LONGEST], Ok(()));
        for _ in 0..READ_BATCH {
            let peeked = match self.inbox.peek(&mut buffer).map_err(failed("recvmsg"))? {
                QueueHead::Message(peeked) => peeked,
                QueueHead::Empty => return done.map(|()| false),
                QueueHead::Removing => {
                    self.pause_until = Some(now + HELPER_CHECK);
                    return done.map(|()| true);
                }
            };
            self.pause_until = Some(now + READ_PAUSE);
            let message = &buffer[..peeked.length.min(LONGEST)];
            if peeked.descriptors && message == b"BARRIER=1" && self.must_delay_barrier(now) {
                return done.map(|()| true);
            }
            self.barrier = None;
            if let Err(e) = self.inbox.remove(peeked) {
                // A thread could not be started: try again later.
                self.pause_until = Some(now + HELPER_CHECK);
                return Err(failed("recvmsg")(e));
            }
            // The manager ignores longer messages as well.
            if peeked.length <= LONGEST && self.outgoing.add(message) {
                self.ready = true;
                if let Some(pid) = main {
                    self.outgoing.add_main(pid);
                }
            }
            done = done.and(self.flush(to, now, false));
        }
        done.map(|()| true)
    }

    /// Whether the barrier has to wait because earlier messages are still pending.
    fn must_delay_barrier(&mut self, now: Instant) -> bool {
        let since = *self.barrier.get_or_insert(now);
        !self.outgoing.is_empty() && now < since + BARRIER_TIMEOUT
    }

    /// Sends the pending message, if the rate allows it or if `free` is set.
    fn flush(&mut self, to: &OsStr, now: Instant, free: bool) -> Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        // A message that waits for room has already used its token.
        if !free && self.manager.waiting().is_none() && !self.send_budget.take_token(now) {
            return Ok(());
        }
        match self.manager.send(to, &self.outgoing.text(), None) {
            Ok(false) => Ok(()),
            other => {
                self.outgoing.clear();
                other.map(drop)
            }
        }
    }

    /// Makes this value readable when the next call is due.
    fn arm(&mut self, now: Instant) -> Result<()> {
        let barrier = self.barrier.filter(|_| !self.outgoing.is_empty()).map(|since| since + BARRIER_TIMEOUT);
        let watch = self.pause_until.is_none() && barrier.is_none();
        if watch != self.watched {
            let events = if watch { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
            self.epoll.modify(&self.inbox, &mut EpollEvent::new(events, 1)).map_err(failed("epoll_ctl"))?;
            self.watched = watch;
        }
        let waiting = self.manager.waiting();
        if let Some(manager) = waiting {
            match self.epoll.add(manager, EpollEvent::new(EpollFlags::EPOLLOUT, 2)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(failed("epoll_ctl")(e)),
            }
        }
        let send = (waiting.is_none() && !self.outgoing.is_empty()).then(|| self.send_budget.next_token_at());
        let pause = self.pause_until.filter(|_| barrier.is_none());
        match [barrier, send, pause].into_iter().flatten().min() {
            Some(due) => {
                // Zero would disarm the timer.
                let left = due.saturating_duration_since(now).max(Duration::from_nanos(1));
                let once = Expiration::OneShot(TimeSpec::from_duration(left));
                self.timer.set(once, TimerSetTimeFlags::empty()).map_err(failed("timerfd_settime"))?;
                self.timed = true;
            }
            None if self.timed => {
                self.timer.unset().map_err(failed("timerfd_settime"))?;
                self.timed = false;
            }
            None => {}
        }
        Ok(())
    }

    fn wait_for_room(&self, to: &OsStr, deadline: Instant) -> Result<()> {
        let Some(manager) = self.manager.waiting() else { return Ok(()) };
        match unix::wait_for(manager, libc::POLLOUT, deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(unread(to)),
            Err(e) => Err(failed("poll")(e)),
        }
    }
}

fn unread(to: &OsStr) -> Error {
    Error::new(ErrorKind::TimedOut, Phase::Lifecycle, "the service manager does not read its socket")
        .on(to.to_string_lossy())
}
