//! A running stub.

use super::control_page::{ControlPage, ControlPageId, StubState};
use crate::init::presets::{self, ProcfsOpener};
use crate::mount::Detached;
use crate::plan::{HostStep, HostTurn, Plan, RootfsStep, SCHEDULER_OR_CPUSET, Step};
use crate::sys::unix::{self, SocketEvent};
use crate::sys::{channel, process};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;

/// How often a cleanup repeats what can fail for want of memory.
const CLEANUP_ATTEMPTS: usize = 3;

/// A running stub.
#[derive(Debug)]
pub(crate) struct Stub {
    /// The pid, as the host sees it.
    pub(crate) pid: i32,
    /// The process.
    pub(crate) pidfd: OwnedFd,
    /// The host side's end of the socket.
    pub(super) socket: OwnedFd,
    pub(super) page: ControlPage,
    pub(super) stage: StubStage,
    /// How many batches of mounts were sent.
    pub(super) batches: usize,
    /// The index of the line after the last turn.
    pub(super) line: usize,
    pub(super) open_procfs: ProcfsOpener,
}

/// Which of its plan's processes a stub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StubStage {
    /// The only one.
    Only,
    /// The first of two.
    First,
    /// The second of two.
    Second,
}

/// How a stub's plan came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchOutcome {
    /// Everything is done that comes before `start`. The stub waits until the host side [resumes](Stub::resume) it.
    Created,
    /// The program was executed.
    Executed,
    /// The plan has no program, and the stub has exited.
    Done,
}

/// Why a stub did not reach the end of its plan.
#[derive(Debug)]
pub(crate) struct LaunchFailure {
    /// The line at which the stub stopped, if it is known.
    pub(crate) line: Option<u16>,
    /// The stub was killed there; no step failed.
    pub(crate) died: bool,
    /// The error, in the plan's words.
    pub(crate) error: Error,
}

impl From<Error> for LaunchFailure {
    fn from(error: Error) -> Self {
        Self { line: None, died: false, error }
    }
}

impl From<LaunchFailure> for Error {
    fn from(failure: LaunchFailure) -> Self {
        failure.error
    }
}

/// What a stub does next.
pub(super) enum StubEvent {
    /// It waits for the host side, or has sent something.
    Turn(HostTurn, Option<OwnedFd>),
    /// It is the second of two processes from now on.
    HandedOver,
    /// Its plan has ended.
    Ended(LaunchOutcome),
}

impl Stub {
    /// Switches to the second of two processes, if the first one has cloned it and that is not known yet.
    pub(crate) fn follow_hand_over(&mut self) -> Result<()> {
        if self.stage != StubStage::First {
            return Ok(());
        }
        let failed = |call: &'static str| move |e| Error::sys(Phase::Launch, call, e).on("the init process");
        match process::wait(&self.pidfd, true) {
            // ECHILD: it was reaped before.
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(e) => return Err(failed("waitid")(e)),
        }
        let pid = self.page.successor()?;
        if pid == 0 {
            // The first one failed before; `next_event` returns at which step.
            self.stage = StubStage::Only;
            return Ok(());
        }
        let pidfd = process::pidfd_open(pid).map_err(failed("pidfd_open"))?;
        // Only the first process can write the number. It must belong to an unreaped child of this process.
        process::is_child(&pidfd).map_err(failed("waitid"))?;
        (self.pid, self.pidfd, self.stage) = (pid, pidfd, StubStage::Second);
        Ok(())
    }

    /// Whether it is the second of two processes.
    pub(crate) fn is_second(&self) -> bool {
        self.stage == StubStage::Second
    }

    /// The identity of the control page's file.
    pub(crate) fn page(&self) -> Result<ControlPageId> {
        self.page.id()
    }

    /// Waits for the stub's next event. If the stub exits while another process still holds its end of the socket,
    /// that is an event too.
    pub(super) fn next_event(&mut self, plan: &Plan) -> Result<StubEvent, LaunchFailure> {
        let failed = |errno| Error::sys(Phase::Launch, "wait for the init stub", errno);
        let event = unix::wait_for_message(&self.socket, &self.pidfd, None).map_err(failed)?;
        // The second process can be stopped before it sends anything, so it must be known as soon as it exists.
        if self.stage == StubStage::First && self.page.successor()? != 0 {
            self.follow_hand_over()?;
            return Ok(StubEvent::HandedOver);
        }
        if event != SocketEvent::Readable {
            return self.outcome(plan).map(StubEvent::Ended);
        }
        let mut byte = [0; 1];
        let descriptor = match unix::receive_from(&self.socket, &mut byte) {
            Ok((0, ..)) | Err(Errno::ECONNRESET) => return self.outcome(plan).map(StubEvent::Ended),
            // A process of the container has got hold of the socket.
            Ok((_, _, Some(sender))) if sender != self.pid => return Err(lost().into()),
            Ok((_, descriptor, _)) => descriptor,
            Err(errno) => return Err(Error::sys(Phase::Launch, "read from the init stub", errno).into()),
        };
        match HostTurn::from_code(byte[0]).filter(|turn| self.is_due(plan, *turn)) {
            Some(HostTurn::Created) => Ok(StubEvent::Ended(LaunchOutcome::Created)),
            Some(turn) => Ok(StubEvent::Turn(turn, descriptor)),
            None => Err(lost().into()),
        }
    }

