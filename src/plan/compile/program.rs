//! The process: limits, identity, capabilities, filter, program.

use super::super::step::{ControlStep, HostStep, HostTurn, ProcessStep, Slot};
use super::draft::{Draft, LateSteps};
use super::input::Input;
use super::{birth, credentials, filter, labels, scheduler};
use crate::bundle::HookKind;
use crate::bundle::spec::Process;
use crate::process::capability::CapabilitySets;
use crate::process::{env, io_priority, memory_policy, personality, rlimit, user};
use crate::{Error, Problem, Result};

/// Adds the lines that turn the process into the program.
pub(super) fn program(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    let Some(process) = &input.spec.process else {
        // Without a process object it gets no capabilities: it waits where other processes of the container may see it.
        let (sets, last) = (CapabilitySets::default(), input.host.last_cap);
        draft.standard(ProcessStep::BoundingSet { keep: 0, last });
        draft.standard(ProcessStep::Capabilities { sets, extra: 0, ambient: 0 });
        exit_on_signals(input, draft);
        birth::be_born(input, draft, None, None, LateSteps::new())?;
        created(input, draft)?;
        draft.standard(ControlStep::NoProgram);
        return Ok(());
    };
    if process.args.is_empty() {
        return Err(Error::invalid(vec![Problem {
            pointer: "/process/args".into(),
            message: "args must not be empty".into(),
            section: "config.md#process",
        }]));
    }
    let late = limits(input, draft, process)?;
    let identity = user::parse(&process.user, "/process").map_err(Error::invalid)?;
    // A process that joins a container finds the container's directories, and creates none.
    let step = ProcessStep::WorkingDirectory { path: process.cwd.clone(), create: input.joining.is_none() };
    draft.configured("/process/cwd", step);
    if identity.uid != 0 && !process.terminal {
        draft.configured("/process/user", ProcessStep::ChownStdio { uid: identity.uid });
    }
    credentials::privileges(input, draft, process, &identity);
    draft.configured("/process/user", ProcessStep::Umask(identity.umask));
    let environment = environment(input, process)?;
    find_program(input, draft, process, &environment);
    labels::write_label(draft, process);
    exit_on_signals(input, draft);
    let filter = filter::filter(input, draft)?;
    let filter = if input.is_born_late() {
        birth::be_born(input, draft, Some(process), filter, late)?
    } else {
        birth::filter_before_wait(input, draft, process, filter)?
    };
    created(input, draft)?;
    birth::close_descriptors(input, draft);
    execute(input, draft, process, environment, filter)
}

/// Adds limits and scheduling. Returns the steps that a final process which is cloned late must take itself: a process under
/// SCHED_DEADLINE, or at its user's limit of processes, could not clone it.
fn limits(input: &Input<'_>, draft: &mut Draft, process: &Process) -> Result<LateSteps> {
    let mut late = LateSteps::new();
    if !input.options.no_new_keyring {
        labels::label_keys(input, draft, process);
        draft.standard(ProcessStep::Keyring {
            name: input.options.id.clone(),
            permissions: keyring_permissions(input),
        });
    }
    if input.joining.is_some() && input.cgroup.moved {
        let pointer = "/linux/cgroupsPath";
        late.push((pointer.to_owned(), ControlStep::AwaitHost(HostTurn::Cgroup).into()));
        late.push((pointer.to_owned(), HostStep::MoveIntoCgroup.into()));
    }
    let limits = rlimit::parse(&process.rlimits, "/process").map_err(Error::invalid)?;
    for (i, limit) in limits.iter().enumerate() {
        let name = process.rlimits.get(i).map_or_else(String::new, |l| l.kind.clone());
        let (resource, hard) = (limit.resource, limit.hard);
        let pointer = format!("/process/rlimits/{i}");
        let step = ProcessStep::Rlimit { resource, name: name.clone(), soft: limit.soft, hard };
        if input.is_born_late() && resource == libc::RLIMIT_NPROC {
            draft.configured(pointer.clone(), ProcessStep::RaiseHardLimit { resource, name, hard });
            late.push((pointer, step.into()));
        } else {
            draft.configured(pointer, step);
        }
    }
    scheduler::scheduler(input, draft, process, &mut late)?;
    if let Some(spec) = &process.io_priority {
        let value = io_priority::parse(spec, "/process").map_err(|p| Error::invalid(vec![p]))?;
        draft.configured("/process/ioPriority", ProcessStep::IoPriority(value));
    }
    let Some(linux) = input.linux() else { return Ok(late) };
    if let Some(spec) = &linux.personality {
        let persona = personality::parse(spec, "/linux").map_err(|p| Error::invalid(vec![p]))?;
        draft.configured("/linux/personality", ProcessStep::Personality(persona.into()));
    }
    if let Some(spec) = &linux.memory_policy {
        let policy = memory_policy::parse(spec, "/linux").map_err(Error::invalid)?;
        let max_node = policy.max_node();
        let step = ProcessStep::MemoryPolicy { mode: policy.mode, nodes: policy.nodes, max_node };
        draft.configured("/linux/memoryPolicy", step);
    }
    Ok(late)
}

