//! The first lines of a container: cgroup, spawn, namespaces, id maps, and what belongs to the namespaces.

use super::super::cgroup::CgroupPlan;
use super::super::step::{ControlStep, HostStep, HostTurn, LineOrigin, NamespaceStep, ProcessStep, Slot};
use super::draft::Draft;
use super::input::Input;
use super::namespaces;
use crate::cgroup::resctrl::ResctrlGroup;
use crate::namespace::{NamespaceKind, NamespaceSource};
use crate::process::sysctl::{self, SysctlNamespace};
use crate::{Error, ErrorKind, Phase, Result};

const INTEL_RDT: &str = "/linux/intelRdt";

/// Adds the first lines of a container, up to the sysctls.
pub(super) fn isolation(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    let two_stages = namespaces::needs_two_stages(&input.namespaces);
    create_cgroup(input, draft);
    let groups = create_resctrl(input, draft)?;
    let new = new_flags(input, draft)?;
    let origin = input.origin("/linux/namespaces");
    let in_scope = draft.plan.cgroup.as_ref().is_some_and(|cgroup| cgroup.unit.is_some());
    let moved = in_scope || input.cgroup.moved;
    let into_cgroup = !moved
        && !input.cgroup.joined_by_file
        && draft.plan.cgroup.as_ref().is_some_and(|cgroup| cgroup.record.unified.is_some());
    draft.spawn(origin.clone(), if two_stages { 0 } else { new }, into_cgroup);
    namespaces::hide_before_joining(draft, &input.namespaces);
    join_cgroup(draft, !moved)?;
    join_resctrl(draft, &groups)?;
    if !moved {
        reset_affinity(draft);
    }
    if two_stages {
        oom_score(input, draft);
    }
    join_namespaces(input, draft)?;
    root_is_mapped(input)?;
    namespaces::create(draft, &origin, &input.namespaces, new, true);
    user_namespace(input, draft);
    if ipc_by_root(input) {
        let pointer = input.namespaces.pointer(NamespaceKind::Ipc).unwrap_or_default().to_owned();
        let namespaces = NamespaceKind::Ipc.flag();
        draft.line(LineOrigin::Pointer(pointer), NamespaceStep::Unshare { namespaces });
    }
    if !two_stages {
        oom_score(input, draft);
    }
    if moved {
        await_move(input, draft);
        reset_affinity(draft);
    }
    if joins_cgroup_by_file(input, draft) {
        let pointer = input.namespaces.pointer(NamespaceKind::Cgroup).unwrap_or_default();
        namespaces::create_cgroup(draft, &input.namespaces, LineOrigin::Pointer(pointer.to_owned()));
    }
    time_namespace(input, draft)?;
    names(input, draft)?;
    sysctls(input, draft)
}

/// Lets the process run on every processor that its cgroup allows: the kernel removes the others from the mask.
pub(super) fn reset_affinity(draft: &mut Draft) {
    const PROCESSORS: usize = 8192;
    draft.standard(ProcessStep::CpuAffinity { mask: vec![0xff; PROCESSORS / 8], configured: false });
}

fn create_cgroup(input: &Input<'_>, draft: &mut Draft) {
    let Some(cgroup) = draft.plan.cgroup.as_ref().filter(|cgroup| cgroup.unit.is_none()) else { return };
    let Some(path) = cgroup.record.paths().next() else { return };
    let path = path.display().to_string();
    draft.line(cgroup_origin(input), HostStep::CreateCgroup { path });
}

fn cgroup_origin(input: &Input<'_>) -> LineOrigin {
    let named = input.linux().is_some_and(|linux| linux.cgroups_path.is_some());
    if named { LineOrigin::Pointer("/linux/cgroupsPath".into()) } else { LineOrigin::Standard }
}

/// Waits for systemd, which starts a scope around the final process, or for the host side, which moves it. The process
/// creates its cgroup namespace after that.
fn await_move(input: &Input<'_>, draft: &mut Draft) {
    let Some(cgroup) = &draft.plan.cgroup else { return };
    let Some(unit) = cgroup.unit.as_ref().map(|unit| unit.name.clone()) else {
        draft.line(cgroup_origin(input), ControlStep::AwaitHost(HostTurn::Cgroup));
        draft.line(cgroup_origin(input), HostStep::MoveIntoCgroup);
        return;
    };
    let path = cgroup.record.paths().next().map(|path| path.display().to_string()).unwrap_or_default();
    draft.line(cgroup_origin(input), ControlStep::AwaitHost(HostTurn::Scope));
    draft.line(cgroup_origin(input), HostStep::StartScope { unit, path });
}

