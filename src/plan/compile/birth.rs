//! Late birth, and waiting: what is done before other processes can see the final process, and what is left for it to do
//! afterwards.
//!
//! A process that is cloned into a pid namespace with other processes, or waits while others may be started there, can be
//! traced by those that are privileged. Until it executes its program it must not have anything that they lack.

use super::super::step::{ControlStep, ProcessStep, Sender, Step};
use super::draft::{Draft, LateSteps};
use super::input::Input;
use super::policy::{Policy, may_trace};
use super::{credentials, filter, namespaces, scheduler};
use crate::bundle::spec::Process;
use crate::process::capability::CAP_SYS_ADMIN;
use crate::seccomp::{Call, Demand, calls_stopped};
use crate::{Error, Phase, Result};
use libc::c_long;

/// The flags of clone(2) for a final process in a pid namespace that other processes are in.
pub(super) const BIRTH: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as u64;

/// Clones the final process late, into a pid namespace whose processes can see it and, if they are privileged, trace it. By
/// then it has the root, the identity, the capabilities and the limits of the program, and nothing of the host but the
/// control socket. It is cloned under the filter if the filter allows the calls that are left; otherwise the step that
/// loads the filter is returned.
pub(super) fn be_born(
    input: &Input<'_>,
    draft: &mut Draft,
    process: Option<&Process>,
    filter: Option<ProcessStep>,
    late: LateSteps,
) -> Result<Option<ProcessStep>> {
    if !input.is_born_late() {
        return Ok(filter);
    }
    namespaces::hide_before_birth(draft);
    let mut rest = None;
    if let Some(process) = process {
        close_descriptors(input, draft);
        rest = filter_before_birth(input, draft, process, filter, &late)?;
    }
    draft.standard(ControlStep::HandOver { namespaces: 0 });
    draft.standard(ProcessStep::NewSession);
    for (pointer, step) in late {
        draft.configured(pointer, step);
    }
    if process.is_some_and(|process| process.terminal) {
        draft.configured("/process/terminal", ProcessStep::ControllingTerminal);
    }
    Ok(rest)
}

/// Loads the filter before the process can be seen, and drops the capability that loading requires, if the filter allows
/// the calls that are left. Returns the step that is left for later.
///
/// # Errors
/// If the process would be visible with a capability that others could gain from it.
fn filter_before_birth(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    filter: Option<ProcessStep>,
    late: &LateSteps,
) -> Result<Option<ProcessStep>> {
    let Some(ProcessStep::Seccomp { filter, flags, listener }) = filter else { return Ok(filter) };
    let calls = calls_left(input, process, Some(late), listener.is_some());
    let stopped = calls_stopped(&filter, &calls);
    // Nothing is known about the other containers in a joined pid namespace.
    let reached = || input.joining.is_none_or(Policy::may_be_reached);
    if stopped.is_empty() {
        return Ok(load_early(input, draft, process, filter, flags, listener));
    }
    if would_expose_privilege(input, process) && reached() {
        return Err(refused(&stopped));
    }
    Ok(Some(ProcessStep::Seccomp { filter, flags, listener }))
}

/// The same for a process in a pid namespace of its own that waits: for `start`, while other programs may be executed, or
/// for a hook that is a program of the image.
///
/// # Errors
/// If a hook of the image could gain a capability from it.
pub(super) fn filter_before_wait(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    filter: Option<ProcessStep>,
) -> Result<Option<ProcessStep>> {
    let hooks = input.hooks().is_some_and(|hooks| !hooks.start_container.is_empty());
    // Under no-new-privileges, loading the filter requires no capability.
    if !(input.options.wait_for_start || hooks) || process.no_new_privileges {
        return Ok(filter);
    }
    let Some(ProcessStep::Seccomp { filter, flags, listener }) = filter else { return Ok(filter) };
    let calls = calls_left(input, process, None, listener.is_some());
    let stopped = calls_stopped(&filter, &calls);
    if stopped.is_empty() {
        close_descriptors(input, draft);
        return Ok(load_early(input, draft, process, filter, flags, listener));
    }
    if hooks && would_expose_privilege(input, process) && may_trace(process) {
        return Err(refused(&stopped));
    }
    Ok(Some(ProcessStep::Seccomp { filter, flags, listener }))
}

/// Closes all descriptors but those that the program keeps. Once is enough: what is opened later is close-on-exec.
pub(super) fn close_descriptors(input: &Input<'_>, draft: &mut Draft) {
    let closes = |step: &Step| matches!(step, Step::Control(ControlStep::CloseDescriptors { .. }));
    if !draft.has(closes) {
        draft.standard(ControlStep::CloseDescriptors { preserve: input.options.preserve_fds });
    }
}

