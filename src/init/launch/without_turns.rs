//! Plans that need no turn of the host side but mounts and the record of their process.

use super::host_side::{HostSide, serve};
use super::spawn_stub::Launch;
use super::stub_process::{LaunchFailure, LaunchOutcome, Stub, lost};
use crate::Result;
use crate::init::presets::{DescriptorSources, Presets, Recorder, StandardStreams};
use crate::plan::{HostTurn, Plan};
use std::os::fd::OwnedFd;

/// The host side of a plan without other turns. The caller has recorded the stub before it serves it.
pub(crate) struct WithoutTurns<'a> {
    /// The stub.
    pub(crate) stub: &'a mut Stub,
    /// Its plan.
    pub(crate) plan: &'a Plan,
    /// Records the second of two processes.
    pub(crate) recorder: Option<&'a Recorder<'a>>,
}

impl HostSide for WithoutTurns<'_> {
    fn launched(&mut self) -> Result<(&mut Stub, &Plan)> {
        Ok((self.stub, self.plan))
    }

    fn take(&mut self, turn: HostTurn, _: Option<OwnedFd>) -> Result<()> {
        // The caller or `handed_over` has recorded the process by now.
        if turn == HostTurn::Born { Ok(()) } else { Err(lost()) }
    }

    fn handed_over(&mut self) -> Result<()> {
        self.recorder.map_or(Ok(()), |record| record(self.stub.pid))
    }
}

/// Launches a plan that has no program, and waits until the stub has exited. `spawn` is [`Launch::spawn`], or a function
/// that calls it.
pub(crate) fn run(
    plan: &Plan,
    sources: DescriptorSources<'_>,
    fault: Option<u16>,
    spawn: impl FnOnce(Launch<'_>) -> Result<Stub>,
) -> Result<(), LaunchFailure> {
    let recorder = sources.recorder;
    let presets = Presets::open(plan, sources)?;
    let standard = StandardStreams::null()?;
    let mut stub = spawn(Launch { plan, presets: &presets, join: None, standard: &standard, fault })?;
    let served = serve(&mut WithoutTurns { stub: &mut stub, plan, recorder });
    stub.destroy();
    // The caller undoes what was done up to this line.
    let served = served.map_err(|f| LaunchFailure { line: f.line.or_else(|| stub.stopped_at(plan)), ..f });
    match served? {
        LaunchOutcome::Done => Ok(()),
        LaunchOutcome::Created | LaunchOutcome::Executed => Err(lost().into()),
    }
}
