//! Creating and joining namespaces, for containers and for commands. Some plans need two processes for that: see
//! [`needs_two_stages`].

use super::super::host::Host;
use super::super::step::{
    ControlStep, HostStep, HostTurn, JoinTarget, LineOrigin, NamespaceStep, ProcessStep, Slot, SlotId, Step,
};
use super::draft::Draft;
use crate::Result;
use crate::namespace::{NamespaceKind, Namespaces};

/// The oldest kernel whose execve(2) enters a new time namespace.
const TIME_NAMESPACES: (u32, u32) = (6, 1);

pub(super) fn joins(set: &Namespaces, kind: NamespaceKind) -> bool {
    set.has(kind) && !set.is_new(kind)
}

/// Whether a first process has to clone the final one. setns(2) into a pid namespace affects only children, and into a user
/// namespace it changes what the process may create afterwards. A new user namespace has no id maps at first, so an
/// execve(2) there, such as the stub's own, drops all capabilities: the stub has to be executed before.
pub(super) fn needs_two_stages(set: &Namespaces) -> bool {
    joins(set, NamespaceKind::Pid) || set.has(NamespaceKind::User)
}

/// `CLONE_NEW*` of the new namespaces that clone(2) creates. A time namespace is entered by the next execve(2), and its
/// offsets are written before that. The root of a cgroup namespace is the cgroup of its creator, so a process that joins
/// its cgroup by file creates the namespace afterwards.
pub(super) fn new_flags(set: &Namespaces, cgroup_by_file: bool) -> u64 {
    let later = if cgroup_by_file {
        NamespaceKind::Time.flag() | NamespaceKind::Cgroup.flag()
    } else {
        NamespaceKind::Time.flag()
    };
    set.new_flags() & !later
}

/// The kinds to join, in the order of joining.
pub(super) fn in_joining_order(set: &Namespaces, host: &Host) -> Vec<NamespaceKind> {
    let mut kinds: Vec<NamespaceKind> = set.joined().map(|(kind, _)| kind).collect();
    if !host.makes_namespaces {
        // Only in the user namespace does the caller have the right to join the others.
        kinds.sort_by_key(|kind| *kind != NamespaceKind::User);
    }
    kinds
}

/// Makes the process undumpable before it joins namespaces whose processes could trace it.
pub(super) fn hide_before_joining(draft: &mut Draft, set: &Namespaces) {
    if joins(set, NamespaceKind::Pid) || joins(set, NamespaceKind::User) {
        draft.standard(ControlStep::Undumpable);
    }
}

/// Joins one namespace, whose file is in a slot of its own.
pub(super) fn join(draft: &mut Draft, origin: LineOrigin, kind: NamespaceKind, path: String) -> Result<()> {
    let slot = Slot::Namespace { kind, path };
    let slot = match &origin {
        LineOrigin::Pointer(pointer) => draft.slot(pointer, slot)?,
        LineOrigin::Standard => draft.standard_slot(slot)?,
    };
    draft.line(origin, NamespaceStep::JoinNamespace { slot, target: JoinTarget::One(kind) });
    Ok(())
}

/// Joins the namespaces (`CLONE_NEW*`) of a container's process, all at once. From here on the root and the working
/// directory are the container's. Only the next process will be in its pid namespace.
pub(super) fn join_container(draft: &mut Draft, namespaces: u64) -> Result<()> {
    if namespaces != 0 {
        let slot = draft.slot("/linux/namespaces", Slot::Process)?;
        draft.standard(NamespaceStep::JoinNamespace { slot, target: JoinTarget::Container(namespaces) });
    }
    if namespaces & NamespaceKind::User.flag() != 0 {
        draft.standard(NamespaceStep::BecomeRoot);
    }
    Ok(())
}

/// Creates the new namespaces after the others were joined. If the final process is cloned late, this one unshares them;
/// otherwise the final process is cloned here if there are two, and starts its session if it gets one.
pub(super) fn create(draft: &mut Draft, origin: &LineOrigin, set: &Namespaces, new: u64, session: bool) {
    if joins(set, NamespaceKind::Pid) {
        if new != 0 {
            draft.line(origin.clone(), NamespaceStep::Unshare { namespaces: new });
        }
        return;
    }
    if needs_two_stages(set) {
        draft.line(origin.clone(), ControlStep::HandOver { namespaces: new });
    }
    if session {
        draft.standard(ProcessStep::NewSession);
    }
}

