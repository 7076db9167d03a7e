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

fn capabilities(input: &Input<'_>, process: &Process) -> (CapabilitySets, Vec<Problem>) {
    match &process.capabilities {
        Some(spec) => capability::parse(spec, input.host.last_cap, "/process"),
        None => (CapabilitySets::default(), Vec::new()),
    }
}

/// The capabilities of the program.
pub(super) fn sets(input: &Input<'_>, process: &Process) -> CapabilitySets {
    capabilities(input, process).0
}

/// Gives the process its identity and its capabilities.
pub(super) fn privileges(input: &Input<'_>, draft: &mut Draft, process: &Process, identity: &user::Identity) {
    if process.no_new_privileges {
        draft.asked("/process/noNewPrivileges", ProcessStep::NoNewPrivileges);
    }
    let (sets, warnings) = capabilities(input, process);
    for warning in warnings {
        if !draft.plan.warnings.contains(&warning) {
            draft.plan.warnings.push(warning);
        }
    }
    let last = input.host.last_cap;
    draft.asked("/process/capabilities/bounding", ProcessStep::BoundingSet { keep: sets.bounding.0, last });
    let groups = groups(input, identity);
    draft.asked(
        "/process/user",
        ProcessStep::Identity { uid: Some(identity.uid), gid: Some(identity.gid), groups },
    );
    let extra = kept(input, process);
    draft.asked("/process/capabilities", ProcessStep::Capabilities { sets, extra, ambient: sets.ambient.0 });
}

/// The caller's groups never come in by themselves, not even where its user namespace has no names
/// for them: they would still open the files of others.
fn groups(input: &Input<'_>, identity: &user::Identity) -> Groups {
    // Podman's `--group-add keep-groups`.
    let keep = input.spec.annotations.value(&KEEP_GROUPS) == Some("1");
    match (keep, identity.groups.is_empty() && !input.host.privileged) {
        (true, _) => Groups::Keep,
        (false, true) => Groups::Drop,
        (false, false) => Groups::Set(identity.groups.clone()),
    }
}

/// Capabilities that a process keeps until it has loaded its filter, and its program has its scheduler.
fn kept(input: &Input<'_>, process: &Process) -> u64 {
    let loads = if filter::needs_privilege(input, process) { 1 << CAP_SYS_ADMIN } else { 0 };
    loads | scheduler::kept_capability(input, process)
}
