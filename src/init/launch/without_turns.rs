//! Plans that need no turn of the host side but mounts and the record of their process.

use super::host_side::{HostSide, Launched, serve};
use super::procfs::open_presets;
use super::spawn_stub::Launch;
use super::stub_process::{LaunchFailure, LaunchOutcome, Stub, lost};
use crate::Result;
use crate::init::presets::{DescriptorSources, StandardStreams};
use crate::plan::{HostTurn, Plan};
use std::os::fd::OwnedFd;

/// The host side of a plan without other turns. The caller has recorded the stub before it serves it.
pub(crate) struct WithoutTurns<'a> {
    /// The stub.
    pub(crate) stub: &'a mut Stub,
    /// Its plan.
    pub(crate) plan: &'a Plan,
    /// Where the descriptors of its slots come from. The recorder among them also records the second of two processes.
    pub(crate) sources: DescriptorSources<'a>,
}

impl HostSide for WithoutTurns<'_> {
    fn launched(&mut self) -> Result<Launched<'_>> {
        Ok(Launched { stub: self.stub, plan: self.plan, sources: self.sources })
    }

    fn take(&mut self, turn: HostTurn, _: Option<OwnedFd>) -> Result<()> {
        // The caller or `handed_over` has recorded the process by now.
        if turn == HostTurn::Born { Ok(()) } else { Err(lost()) }
    }

    fn handed_over(&mut self) -> Result<()> {
        self.sources.recorder.map_or(Ok(()), |recorder| recorder.record_helper(self.stub.pid))
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
    let presets = open_presets(plan, sources)?;
    let standard = StandardStreams::null()?;
    let mut stub = spawn(Launch { plan, presets: &presets, join: None, standard: &standard, fault })?;
    let served = serve(&mut WithoutTurns { stub: &mut stub, plan, sources });
    stub.destroy();
    // The caller undoes what was done up to this line.
    let served = served.map_err(|f| LaunchFailure { line: f.line.or_else(|| stub.stopped_at(plan)), ..f });
    match served? {
        LaunchOutcome::Done => Ok(()),
        LaunchOutcome::Created | LaunchOutcome::Executed => Err(lost().into()),
    }
}