/// Waits until the host side has written the id maps. An unprivileged host side can do that only while the process is
/// dumpable, and the stub is undumpable from its start: its file is not readable.
pub(super) fn await_id_maps(draft: &mut Draft, host: &Host, origin: &LineOrigin) {
    if !host.privileged {
        draft.standard(ControlStep::Dumpable);
    }
    draft.line(origin.clone(), ControlStep::AwaitHost(HostTurn::IdMaps));
    draft.line(origin.clone(), HostStep::WriteIdMaps);
    if !host.privileged {
        draft.standard(ControlStep::Undumpable);
    }
}

/// Adds a step that writes below `/proc/self`. The stub does not own these files while it is undumpable, and as a user
/// without privileges, or as root of a user namespace, it may not write to them then. It stays undumpable in a user
/// namespace that was joined, where other processes could trace it. A pid namespace is joined later.
pub(super) fn write_to_proc(draft: &mut Draft, host: &Host, origin: LineOrigin, step: impl Into<Step>) {
    let has = |draft: &Draft, is_it: fn(&NamespaceStep) -> bool| {
        draft.has(|step| matches!(step, Step::Namespace(step) if is_it(step)))
    };
    let joined_user = has(draft, |step| {
        matches!(step, NamespaceStep::JoinNamespace { target: JoinTarget::One(NamespaceKind::User), .. })
    });
    let root_inside = has(draft, |step| matches!(step, NamespaceStep::BecomeRoot));
    let dumpable = (!host.privileged || root_inside) && !joined_user;
    if dumpable {
        draft.standard(ControlStep::Dumpable);
    }
    draft.line(origin, step);
    if dumpable {
        draft.standard(ControlStep::Undumpable);
    }
}

/// Why this host cannot create a new time namespace, if it cannot.
pub(super) fn refuse_time(set: &Namespaces, host: &Host) -> Option<&'static str> {
    let refused = set.is_new(NamespaceKind::Time) && host.kernel < TIME_NAMESPACES;
    refused.then_some("new time namespaces need Linux 6.1, where execve enters them")
}

/// Creates the new time namespace, and sets its clocks.
pub(super) fn create_time(draft: &mut Draft, host: &Host, set: &Namespaces, origin: LineOrigin) {
    if set.is_new(NamespaceKind::Time) {
        let step = NamespaceStep::TimeNamespace { offsets: set.time_offsets_text() };
        write_to_proc(draft, host, origin, step);
    }
}

/// Creates the cgroup namespace of a process that has joined its cgroup by file.
pub(super) fn create_cgroup(draft: &mut Draft, set: &Namespaces, origin: LineOrigin) {
    if set.is_new(NamespaceKind::Cgroup) {
        draft.line(origin, NamespaceStep::Unshare { namespaces: NamespaceKind::Cgroup.flag() });
    }
}

/// Slots for the files of a cgroup by which it is joined.
pub(super) fn cgroup_slots(draft: &mut Draft, files: usize) -> Result<Vec<SlotId>> {
    (0..files).map(|i| draft.slot("/linux/cgroupsPath", Slot::Tasks(i))).collect()
}

/// Joins a cgroup by this many files.
pub(super) fn join_cgroup(draft: &mut Draft, files: usize) -> Result<()> {
    if files > 0 {
        let slots = cgroup_slots(draft, files)?;
        draft.standard(NamespaceStep::JoinCgroup { slots });
    }
    Ok(())
}

/// Prepares for cloning the final process into a joined pid namespace. The change of identity may have made the process
/// dumpable again (fs.suid_dumpable), and in the caller's session the final process could open its terminal as `/dev/tty`.
pub(super) fn hide_before_birth(draft: &mut Draft) {
    draft.standard(ControlStep::Undumpable);
    draft.standard(ProcessStep::NewSession);
}
