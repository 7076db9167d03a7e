//! Resource usage and events of a container.

use super::container::Container;
use super::state::Status;
use super::status::{alive_record, created_record, not_running};
use crate::cgroup::{OomWatch, Stats};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// An event of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It ran out of memory this many times since the last event. On cgroup v2 this is the number of processes that the OOM
    /// killer has killed.
    OutOfMemory(u64),
    /// Its init process has exited. No event follows.
    Ended,
}

/// The events of one container since [`Container::events`] was called.
///
/// Its descriptor (of epoll(7)) is readable as long as [`next`](Self::next) has an event, so it can be used in a poll loop
/// with those of other containers. After [`Event::Ended`] it remains readable and should be removed from the loop.
/// Dropping this value ends the subscription.
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

/// Measures what the processes of the container's cgroup use.
pub(super) fn stats(container: &Container) -> Result<Stats> {
    let (record, _) = created_record(&container.directory)?;
    record.require_cgroup("cannot be measured")?.stats()
}

/// Subscribes to the events of a container from now on.
pub(super) fn subscribe(container: &Container) -> Result<Events> {
    let (record, status) = alive_record(&container.directory)?;
    let alive = record.open_init()?.alive_pidfd().filter(|_| status != Status::Creating);
    let init = alive.ok_or_else(not_running)?;
    let oom = record.open_cgroup().map_or(Ok(None), |cgroup| cgroup.watch_oom())?;
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

impl Events {
    /// The next event, or `None` if there is none yet. Never waits.
    ///
    /// # Errors
    /// If a descriptor cannot be read.
    #[allow(clippy::should_implement_trait, reason = "None does not mean that no event follows")]
    pub fn next(&mut self) -> Result<Option<Event>> {
        if self.ended {
            return Ok(None);
        }
        // This order ensures that the exit of a process that was killed for lack of memory is reported after the reason.
        let ended = sys::process::poll_in(&self.init, 0)
            .map_err(|e| Error::sys(Phase::Lifecycle, "poll the container's init", e))?;
        let times = self.oom.as_mut().map_or(Ok(0), OomWatch::take)?;
        if times > 0 {
            return Ok(Some(Event::OutOfMemory(times)));
        }
        self.ended = ended;
        Ok(ended.then_some(Event::Ended))
    }

    /// Waits for the next event; `None` if `timeout` has passed, or no event follows any more.
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

/// Rounded up to milliseconds, so that the wait is not too short. The maximum is some days; then the caller polls again.
fn round_up(left: Duration) -> PollTimeout {
    let millis = left.as_nanos().div_ceil(1_000_000);
    i32::try_from(millis).ok().and_then(|n| PollTimeout::try_from(n).ok()).unwrap_or(PollTimeout::MAX)
}
