//! The seccomp filter of the process.

use super::super::step::{ProcessStep, Sender};
use super::draft::Draft;
use super::input::Input;
use super::policy::{Filter, Policy};
use crate::Result;
use crate::bundle::spec::Process;
use crate::seccomp::Profile;

/// Whether loading the filter requires `CAP_SYS_ADMIN`: without no_new_privs it does.
pub(super) fn needs_privilege(input: &Input<'_>, process: &Process) -> bool {
    let profile = input.linux().is_some_and(|l| l.seccomp.is_some());
    !process.no_new_privileges && (profile || of_container(input).is_some())
}

/// The filter of the joined container, as it was compiled for its first process.
fn of_container(input: &Input<'_>) -> Option<ProcessStep> {
    input.joining.and_then(Policy::filter).map(Filter::step)
}

/// The step that loads the filter, if there is one.
pub(super) fn filter(input: &Input<'_>, draft: &mut Draft) -> Result<Option<ProcessStep>> {
    if let Some(filter) = of_container(input) {
        return Ok(Some(filter));
    }
    let Some(spec) = input.linux().and_then(|l| l.seccomp.as_ref()) else {
        return Ok(None);
    };
    let profile = Profile::try_from(spec)?;
    let program = profile.compile()?;
    let support = input.host.seccomp()?;
    let listener = program.notifies().then(|| {
        // If the filter notifies of sendmsg(2), the agent cannot answer before it has the listener.
        let allowed = profile.always_allows(&program, "sendmsg");
        if allowed { Sender::Itself } else { Sender::Thread }
    });
    let flags = match listener {
        None => support.flag_word(&program)?,
        Some(_) => {
            support.check_actions(&program)?;
            support.flag_word_with_listener(&program)?
        }
    };
    // Below an init, it is the init that the host side sees.
    draft.plan.kills_program = !input.options.init && profile.always_kills(&program, "execve");
    Ok(Some(ProcessStep::Seccomp { filter: program.to_bytes(), flags: flags.into(), listener }))
}