/// Whether the process joins its cgroup by file, or is moved there, instead of being created in it.
fn joins_cgroup_by_file(input: &Input<'_>, draft: &Draft) -> bool {
    let by_file =
        |cgroup: &CgroupPlan| !cgroup.record.v1.is_empty() || cgroup.record.reused || cgroup.unit.is_some();
    input.cgroup.joined_by_file || input.cgroup.moved || draft.plan.cgroup.as_ref().is_some_and(by_file)
}

/// Whether the root of a new user namespace creates the IPC namespace: `/dev/mqueue` belongs to its creator.
fn ipc_by_root(input: &Input<'_>) -> bool {
    input.namespaces.is_new(NamespaceKind::User) && input.namespaces.is_new(NamespaceKind::Ipc)
}

/// `CLONE_NEW*` of clone(2).
fn new_flags(input: &Input<'_>, draft: &Draft) -> Result<u64> {
    let mut flags = namespaces::new_flags(&input.namespaces, joins_cgroup_by_file(input, draft));
    if ipc_by_root(input) {
        flags &= !NamespaceKind::Ipc.flag();
    }
    if !input.host.makes_namespaces && flags != 0 && !input.namespaces.has(NamespaceKind::User) {
        return Err(Error::unsupported(
            Phase::Namespace,
            "/linux/namespaces",
            "rootless containers need a user namespace",
        )
        .with_hint(
            "add {\"type\": \"user\"} with uidMappings and gidMappings, as `orlop spec --rootless` does",
        ));
    }
    Ok(flags)
}

/// Joins the cgroup. The slots are the same ones if the process is moved there instead.
fn join_cgroup(draft: &mut Draft, now: bool) -> Result<()> {
    let Some(cgroup) = draft.plan.cgroup.as_ref().filter(|cgroup| cgroup.unit.is_none()) else {
        return Ok(());
    };
    let files = cgroup.record.v1.len() + usize::from(cgroup.record.unified.is_some());
    if now {
        return namespaces::join_cgroup(draft, files);
    }
    namespaces::cgroup_slots(draft, files).map(|_| ())
}

/// Creates the resctrl groups; returns their `tasks` files.
fn create_resctrl(input: &Input<'_>, draft: &mut Draft) -> Result<Vec<String>> {
    let Some(config) = input.linux().and_then(|linux| linux.intel_rdt.as_ref()) else {
        return Ok(Vec::new());
    };
    let Some(root) = &input.host.resctrl else {
        return Err(Error::unsupported(Phase::Cgroup, INTEL_RDT, "no resctrl file system is mounted")
            .with_hint(
                "mount -t resctrl resctrl /sys/fs/resctrl, if the processor and the kernel support it",
            ));
    };
    let group = ResctrlGroup::plan(root, config, &input.options.id);
    let path = group.directory.display().to_string();
    draft.configured(INTEL_RDT, HostStep::CreateResctrl { path, monitor: group.monitor.is_some() });
    Ok(group.tasks().map(|path| path.display().to_string()).collect())
}

/// Joins resctrl groups by their `tasks` files.
pub(super) fn join_resctrl(draft: &mut Draft, tasks: &[String]) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let slots = tasks.iter().map(|path| draft.slot(INTEL_RDT, Slot::Resctrl(path.clone())));
    let slots = slots.collect::<Result<_>>()?;
    draft.configured(INTEL_RDT, NamespaceStep::JoinResctrl { slots });
    Ok(())
}

fn join_namespaces(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    for kind in namespaces::in_joining_order(&input.namespaces, input.host) {
        let Some(NamespaceSource::Path(path)) = input.namespaces.source(kind) else {
            let why = "a bundle joins by path";
            return Err(Error::new(ErrorKind::InvalidArgument, Phase::Plan, why));
        };
        let pointer = input.namespaces.pointer(kind).unwrap_or_default().to_owned();
        namespaces::join(draft, LineOrigin::Pointer(pointer), kind, path.display().to_string())?;
    }
    Ok(())
}

/// The process is root of a new user namespace while it sets up the container.
fn root_is_mapped(input: &Input<'_>) -> Result<()> {
    if !input.namespaces.is_new(NamespaceKind::User) {
        return Ok(());
    }
    let maps = input.namespaces.id_maps();
    for (pointer, name, list) in
        [("/linux/uidMappings", "uid", &maps.uids), ("/linux/gidMappings", "gid", &maps.gids)]
    {
        if !list.iter().any(|map| map.container == 0 && map.size > 0) {
            let why = format!("user namespaces enabled, but no mapping found for {name} 0");
            return Err(Error::unsupported(Phase::Namespace, pointer, why));
        }
    }
    Ok(())
}

