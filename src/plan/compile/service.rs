//! A program of the host which makes containers itself (criu), and what it needs to find.

use super::super::step::{
    ControlStep, HostStep, Line, MountStep, NamespaceStep, Origin, ProcessStep, RootfsStep, Slot, Source,
    Step, Which,
};
use super::{Host, Plan};
use crate::mount::options::MountOptions;
use crate::mount::{Propagation, PropagationKind};
use crate::namespace::Kind;

/// The host hears of nothing that is mounted here.
const RSLAVE: Propagation = Propagation::recursive(PropagationKind::Slave);

/// A program that is not the container's, but works on it.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// Its path on the host.
    pub(crate) program: &'a str,
    /// Its arguments, from its own name on.
    pub(crate) args: &'a [String],
    /// Its environment, `NAME=VALUE`.
    pub(crate) env: &'a [String],
    /// Through how many files it joins the container's cgroup.
    pub(crate) cgroup_files: usize,
    /// Where it finds the root file system: attached there in a mount namespace of its own.
    pub(crate) root: Option<&'a str>,
    /// In a session of its own, as the leader of a process group.
    pub(crate) session: bool,
    /// How many descriptors it keeps, with the caller's numbers.
    pub(crate) kept: usize,
}

/// Compiles the program's start. Slots: files of cgroups, the root's tree, the descriptors kept.
pub(crate) fn compile_service(service: &Service<'_>, host: &Host) -> Plan {
    let namespaces = service.root.map_or(0, |_| Kind::Mount.flag());
    let mut slots: Vec<Slot> = (0..service.cgroup_files).map(Slot::Tasks).collect();
    let mut steps: Vec<Step> = vec![HostStep::Spawn { namespaces, into_cgroup: false }.into()];
    if !slots.is_empty() {
        steps.push(NamespaceStep::JoinCgroup { slots: (0..slots.len()).collect() }.into());
    }
    if let Some(path) = service.root {
        steps.push(RootfsStep::HostPropagation(RSLAVE).into());
        steps.push(RootfsStep::AttachTree { slot: slots.len(), path: path.to_owned() }.into());
        slots.push(Slot::Given);
    }
    if service.session {
        steps.push(ProcessStep::NewSession.into());
    }
    let kept = slots.len()..slots.len() + service.kept;
    slots.extend(kept.clone().map(|_| Slot::Given));
    let (name, candidates) = (service.program.to_owned(), vec![service.program.to_owned()]);
    steps.extend([
        ControlStep::FindProgram { name, candidates }.into(),
        ControlStep::CloseDescriptors { preserve: 0 }.into(),
        ControlStep::KeepDescriptors { slots: kept.collect() }.into(),
        ProcessStep::ResetSignals.into(),
        ControlStep::Execute { args: service.args.to_vec(), env: service.env.to_vec() }.into(),
    ]);
    plan(steps, slots, namespaces, host)
}

/// Compiles what makes the mount points of a container in its root file system, and ends: the same
/// that its creation would have left there. The binds among its mounts are made too, in a mount
/// namespace that goes with the process, as mount points may lie in them. The root's tree is in the
/// only slot.
#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
pub(crate) fn compile_mount_points(container: &Plan, root: &str, host: &Host) -> Plan {
    let namespaces = Kind::Mount.flag();
    let mut steps: Vec<Step> = vec![
        HostStep::Spawn { namespaces, into_cgroup: false }.into(),
        RootfsStep::OpenUmask.into(),
        RootfsStep::HostPropagation(RSLAVE).into(),
        RootfsStep::Root { path: root.to_owned(), slot: Some(0) }.into(),
    ];
    let mut made: Vec<&str> = Vec::new();
    for line in container.lines() {
        let Step::Rootfs(step) = &line.step else { continue };
        let (destination, mount) = match step {
            RootfsStep::Mount(mount) if mount.is_remount() => continue,
            RootfsStep::Mount(mount) => (&mount.destination, Some(mount)),
            RootfsStep::CgroupMount { destination, .. } => (destination, None),
            RootfsStep::OpenUmask
            | RootfsStep::HostPropagation(_)
            | RootfsStep::Root { .. }
            | RootfsStep::AttachTree { .. }
            | RootfsStep::MountPoint { .. }
            | RootfsStep::HostRoot
            | RootfsStep::MakeNode(_)
            | RootfsStep::DevLinks { .. }
            | RootfsStep::Mask { .. }
            | RootfsStep::ReadonlyPath { .. }
            | RootfsStep::ReadonlyMount { .. }
            | RootfsStep::Pivot { .. }
            | RootfsStep::ReadonlyRoot
            | RootfsStep::RootPropagation(_)
            | RootfsStep::Unmount { .. } => continue,
        };
        // What lies in a new file system comes back with it.
        if made.iter().any(|above| is_below(destination, above)) {
            continue;
        }
        match mount.and_then(|mount| Some((mount, mount.source_outside()?))) {
            Some((mount, source)) => {
                let bind = mount.options.bind;
                let options = MountOptions { bind, ..MountOptions::default() };
                let from = Source::Path(source.to_owned());
                let mount = MountStep { from, options, ..(**mount).clone() };
                steps.push(RootfsStep::Mount(Box::new(mount)).into());
            }
            None => {
                steps.push(RootfsStep::MountPoint { path: destination.clone() }.into());
                made.push(destination);
            }
        }
    }
    steps.push(ControlStep::Finish.into());
    plan(steps, vec![Slot::Given], namespaces, host)
}

/// Compiles what brings `lo` up in the network namespace of the process in the only slot, and ends.
pub(crate) fn compile_loopback(host: &Host) -> Plan {
    let steps = vec![
        HostStep::Spawn { namespaces: 0, into_cgroup: false }.into(),
        ControlStep::Undumpable.into(),
        NamespaceStep::JoinNamespace { slot: 0, which: Which::One(Kind::Network) }.into(),
        NamespaceStep::Loopback.into(),
        ControlStep::Finish.into(),
    ];
    plan(steps, vec![Slot::Process], 0, host)
}

/// Compiles what makes the root read-only in the mount namespace of the process in the only slot, and
/// ends.
pub(crate) fn compile_readonly_root(host: &Host) -> Plan {
    let steps = vec![
        HostStep::Spawn { namespaces: 0, into_cgroup: false }.into(),
        ControlStep::Undumpable.into(),
        NamespaceStep::JoinNamespace { slot: 0, which: Which::One(Kind::Mount) }.into(),
        RootfsStep::HostRoot.into(),
        RootfsStep::ReadonlyRoot.into(),
        ControlStep::Finish.into(),
    ];
    plan(steps, vec![Slot::Process], 0, host)
}

/// Whether a path lies below another one, by their text.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

fn plan(steps: Vec<Step>, slots: Vec<Slot>, spawn_flags: u64, host: &Host) -> Plan {
    let lines = steps.into_iter().map(|step| Line { origin: Origin::Standard, step }).collect();
    Plan { kernel: host.lowering(), ..Plan::assembled(lines, slots, (spawn_flags, false), 0, host.kernel) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_by_whole_names() {
        for (path, above, below) in [
            ("/dev/pts", "/dev", true),
            ("/dev/pts", "/dev/", true),
            ("/dev", "/dev", false),
            ("/dev/", "/dev", false),
            ("/device", "/dev", false),
        ] {
            assert_eq!(is_below(path, above), below, "{path} {above}");
        }
    }
}
