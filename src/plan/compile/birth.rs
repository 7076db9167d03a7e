//! A process that others can see before it executes its program, and reach into if they may: what is done before, and
//! what is left for it to do then. It is born where processes of a container are, or it waits where they may come.

use super::super::step::{ControlStep, HostStep, Line, ProcessStep, Sender, Step, Turn};
use super::program::{CAP_SYS_ADMIN, SCHEDULER, scheduling};
use super::{Compiler, Policy};
use crate::bundle::spec::Process;
use crate::process::capability;
use crate::process::scheduler::SchedAttr;
use crate::seccomp::{Call, Demand, SeccompProgram};
use crate::{Error, Phase, Result};
use libc::c_long;

/// Steps that a process cannot have from the one that makes it, each with what asks for it.
pub(super) type Late = Vec<(String, Step)>;

/// The flags of clone(2) for a process that is born where others are.
pub(super) const BIRTH: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as u64;

impl Compiler<'_> {
    /// Sets the scheduler, or leaves it for later. A child has the scheduler of the process that makes it, but for
    /// SCHED_DEADLINE, under which nothing is cloned. That takes CAP_SYS_NICE, so the host side sets it on a process that
    /// others see.
    pub(super) fn scheduler(&mut self, process: &Process, late: &mut Late) -> Result<()> {
        let Some(attr) = scheduling(process)? else { return Ok(()) };
        let step = |attr: SchedAttr| ProcessStep::Scheduler { attr: attr.to_bytes() };
        match (attr.is_deadline(), self.is_born_late(), self.options.init) {
            (true, true, true) => {
                let why = "SCHED_DEADLINE is set from outside in a pid namespace that is joined, and a program below \
                           an init is not known there";
                return Err(Error::unsupported(Phase::Process, SCHEDULER, why)
                    .with_hint("leave out --init, or give the container a pid namespace of its own"));
            }
            (true, true, false) => {
                late.push((SCHEDULER.to_owned(), ControlStep::AwaitHost(Turn::Scheduler).into()));
                late.push((SCHEDULER.to_owned(), HostStep::SetScheduler { attr: attr.to_bytes() }.into()));
            }
            (true, false, true) => {}
            (_, false, false) => self.asked(SCHEDULER, step(attr)),
            (false, is_late, init) => {
                self.asked(SCHEDULER, step(attr.inherited()));
                if is_late && !init && attr.resets_on_fork() {
                    late.push((SCHEDULER.to_owned(), step(attr).into()));
                }
            }
        }
        Ok(())
    }

    /// The scheduler of a program below an init: what it does not get from that.
    pub(super) fn scheduler_below_init(&mut self, process: &Process) -> Result<()> {
        if let Some(attr) = below_init(process)? {
            self.asked(SCHEDULER, ProcessStep::Scheduler { attr: attr.to_bytes() });
        }
        Ok(())
    }

    /// The final process, if it comes up late: into a pid namespace where others may look at it, and (if they are
    /// privileged there) into it. It has the root, the identity, the capabilities and the limits of the
    /// program already, and of the host's nothing but what tells of its end. It is born under the filter, if that
    /// lets the process do what is left; the step that remains of the filter otherwise.
    pub(super) fn be_born(
        &mut self,
        process: Option<&Process>,
        filter: Option<ProcessStep>,
        late: Late,
    ) -> Result<Option<ProcessStep>> {
        if !self.is_born_late() {
            return Ok(filter);
        }
        // The change of identity may have made it dumpable (fs.suid_dumpable).
        self.standard(ControlStep::Undumpable);
        // Not in the caller's session, whose terminal it could open as /dev/tty.
        self.standard(ProcessStep::NewSession);
        let mut rest = None;
        if let Some(process) = process {
            self.close_descriptors();
            rest = self.filter_before_birth(process, filter, &late)?;
        }
        self.standard(ControlStep::HandOver { namespaces: 0 });
        self.standard(ProcessStep::NewSession);
        for (pointer, step) in late {
            self.asked(pointer, step);
        }
        if process.is_some_and(|process| process.terminal) {
            self.asked("/process/terminal", ProcessStep::ControllingTerminal);
        }
        Ok(rest)
    }

    /// Loads the filter before the process can be seen, and gives up what that took, if what is still to be done
    /// passes it; what is left of it for later.
    ///
    /// # Errors
    /// If the process had to be seen with a capability that others would get by it.
    fn filter_before_birth(
        &mut self,
        process: &Process,
        filter: Option<ProcessStep>,
        late: &Late,
    ) -> Result<Option<ProcessStep>> {
        let Some(ProcessStep::Seccomp { filter, flags, listener }) = filter else { return Ok(filter) };
        let calls = self.calls_left(process, Some(late), listener.is_some());
        let stopped = SeccompProgram::stops(&filter, &calls);
        // Of the other containers in a pid namespace nothing is known.
        let reached = || self.joining.is_none_or(Policy::may_be_reached);
        if stopped.is_empty() {
            return Ok(self.load_early(process, filter, flags, listener));
        }
        if self.would_give_away(process) && reached() {
            return Err(stops(&stopped));
        }
        Ok(Some(ProcessStep::Seccomp { filter, flags, listener }))
    }

    /// The same for a process which waits in a pid namespace of its own: for `start`, while others may be executed, or
    /// for a hook of the image.
    ///
    /// # Errors
    /// If a hook of the image would get a capability by it.
    pub(super) fn filter_before_wait(
        &mut self,
        process: &Process,
        filter: Option<ProcessStep>,
    ) -> Result<Option<ProcessStep>> {
        let hooks = self.bundle.spec.hooks.as_ref().is_some_and(|hooks| !hooks.start_container.is_empty());
        // Under no-new-privileges there is nothing to give up.
        if !(self.options.wait_for_start || hooks) || process.no_new_privileges {
            return Ok(filter);
        }
        let Some(ProcessStep::Seccomp { filter, flags, listener }) = filter else { return Ok(filter) };
        let calls = self.calls_left(process, None, listener.is_some());
        let stopped = SeccompProgram::stops(&filter, &calls);
        if stopped.is_empty() {
            self.close_descriptors();
            return Ok(self.load_early(process, filter, flags, listener));
        }
        if hooks && self.would_give_away(process) && may_trace(process) {
            return Err(stops(&stopped));
        }
        Ok(Some(ProcessStep::Seccomp { filter, flags, listener }))
    }

    /// Only what the program keeps stays open in it. Once is enough: what is opened later says so itself.
    pub(super) fn close_descriptors(&mut self) {
        let closes = |line: &Line| matches!(line.step, Step::Control(ControlStep::CloseDescriptors { .. }));
        if !self.lines.iter().any(closes) {
            self.standard(ControlStep::CloseDescriptors { preserve: self.options.preserve_fds });
        }
    }

    fn load_early(
        &mut self,
        process: &Process,
        filter: Vec<u8>,
        flags: u64,
        listener: Option<Sender>,
    ) -> Option<ProcessStep> {
        let sender = listener.map(|_| Sender::Successor);
        self.asked("/linux/seccomp", ProcessStep::Seccomp { filter, flags, listener: sender });
        if !process.no_new_privileges {
            let (sets, extra) = (self.sets(process), self.kept_for_scheduler(process));
            self.asked("/process/capabilities", ProcessStep::GiveUp { sets, extra });
        }
        listener.map(|_| ProcessStep::SendListener)
    }

    /// Whether a process that has to load its filter where others see it has CAP_SYS_ADMIN in the host's user namespace
    /// for that, and they have not.
    fn would_give_away(&self, process: &Process) -> bool {
        let linux = self.bundle.spec.linux.as_ref();
        let owns = linux.is_some_and(|linux| linux.namespaces.iter().any(|n| n.kind == "user"));
        self.filter_needs_privilege(process) && !owns && !self.sets(process).permitted.has(CAP_SYS_ADMIN)
    }

    /// What is done under a filter that is loaded before the process can be seen, up to execve(2), which is the
    /// program's own call. `late`: what is left if it is born then.
    fn calls_left(&self, process: &Process, late: Option<&Late>, notifies: bool) -> Vec<Call> {
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
        if self.joining.is_none() {
            add(&[libc::SYS_write, libc::SYS_read]);
        }
        if self.options.wait_for_start {
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
        let mut rest = if self.options.init { Self::calls_of_init(process) } else { Vec::new() };
        rest.extend([libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask].map(Call::passes));
        calls.extend(rest.into_iter().map(|call| call.demanding(demand)));
        // The process that makes this one ends; so does this one if something fails.
        calls.push(Call::passes(libc::SYS_exit_group).demanding(Demand::Ends));
        calls
    }

    /// What an init does until it has made the program, and the program until it resets its signals. What the init does
    /// from then on it does under the filter, whenever that is loaded.
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
        let plain =
            [libc::SYS_write, libc::SYS_read, libc::SYS_close, libc::SYS_close_range, libc::SYS_setpgid];
        calls.extend(plain.map(Call::passes));
        if process.terminal {
            calls.push(Call::passes(libc::SYS_getpid));
            calls.push(Call::passes(libc::SYS_ioctl).with(1, libc::TIOCSPGRP));
        }
        if below_init(process).is_ok_and(|attr| attr.is_some()) {
            calls.push(Call::passes(libc::SYS_sched_setattr));
        }
        calls
    }

    /// Capabilities that a process keeps until it has loaded its filter, and its program has its scheduler.
    pub(super) fn kept(&self, process: &Process) -> u64 {
        let loads = if self.filter_needs_privilege(process) { 1 << CAP_SYS_ADMIN } else { 0 };
        loads | self.kept_for_scheduler(process)
    }

    /// A program below an init takes SCHED_DEADLINE itself.
    fn kept_for_scheduler(&self, process: &Process) -> u64 {
        const CAP_SYS_NICE: u32 = 23;
        let takes = scheduling(process).is_ok_and(|attr| attr.is_some_and(SchedAttr::is_deadline));
        if self.options.init && takes { 1 << CAP_SYS_NICE } else { 0 }
    }
}

/// The scheduler of a program below an init, if it does not get that from the init.
fn below_init(process: &Process) -> Result<Option<SchedAttr>> {
    Ok(scheduling(process)?.filter(|attr| attr.is_deadline() || attr.resets_on_fork()))
}

/// Whether a process, or one that it makes, can have `CAP_SYS_PTRACE`.
pub(super) fn may_trace(process: &Process) -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let bounding = process.capabilities.iter().flat_map(|capabilities| &capabilities.bounding);
    bounding.into_iter().any(|name| capability::number(name) == Some(CAP_SYS_PTRACE))
}

fn stops(stopped: &[&Call]) -> Error {
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