fn user_namespace(input: &Input<'_>, draft: &mut Draft) {
    if input.namespaces.is_new(NamespaceKind::User) {
        namespaces::await_id_maps(draft, input.host, &LineOrigin::Pointer("/linux/uidMappings".into()));
    }
    if input.in_user_namespace() {
        draft.standard(NamespaceStep::BecomeRoot);
    }
}

fn oom_score(input: &Input<'_>, draft: &mut Draft) {
    if let Some(value) = input.spec.process.as_ref().and_then(|process| process.oom_score_adj) {
        let origin = LineOrigin::Pointer("/process/oomScoreAdj".into());
        namespaces::write_to_proc(draft, input.host, origin, ProcessStep::OomScoreAdj(value));
    }
}

fn time_namespace(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    let pointer = input.namespaces.pointer(NamespaceKind::Time).unwrap_or_default();
    if let Some(why) = namespaces::refuse_time(&input.namespaces, input.host) {
        return Err(Error::unsupported(Phase::Namespace, pointer, why));
    }
    let offsets = !input.namespaces.time_offsets_text().is_empty();
    let pointer = if offsets { "/linux/timeOffsets" } else { pointer };
    namespaces::create_time(draft, input.host, &input.namespaces, LineOrigin::Pointer(pointer.to_owned()));
    Ok(())
}

fn names(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    if input.namespaces.is_new(NamespaceKind::Network) {
        draft.standard(NamespaceStep::Loopback);
    }
    net_devices(input, draft)?;
    let names = [
        ("/hostname", input.spec.hostname.clone(), NamespaceStep::HostName as fn(String) -> NamespaceStep),
        ("/domainname", input.spec.domainname.clone(), NamespaceStep::DomainName),
    ];
    for (pointer, name, step) in names {
        let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
        if !input.namespaces.has(NamespaceKind::Uts) {
            let why = "unable to set it without a private UTS namespace";
            return Err(Error::unsupported(Phase::Namespace, pointer, why));
        }
        must_be_foreign(input, draft, NamespaceKind::Uts, pointer);
        draft.configured(pointer, step(name));
    }
    Ok(())
}

/// Records that a step changes a namespace. A joined namespace must then not be the host's own, which is checked when its
/// path is opened.
pub(super) fn must_be_foreign(input: &Input<'_>, draft: &mut Draft, kind: NamespaceKind, pointer: &str) {
    let foreign = &mut draft.plan.foreign;
    if input.joins(kind) && !foreign.iter().any(|(known, _)| *known == kind) {
        foreign.push((kind, pointer.to_owned()));
    }
}

/// Moves network devices. The host side does that, since it is in their network namespace.
fn net_devices(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    const POINTER: &str = "/linux/netDevices";
    let Some(linux) = input.linux().filter(|linux| !linux.net_devices.is_empty()) else { return Ok(()) };
    let refuse = |why: &str| Err(Error::unsupported(Phase::Namespace, POINTER, why));
    if !input.namespaces.has(NamespaceKind::Network) {
        return refuse("unable to move network devices without a private network namespace");
    }
    if !input.host.privileged {
        return refuse("moving network devices of the host requires CAP_NET_ADMIN there: not rootless");
    }
    let devices = linux.net_devices.iter().map(|(name, device)| {
        let new = device.name.as_ref().filter(|new| !new.is_empty()).unwrap_or(name);
        (name.clone(), new.clone())
    });
    let step = HostStep::MoveNetDevices { devices: devices.collect() };
    draft.configured(POINTER, ControlStep::AwaitHost(HostTurn::NetDevices));
    draft.configured(POINTER, step);
    Ok(())
}

fn sysctls(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    let Some(linux) = input.linux() else { return Ok(()) };
    let has = |namespace| input.namespaces.has(kind_of(namespace));
    let list = sysctl::parse(&linux.sysctl, has, "/linux").map_err(Error::invalid)?;
    for entry in list {
        must_be_foreign(input, draft, kind_of(entry.namespace), &entry.pointer);
        let path = format!("/proc/sys/{}", entry.path);
        draft.configured(entry.pointer, NamespaceStep::Sysctl { path, value: entry.value });
    }
    Ok(())
}

fn kind_of(namespace: SysctlNamespace) -> NamespaceKind {
    match namespace {
        SysctlNamespace::Ipc => NamespaceKind::Ipc,
        SysctlNamespace::Network => NamespaceKind::Network,
        SysctlNamespace::Uts => NamespaceKind::Uts,
        SysctlNamespace::User => NamespaceKind::User,
    }
}
