//! The loop that takes the host's turns.

use super::stub_process::{LaunchFailure, LaunchOutcome, Stub, StubEvent};
use crate::init::presets::{self, DescriptorSources};
use crate::plan::{HostTurn, Plan};
use crate::sys::unix;
use crate::{Error, Phase, Result};
use std::os::fd::OwnedFd;

/// A running stub, with what the next turn needs.
pub(crate) struct Launched<'a> {
    /// The stub.
    pub(crate) stub: &'a mut Stub,
    /// Its plan.
    pub(crate) plan: &'a Plan,
    /// Where the descriptors of the plan's later batches come from.
    pub(crate) sources: DescriptorSources<'a>,
}

/// The host side of a plan.
pub(crate) trait HostSide {
    /// The stub that was launched.
    fn launched(&mut self) -> Result<Launched<'_>>;

    /// Does the host side's part of a turn. `descriptor` is the one that the stub has sent.
    ///
    /// # Errors
    /// Stop the stub.
    fn take(&mut self, turn: HostTurn, descriptor: Option<OwnedFd>) -> Result<()>;

    /// The stub is the second of two processes from now on. Another process that sees it may stop it, so whatever has to
    /// be able to kill it must record it now.
    ///
    /// # Errors
    /// Stop the stub.
    fn handed_over(&mut self) -> Result<()>;
}

/// Takes the host's turns until the stub's plan ends.
pub(crate) fn serve(host: &mut impl HostSide) -> Result<LaunchOutcome, LaunchFailure> {
    loop {
        let Launched { stub, plan, sources } = host.launched()?;
        match stub.next_event(plan)? {
            StubEvent::Ended(outcome) => return Ok(outcome),
            StubEvent::HandedOver => host.handed_over()?,
            // The stub does not wait after these two.
            StubEvent::Turn(turn @ (HostTurn::Listener | HostTurn::NewMount), descriptor) => {
                host.take(turn, descriptor)?;
            }
            StubEvent::Turn(HostTurn::Mounts, _) => {
                let mounts = presets::open_batch(plan, stub.batches, sources, stub.open_procfs)?;
                stub.batches += 1;
                let failed = |e| Error::sys(Phase::Launch, "send mounts to the init stub", e);
                unix::send_descriptors(&stub.socket, &mounts).map_err(failed)?;
            }
            StubEvent::Turn(HostTurn::Idmap, tree) => {
                stub.map_owners(plan, tree)?;
                stub.resume()?;
            }
            StubEvent::Turn(HostTurn::Scheduler, _) => {
                stub.set_scheduler(plan)?;
                stub.resume()?;
            }
            StubEvent::Turn(turn, descriptor) => {
                host.take(turn, descriptor)?;
                host.launched()?.stub.resume()?;
            }
        }
    }
}
