//! The scheduler of the process.

use super::super::step::{ControlStep, HostStep, HostTurn, ProcessStep};
use super::draft::{Draft, LateSteps};
use super::input::Input;
use crate::bundle::spec::Process;
use crate::process::capability::CAP_SYS_NICE;
use crate::process::scheduler::{self, SchedAttr};
use crate::{Error, Phase, Result};

const SCHEDULER: &str = "/process/scheduler";

/// The scheduler of the configuration, if it names one.
fn scheduling(process: &Process) -> Result<Option<SchedAttr>> {
    process
        .scheduler
        .as_ref()
        .map(|spec| scheduler::parse(spec, "/process").map_err(Error::invalid))
        .transpose()
}

/// Sets the scheduler, or leaves it for later. A child inherits the scheduler, except SCHED_DEADLINE, under which nothing
/// can be cloned. Setting that requires CAP_SYS_NICE, so the host side does it for a process that others can see.
pub(super) fn scheduler(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    late: &mut LateSteps,
) -> Result<()> {
    let Some(attr) = scheduling(process)? else { return Ok(()) };
    let cpuset = limits_processors(input);
    let step = |attr: SchedAttr| ProcessStep::Scheduler { attr: attr.to_bytes(), cpuset };
    match (attr.is_deadline(), input.is_born_late(), input.options.init) {
        (true, true, true) => {
            let why = "SCHED_DEADLINE is set from outside in a pid namespace that is joined, and a program below \
                       an init is not known there";
            return Err(Error::unsupported(Phase::Process, SCHEDULER, why)
                .with_hint("leave out --init, or give the container a pid namespace of its own"));
        }
        (true, true, false) => {
            late.push((SCHEDULER.to_owned(), ControlStep::AwaitHost(HostTurn::Scheduler).into()));
            late.push((
                SCHEDULER.to_owned(),
                HostStep::SetScheduler { attr: attr.to_bytes(), cpuset }.into(),
            ));
        }
        (true, false, true) => {}
        (_, false, false) => draft.configured(SCHEDULER, step(attr)),
        (false, is_late, init) => {
            draft.configured(SCHEDULER, step(attr.inherited()));
            if is_late && !init && attr.resets_on_fork() {
                late.push((SCHEDULER.to_owned(), step(attr).into()));
            }
        }
    }
    Ok(())
}

/// Sets the scheduler of a program below an init, if it does not inherit it.
pub(super) fn scheduler_below_init(input: &Input<'_>, draft: &mut Draft, process: &Process) -> Result<()> {
    if let Some(attr) = below_init(process)? {
        let cpuset = limits_processors(input);
        draft.configured(SCHEDULER, ProcessStep::Scheduler { attr: attr.to_bytes(), cpuset });
    }
    Ok(())
}

/// Whether the container's cgroup limits its processors.
fn limits_processors(input: &Input<'_>) -> bool {
    let resources = input.linux().and_then(|linux| linux.resources.as_ref());
    let cpus = resources.and_then(|resources| resources.cpu.as_ref()).and_then(|cpu| cpu.cpus.as_ref());
    cpus.is_some_and(|cpus| !cpus.is_empty())
}

/// The scheduler of a program below an init, if it does not inherit it.
pub(super) fn below_init(process: &Process) -> Result<Option<SchedAttr>> {
    Ok(scheduling(process)?.filter(|attr| attr.is_deadline() || attr.resets_on_fork()))
}

/// The capability that a program below an init needs to set SCHED_DEADLINE itself.
pub(super) fn extra_capability(input: &Input<'_>, process: &Process) -> u64 {
    let takes = scheduling(process).is_ok_and(|attr| attr.is_some_and(SchedAttr::is_deadline));
    if input.options.init && takes { 1 << CAP_SYS_NICE } else { 0 }
}
