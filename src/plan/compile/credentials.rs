//! The identity and the capabilities of the process.

use super::super::step::{Groups, ProcessStep};
use super::draft::Draft;
use super::input::Input;
use super::{filter, scheduler};
use crate::Problem;
use crate::bundle::annotations::KEEP_GROUPS;
use crate::bundle::spec::Process;
use crate::process::capability::{self, CAP_SYS_ADMIN, CapabilitySets};
use crate::process::user;

/// The pointer of the five sets, and of the warning about those that the program does not get.
pub(crate) const CAPABILITIES: &str = "/process/capabilities";

/// The capabilities of the program, and a warning for each that it cannot get: the specification has a warning there, and
/// forbids an error.
fn capabilities(input: &Input<'_>, process: &Process) -> (CapabilitySets, Vec<Problem>) {
    let Some(spec) = &process.capabilities else { return (CapabilitySets::default(), Vec::new()) };
    let (sets, mut warnings) = capability::parse(spec, input.host.last_cap, "/process");
    // A new user namespace has all capabilities.
    if input.linux().is_some_and(|linux| linux.has_namespace("user")) {
        return (sets, warnings);
    }
    let denied: Vec<_> = sets.all().without(input.host.bounding).names().collect();
    if !denied.is_empty() {
        let message = format!("can't grant {}, which the caller does not have", denied.join(", "));
        warnings.push(Problem::new(CAPABILITIES.into(), message, "config.md#linux-process"));
    }
    (sets.and(input.host.bounding), warnings)
}

/// The capabilities of the program.
pub(super) fn sets(input: &Input<'_>, process: &Process) -> CapabilitySets {
    capabilities(input, process).0
}

/// Gives the process its identity and its capabilities.
pub(super) fn privileges(
    input: &Input<'_>,
    draft: &mut Draft,
    process: &Process,
    identity: &user::UserIdentity,
) {
    if process.no_new_privileges {
        draft.configured("/process/noNewPrivileges", ProcessStep::NoNewPrivileges);
    }
    let (sets, warnings) = capabilities(input, process);
    for warning in warnings {
        if !draft.plan.warnings.contains(&warning) {
            draft.plan.warnings.push(warning);
        }
    }
    let last = input.host.last_cap;
    draft.configured(
        "/process/capabilities/bounding",
        ProcessStep::BoundingSet { keep: sets.bounding.0, last },
    );
    let groups = groups(input, identity);
    draft.configured(
        "/process/user",
        ProcessStep::Identity { uid: Some(identity.uid), gid: Some(identity.gid), groups },
    );
    let extra = extra_capabilities(input, process);
    draft.configured(CAPABILITIES, ProcessStep::Capabilities { sets, extra, ambient: sets.ambient.0 });
}

/// Unless the configuration asks to keep them, no group of the caller stays, not even one without an ID in the user
/// namespace: it would still grant access to files.
fn groups(input: &Input<'_>, identity: &user::UserIdentity) -> Groups {
    // Podman's `--group-add keep-groups`.
    let keep = input.spec.annotations.value(&KEEP_GROUPS) == Some("1");
    match (keep, identity.groups.is_empty() && !input.host.privileged) {
        (true, _) => Groups::Keep,
        (false, true) => Groups::Drop,
        (false, false) => Groups::Set(identity.groups.clone()),
    }
}

/// The capabilities that a process needs besides the program's, to load its filter and to set its scheduler.
fn extra_capabilities(input: &Input<'_>, process: &Process) -> u64 {
    let for_filter = if filter::needs_privilege(input, process) { 1 << CAP_SYS_ADMIN } else { 0 };
    for_filter | scheduler::extra_capability(input, process)
}