/// The permissions of the container's session keyring: those of a new one, and search for its owner, so that `exec` finds
/// it by name; in a user namespace search for everyone, because `exec` comes from outside of it. A name is found only in
/// its own user namespace.
fn keyring_permissions(input: &Input<'_>) -> Option<u32> {
    /// All but none for a possessor; view, read and link for the owner.
    const NEW: u32 = 0x3f13_0000;
    const OWNER_SEARCH: u32 = 0x0008_0000;
    const OTHER_SEARCH: u32 = 0x8;
    if input.joining.is_some() {
        return None;
    }
    Some(NEW | OWNER_SEARCH | if input.in_user_namespace() { OTHER_SEARCH } else { 0 })
}

fn environment(input: &Input<'_>, process: &Process) -> Result<Vec<String>> {
    let mut all = process.env.clone();
    all.extend(input.options.extra_env.iter().cloned());
    let mut environment = env::compose(&all, "/process").map_err(Error::invalid)?;
    if env::needs_home(&environment) {
        env::set_home(&mut environment, input.options.home.as_deref());
    }
    Ok(environment)
}

fn find_program(input: &Input<'_>, draft: &mut Draft, process: &Process, environment: &[String]) {
    let name = input.options.program.clone().unwrap_or_else(|| process.args[0].clone());
    let candidates = env::candidates(&name, environment, &process.cwd);
    draft.configured("/process/args/0", ControlStep::FindProgram { name, candidates });
}

/// A container that waits for `start` can be ended by a signal. That is done before a filter is loaded which may forbid it.
fn exit_on_signals(input: &Input<'_>, draft: &mut Draft) {
    if input.joining.is_none() && input.options.wait_for_start {
        draft.standard(ProcessStep::ExitOnSignals);
    }
}

fn created(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    if input.joining.is_some() {
        return Ok(());
    }
    if input.options.wait_for_start {
        let slot = draft.slot("/process", Slot::Start)?;
        draft.standard(ControlStep::Created);
        draft.standard(HostStep::RecordCreated);
        draft.standard(ControlStep::AwaitStart { slot });
        return Ok(());
    }
    if input.is_born_late() {
        draft.standard(ControlStep::AwaitHost(HostTurn::Born));
    }
    let hooks = input.hooks().map_or(0, |h| h.start_container.len());
    if hooks > 0 {
        draft.configured("/hooks/startContainer", ControlStep::AwaitHost(HostTurn::StartHooks));
        let step = HostStep::RunHooks { kind: HookKind::StartContainer, count: hooks };
        draft.configured("/hooks/startContainer", step);
    }
    Ok(())
}

fn execute(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    env: Vec<String>,
    mut filter: Option<ProcessStep>,
) -> Result<()> {
    let last = ControlStep::Execute { args: process.args.clone(), env };
    // An init and its program share one listener, so it is sent before they separate. If the filter is loaded already, the
    // agent may have to answer calls that are left.
    let is_first = |filter: &mut ProcessStep| match filter {
        ProcessStep::SendListener => true,
        filter => input.options.init && filter.sends_listener(),
    };
    if let Some(first) = filter.take_if(is_first) {
        draft.configured("/linux/seccomp", first);
    }
    if input.options.init {
        let (uid, sets) = (Some(process.user.uid), Some(credentials::sets(input, process)));
        let stay = ControlStep::stay_as_init(process.terminal, uid, sets, filter.as_ref());
        draft.standard(stay);
        scheduler::scheduler_below_init(input, draft, process)?;
    }
    draft.standard(ProcessStep::ResetSignals);
    if let Some(filter) = filter {
        draft.configured("/linux/seccomp", filter);
    }
    draft.configured("/process/args", last);
    Ok(())
}