    /// Whether this is the plan's next turn. A process that can see the stub may make it send anything, so no turn is
    /// accepted twice or too early.
    fn is_due(&mut self, plan: &Plan, turn: HostTurn) -> bool {
        let mut rest = plan.lines().iter().enumerate().skip(self.line);
        let next = rest.find_map(|(at, line)| Some((at, line.turn()?)));
        next.filter(|(_, expected)| *expected == turn).map(|(at, _)| self.line = at + 1).is_some()
    }

    /// The step that failed, if one did. It is the reason why the host side failed after it.
    pub(crate) fn failure(&self, plan: &Plan) -> Option<Error> {
        match self.page.state() {
            Ok(StubState::Failed(f)) => Some(plan.failure(f.step, f.call, f.errno)),
            Ok(StubState::Created | StubState::Executed | StubState::Died(_)) | Err(_) => None,
        }
    }

    /// How the plan of a stub ended that has closed its end of the socket.
    fn outcome(&self, plan: &Plan) -> Result<LaunchOutcome, LaunchFailure> {
        match self.page.state()? {
            StubState::Executed if plan.kills_program => Err(plan.killed_by_filter().into()),
            StubState::Executed => Ok(LaunchOutcome::Executed),
            StubState::Created => Ok(LaunchOutcome::Done),
            StubState::Failed(f) => {
                let error = plan.failure(f.step, f.call, f.errno);
                Err(LaunchFailure { line: Some(f.step), died: false, error })
            }
            StubState::Died(step) => {
                Err(LaunchFailure { line: Some(step), died: true, error: plan.death(step) })
            }
        }
    }

    /// The line at which a stub stopped that has exited; the index after the last line if it completed the plan.
    pub(super) fn stopped_at(&self, plan: &Plan) -> Option<u16> {
        match (0..CLEANUP_ATTEMPTS).find_map(|_| self.page.state().ok())? {
            StubState::Failed(f) => Some(f.step),
            StubState::Died(step) => Some(step),
            StubState::Created | StubState::Executed => u16::try_from(plan.lines().len()).ok(),
        }
    }

    /// Sets the plan's scheduler, for which the stub has no capability. The stub is an unreaped child, so its pid
    /// cannot belong to another process.
    pub(super) fn set_scheduler(&self, plan: &Plan) -> Result<()> {
        let lines = plan.lines().iter();
        let mut attrs = lines.filter_map(|line| match &line.step {
            Step::Host(HostStep::SetScheduler { attr, cpuset }) => Some((line, attr, *cpuset)),
            _ => None,
        });
        let (line, attr, cpuset) = attrs.next().ok_or_else(lost)?;
        process::set_scheduler(self.pid, attr).map_err(|e| {
            let mut error = Error::sys(Phase::Process, "sched_setattr", e);
            if cpuset && e == Errno::EPERM {
                error = error.with_hint(SCHEDULER_OR_CPUSET);
            }
            line.pointer().into_iter().fold(error, Error::with_pointer)
        })
    }

    /// Maps the owners of a tree that the stub has copied, as the line says whose turn was accepted last.
    pub(super) fn map_owners(&self, plan: &Plan, tree: Option<OwnedFd>) -> Result<()> {
        let line = self.line.checked_sub(1).and_then(|at| plan.lines().get(at)).ok_or_else(lost)?;
        let Step::Rootfs(RootfsStep::Mount(mount)) = &line.step else { return Err(lost()) };
        let (idmap, tree) = (mount.idmap_of_copy().ok_or_else(lost)?, tree.ok_or_else(lost)?);
        presets::map_owners(&Detached::from(tree), idmap).map_err(|e| {
            let error = e.on(mount.destination.as_str());
            line.pointer().into_iter().fold(error, Error::with_pointer)
        })
    }

    /// Lets the stub continue after its turn.
    pub(crate) fn resume(&self) -> Result<()> {
        channel::send(&self.socket)
            .map_err(|errno| Error::sys(Phase::Launch, "write to the init stub", errno))
    }

    /// The process that a cleanup has to kill. The first of two processes is dead by then, and clones nothing any more.
    pub(crate) fn into_pidfd(mut self) -> OwnedFd {
        self.kill_first_stage();
        self.pidfd
    }

    fn kill_first_stage(&mut self) {
        if self.stage == StubStage::First {
            let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
            // The second process must not survive because memory or descriptors were short for a moment.
            let _ = (0..CLEANUP_ATTEMPTS).any(|_| self.follow_hand_over().is_ok());
        }
    }

    /// Kills and reaps the stub; part of a cleanup.
    pub(crate) fn destroy(&mut self) {
        self.kill_first_stage();
        let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let _ = (0..CLEANUP_ATTEMPTS)
            .any(|_| matches!(process::wait(&self.pidfd, true), Ok(_) | Err(Errno::ECHILD)));
    }
}

/// The stub has sent something that is not the next turn of its plan.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::System, Phase::Launch, "the init stub does not follow its plan")
}

#[cfg(test)]
#[path = "stub_process_tests.rs"]
mod tests;
