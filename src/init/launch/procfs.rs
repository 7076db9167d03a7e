//! Opening the descriptors of a plan. A procfs of a pid namespace that a stub joins later is one of them: a process of
//! that namespace has to mount it, so a launch of its own does.

use super::host_side::{HostSide, Launched, serve};
use super::spawn_stub::Launch;
use super::stub_process::{LaunchFailure, Stub, lost};
use crate::init::presets::{DescriptorSources, Presets, StandardStreams};
use crate::mount::Detached;
use crate::namespace::NamespaceKind;
use crate::plan::{HostTurn, Plan, Slot, compile_proc};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::sys::statfs::PROC_SUPER_MAGIC;
use std::os::fd::{AsFd, OwnedFd};

/// Opens a descriptor for each slot that a stub of this plan starts with.
pub(crate) fn open_presets<'a>(plan: &Plan, sources: DescriptorSources<'a>) -> Result<Presets<'a>> {
    Presets::open(plan, sources, open)
}

/// Opens the procfs of a slot. The pid namespace is joined by its file, or by one of its processes.
fn open(plan: &Plan, slot: &Slot, sources: DescriptorSources<'_>) -> Result<OwnedFd> {
    let Slot::Proc { user, options, .. } = slot else { return Err(lost()) };
    let (joined, process) = (sources.joined, sources.process);
    let by_process = joined
        .into_iter()
        .flatten()
        .find(|one| one.kind == NamespaceKind::Pid && sys::userns::namespace_type(&one.fd).is_err());
    let recorder = sources.recorder;
    let (slot, sources) = match by_process {
        Some(one) => (
            &Slot::Proc { namespace: None, user: user.clone(), options: options.clone() },
            DescriptorSources { process: Some(one.fd.as_fd()), recorder, ..DescriptorSources::default() },
        ),
        None => (slot, DescriptorSources { joined, process, recorder, ..DescriptorSources::default() }),
    };
    let plan = compile_proc(slot, plan.kernel())?;
    let sent = launch(&plan, sources)?;
    let mount = if plan.sends_context() {
        Detached::of_context(sent, "proc", Some("proc"), options)?.into_fd()
    } else {
        sent
    };
    // The process that sent it may be under the control of others in its pid namespace.
    match sys::fs::file_system(&mount) {
        Ok(kind) if kind == PROC_SUPER_MAGIC => Ok(mount),
        Ok(_) => Err(lost()),
        Err(e) => Err(Error::sys(Phase::Mount, "fstatfs", e).on("a new procfs")),
    }
}

/// The host side of a launch that sends one descriptor.
struct OneDescriptor<'a> {
    stub: Stub,
    plan: &'a Plan,
    sources: DescriptorSources<'a>,
    sent: Option<OwnedFd>,
}

impl HostSide for OneDescriptor<'_> {
    fn launched(&mut self) -> Result<Launched<'_>> {
        Ok(Launched { stub: &mut self.stub, plan: self.plan, sources: self.sources })
    }

    fn take(&mut self, turn: HostTurn, descriptor: Option<OwnedFd>) -> Result<()> {
        self.sent = Some(descriptor.filter(|_| turn == HostTurn::NewMount).ok_or_else(lost)?);
        Ok(())
    }

    fn handed_over(&mut self) -> Result<()> {
        self.sources.recorder.map_or(Ok(()), |recorder| recorder.record_helper(self.stub.pid))
    }
}

/// Launches a plan that makes a mount or its context; the descriptor that the stub sends.
fn launch(plan: &Plan, sources: DescriptorSources<'_>) -> Result<OwnedFd> {
    let presets = open_presets(plan, sources)?;
    let standard = StandardStreams::null()?;
    let launch = Launch { plan, presets: &presets, join: None, standard: &standard, fault: None };
    let mut host = OneDescriptor { stub: launch.spawn()?, plan, sources, sent: None };
    let served = host.handed_over().map_err(LaunchFailure::from).and_then(|()| serve(&mut host));
    host.stub.destroy();
    served?;
    host.sent.ok_or_else(lost)
}
