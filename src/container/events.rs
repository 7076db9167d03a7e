//! What a container uses, and what happens to it.

use super::{Container, Status, members};
use crate::cgroup::{OomWatch, Stats};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Something that has happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It ran out of memory, this often since the last time: on cgroup v2 the number of processes
    /// which the OOM killer has ended.
    OutOfMemory(u64),
    /// Its init process has ended. Nothing follows.
    Ended,
}

/// News of one container, from the time on at which [`Container::events`] was called.
///
/// Its descriptor (an epoll(7) descriptor) is readable as long as [`next`](Self::next) has something
/// to tell: put it into a poll loop of your own, beside those of other containers. After
/// [`Event::Ended`] it stays readable; take it out then. Dropping ends the watch.
///
/// ```no_run
/// # fn main() -> orlop::Result<()> {
/// use orlop::container::{Event, Runtime};
///
/// let container = Runtime::new("/run/orlop")?.load("box")?;
/// let mut events = container.events()?;
/// while let Some(event) = events.wait(None)? {
///     match event {
///         Event::OutOfMemory(times) => println!("out of memory, {times} times"),
///         Event::Ended => break,
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    epoll: Epoll,
    init: OwnedFd,
    oom: Option<OomWatch>,
    ended: bool,
}

impl Container {
    /// Measures the container: what the processes of its cgroup use now. Their pids are those of
    /// [`processes`](Self::processes).
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotRunning`]; [`crate::ErrorKind::Unsupported`] for a container without a cgroup.
    pub fn stats(&self) -> Result<Stats> {
        let (record, status) = self.alive_record()?;
        if status == Status::Creating {
            return Err(super::not_running());
        }
        members::require(&record, "cannot be measured")?.stats()
    }

    /// Subscribes to what happens to the container from now on.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotRunning`]; that a watch is refused.
    pub fn events(&self) -> Result<Events> {
        let (record, status) = self.alive_record()?;
        let alive = record.presence()?.alive().filter(|_| status != Status::Creating);
        let init = alive.ok_or_else(super::not_running)?;
        let oom = members::cgroup(&record).map_or(Ok(None), |cgroup| cgroup.watch_oom())?;
        let failed = |call: &'static str| move |e| Error::sys(Phase::Lifecycle, call, e);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create1"))?;
        epoll.add(&init, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(failed("epoll_ctl"))?;
        if let Some(oom) = &oom {
            let interest = match oom.interest() {
                PollFlags::POLLPRI => EpollFlags::EPOLLPRI,
                _ => EpollFlags::EPOLLIN,
            };
            epoll.add(oom, EpollEvent::new(interest, 1)).map_err(failed("epoll_ctl"))?;
        }
        Ok(Events { epoll, init, oom, ended: false })
    }
}

impl Events {
    /// What has happened, the earliest first; `None` where nothing has. Never waits.
    ///
    /// # Errors
    /// That a descriptor cannot be read.
    #[allow(clippy::should_implement_trait, reason = "what comes after None is not the end")]
    pub fn next(&mut self) -> Result<Option<Event>> {
        if self.ended {
            return Ok(None);
        }
        // Asked in this order, a death by the OOM killer is never told without its reason.
        let ended = sys::process::poll_in(&self.init, 0)
            .map_err(|e| Error::sys(Phase::Lifecycle, "poll the container's init", e))?;
        let times = self.oom.as_mut().map_or(Ok(0), OomWatch::take)?;
        if times > 0 {
            return Ok(Some(Event::OutOfMemory(times)));
        }
        self.ended = ended;
        Ok(ended.then_some(Event::Ended))
    }

    /// Waits for the next event; `None` where `timeout` has passed, or nothing follows any more.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Event>> {
        let deadline = timeout.map(|t| Instant::now() + t);
        loop {
            let event = self.next()?;
            if event.is_some() || self.ended {
                return Ok(event);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let timeout = left.map_or(PollTimeout::NONE, round_up);
            match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(Error::sys(Phase::Lifecycle, "poll", e)),
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// Whole milliseconds, so that no wait ends before its time; at most some days, which come again.
fn round_up(left: Duration) -> PollTimeout {
    let millis = left.as_nanos().div_ceil(1_000_000);
    i32::try_from(millis).ok().and_then(|n| PollTimeout::try_from(n).ok()).unwrap_or(PollTimeout::MAX)
}
