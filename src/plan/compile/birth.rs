//! A process that is born where processes of a container can see it, and reach into it if they may: what is done for
//! it before, by the one that makes it, and what is left for it to do itself.

use super::super::step::{ControlStep, HostStep, ProcessStep, Sender, Step, Turn};
use super::program::{CAP_SYS_ADMIN, SCHEDULER, scheduling};
use super::{Compiler, Policy};
use crate::bundle::spec::Process;
use crate::process::capability::CapSet;
use crate::seccomp::{Call, Demand, Program};
use crate::{Error, Phase, Result};
use libc::c_long;

/// Steps that a process cannot have from the one that makes it, each with what asks for it.
pub(super) type Late = Vec<(String, Step)>;

/// The flags of clone(2) for a process that is born where others are.
pub(super) const BIRTH: u64 = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as u64;

impl Compiler<'_> {
    /// Sets the scheduler, or leaves it for later. All policies are inherited but one, and that takes CAP_SYS_NICE: the
    /// host side sets it from outside, so that the process itself never has that.
    pub(super) fn scheduler(&mut self, process: &Process, late: &mut Late) -> Result<()> {
        let Some(attr) = scheduling(process)? else { return Ok(()) };
        let step = |attr| ProcessStep::Scheduler { attr };
        if !self.is_born_late() {
            // One that stays as init makes the program: it takes it there.
            if !self.options.init {
                self.asked(SCHEDULER, step(attr.to_bytes()));
            }
        } else if attr.is_deadline() {
            if self.options.init {
                let why = "SCHED_DEADLINE is set from outside in a pid namespace that is joined, and a program below \
                           an init is not known there";
                return Err(Error::unsupported(Phase::Process, SCHEDULER, why)
                    .with_hint("leave out --init, or give the container a pid namespace of its own"));
            }
            late.push((SCHEDULER.to_owned(), ControlStep::AwaitHost(Turn::Scheduler).into()));
            late.push((SCHEDULER.to_owned(), HostStep::SetScheduler { attr: attr.to_bytes() }.into()));
        } else {
            self.asked(SCHEDULER, step(attr.inherited().to_bytes()));
            if attr.resets_on_fork() && !self.options.init {
                late.push((SCHEDULER.to_owned(), step(attr.to_bytes()).into()));
            }
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
            self.standard(ControlStep::CloseDescriptors { preserve: self.options.preserve_fds });
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
        let calls = self.calls_left(process, late, listener.is_some());
        let stopped = Program::stops(&filter, &calls);
        if !stopped.is_empty() {
            if self.would_be_reached(process) {
                return Err(stops_birth(&stopped));
            }
            return Ok(Some(ProcessStep::Seccomp { filter, flags, listener }));
        }
        let sender = listener.map(|_| Sender::Successor);
        self.asked("/linux/seccomp", ProcessStep::Seccomp { filter, flags, listener: sender });
        if !process.no_new_privileges {
            self.asked("/process/capabilities", ProcessStep::GiveUp { sets: self.sets(process) });
        }
        Ok(listener.map(|_| ProcessStep::SendListener))
    }

    /// Whether others could get CAP_SYS_ADMIN in the host's user namespace from a process that has to load its filter
    /// where they see it.
    fn would_be_reached(&self, process: &Process) -> bool {
        let linux = self.bundle.spec.linux.as_ref();
        let owns = linux.is_some_and(|linux| linux.namespaces.iter().any(|n| n.kind == "user"));
        self.filter_needs_privilege(process)
            && !owns
            && !self.sets(process).permitted.has(CAP_SYS_ADMIN)
            // Of the other containers in a pid namespace nothing is known.
            && self.joining.is_none_or(Policy::may_be_reached)
    }

    /// What is done under a filter that is loaded before the process is born, up to execve(2), which is the program's
    /// own call.
    fn calls_left(&self, process: &Process, late: &Late, notifies: bool) -> Vec<Call> {
        let mut calls = vec![Call::passes(libc::SYS_clone).with(0, BIRTH)];
        let mut add = |numbers: &[c_long]| calls.extend(numbers.iter().map(|number| Call::passes(*number)));
        if !process.no_new_privileges {
            add(&[libc::SYS_capset]);
        }
        add(&[libc::SYS_setsid]);
        for (_, step) in late {
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
        if process.terminal {
            calls.push(Call::passes(libc::SYS_ioctl).with(1, libc::TIOCSCTTY));
        }
        // The agent has the listener by then.
        let demand = if notifies { Demand::PassesOrNotifies } else { Demand::Passes };
        let mut rest = if self.options.init { self.calls_of_init(process) } else { Vec::new() };
        rest.extend([libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask].map(Call::passes));
        calls.extend(rest.into_iter().map(|call| call.demanding(demand)));
        // The process that makes this one ends; so does this one if something fails.
        calls.push(Call::passes(libc::SYS_exit_group).demanding(Demand::Ends));
        calls
    }

    /// What an init does until it has made the program, and the program until it resets its signals. What the init does
    /// from then on it does under the filter, whenever that is loaded.
    fn calls_of_init(&self, process: &Process) -> Vec<Call> {
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
        if process.scheduler.is_some() {
            calls.push(Call::passes(libc::SYS_sched_setattr));
        }
        calls
    }

    /// Capabilities that a process keeps until it has loaded its filter, and set its scheduler.
    pub(super) fn kept(&self, process: &Process) -> u64 {
        const CAP_SYS_NICE: u32 = 23;
        let loads = self.filter_needs_privilege(process);
        // Its program takes the scheduler.
        let schedules = self.options.init && !self.is_born_late() && process.scheduler.is_some();
        let bit =
            |keeps: bool, capability: u32| if keeps { CapSet(1 << capability) } else { CapSet::default() };
        bit(loads, CAP_SYS_ADMIN).or(bit(schedules, CAP_SYS_NICE)).0
    }
}

fn stops_birth(stopped: &[&Call]) -> Error {
    let mut names: Vec<&str> = stopped.iter().map(|call| call.name()).collect();
    names.sort_unstable();
    names.dedup();
    let why = format!(
        "the filter has to be loaded before others in the pid namespace see the process, and does not allow what is \
         left to be done then: {}",
        names.join(", ")
    );
    Error::unsupported(Phase::Seccomp, "/linux/seccomp", why)
        .with_hint("allow these calls, or set /process/noNewPrivileges")
}