fn load_early(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    filter: Vec<u8>,
    flags: u64,
    listener: Option<Sender>,
) -> Option<ProcessStep> {
    let sender = listener.map(|_| Sender::Successor);
    draft.configured("/linux/seccomp", ProcessStep::Seccomp { filter, flags, listener: sender });
    if !process.no_new_privileges {
        let (sets, extra) = (credentials::sets(input, process), scheduler::extra_capability(input, process));
        draft.configured("/process/capabilities", ProcessStep::GiveUp { sets, extra });
    }
    listener.map(|_| ProcessStep::SendListener)
}

/// Whether a process that loads its filter while others can see it would have `CAP_SYS_ADMIN` in the host's user namespace
/// for that, which they lack.
fn would_expose_privilege(input: &Input<'_>, process: &Process) -> bool {
    filter::needs_privilege(input, process)
        && !input.linux().is_some_and(|linux| linux.has_namespace("user"))
        && !credentials::sets(input, process).permitted.has(CAP_SYS_ADMIN)
}

/// The calls between a filter that is loaded before the process can be seen and execve(2), which belongs to the program.
/// `late` are the steps that the final process takes itself, if it is cloned after the filter was loaded.
fn calls_left(input: &Input<'_>, process: &Process, late: Option<&LateSteps>, notifies: bool) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut add = |numbers: &[c_long]| calls.extend(numbers.iter().map(|number| Call::passes(*number)));
    if !process.no_new_privileges {
        add(&[libc::SYS_capset]);
    }
    for (_, step) in late.into_iter().flatten() {
        add(match step {
            Step::Process(ProcessStep::Scheduler { .. }) => &[libc::SYS_sched_setattr],
            Step::Process(_) => &[libc::SYS_prlimit64],
            _ => &[libc::SYS_write, libc::SYS_read],
        });
    }
    if input.joining.is_none() {
        add(&[libc::SYS_write, libc::SYS_read]);
    }
    if input.options.wait_for_start {
        add(&[libc::SYS_close, libc::SYS_accept4, libc::SYS_sendmsg]);
    }
    if notifies {
        add(&[libc::SYS_sendmsg]);
    }
    if late.is_some() {
        calls.extend([Call::passes(libc::SYS_clone).with(0, BIRTH), Call::passes(libc::SYS_setsid)]);
    }
    if late.is_some() && process.terminal {
        calls.push(Call::passes(libc::SYS_ioctl).with(1, libc::TIOCSCTTY));
    }
    // The agent has the listener by then.
    let demand = if notifies { Demand::PassesOrNotifies } else { Demand::Passes };
    let mut rest = if input.options.init { calls_of_init(process) } else { Vec::new() };
    rest.extend([libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask].map(Call::passes));
    calls.extend(rest.into_iter().map(|call| call.demanding(demand)));
    // The process that has cloned this one exits, and this one exits if a step fails.
    calls.push(Call::passes(libc::SYS_exit_group).demanding(Demand::Exits));
    calls
}

/// The calls of an init until it has cloned the program, and of the program until it resets its signals. What the init
/// does afterwards is under the filter in any case.
fn calls_of_init(process: &Process) -> Vec<Call> {
    let prctl = |option: i32| Call::passes(libc::SYS_prctl).with(0, option as u64);
    let mut calls = vec![
        Call::passes(libc::SYS_pipe2),
        prctl(libc::PR_SET_DUMPABLE),
        Call::passes(libc::SYS_clone).with(0, libc::SIGCHLD as u64),
        prctl(libc::PR_SET_NO_NEW_PRIVS),
        Call::passes(libc::SYS_capset),
        prctl(libc::PR_CAP_AMBIENT),
    ];
    let plain = [libc::SYS_write, libc::SYS_read, libc::SYS_close, libc::SYS_close_range, libc::SYS_setpgid];
    calls.extend(plain.map(Call::passes));
    if process.terminal {
        calls.push(Call::passes(libc::SYS_getpid));
        calls.push(Call::passes(libc::SYS_ioctl).with(1, libc::TIOCSPGRP));
    }
    if scheduler::below_init(process).is_ok_and(|attr| attr.is_some()) {
        calls.push(Call::passes(libc::SYS_sched_setattr));
    }
    calls
}

/// The error for a filter that does not allow the calls that are left.
fn refused(stopped: &[&Call]) -> Error {
    let mut names: Vec<&str> = stopped.iter().map(|call| call.name()).collect();
    names.sort_unstable();
    names.dedup();
    let why = format!(
        "the filter has to be loaded before others see the process, and does not allow what is left to be done \
         then: {}",
        names.join(", ")
    );
    Error::unsupported(Phase::Seccomp, "/linux/seccomp", why)
        .with_hint("allow these calls, or set /process/noNewPrivileges")
}
