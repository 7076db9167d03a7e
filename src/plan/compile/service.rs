//! A program of the host that creates or dumps containers itself (criu), and processes that prepare or complete its work.

use super::super::compiled::Plan;
use super::super::step::{
    ControlStep, HostTurn, LineOrigin, MountSource, MountStep, NamespaceStep, ProcessStep, RootfsStep, Slot,
    Step,
};
use super::draft::Draft;
use super::namespaces;
use crate::Result;
use crate::mount::options::MountOptions;
use crate::mount::{Propagation, PropagationKind};
use crate::namespace::NamespaceKind;

/// Mounts that are created here do not propagate to the host.
const RSLAVE: Propagation = Propagation::recursive(PropagationKind::Slave);

/// A program of the host that works on a container.
#[derive(Clone, Debug)]
pub(crate) struct Service<'a> {
    /// Its path on the host.
    pub(crate) program: &'a str,
    /// Its arguments; the first one is its own name.
    pub(crate) args: &'a [String],
    /// Its environment, `NAME=VALUE`.
    pub(crate) env: &'a [String],
    /// How many files it joins the container's cgroup by.
    pub(crate) cgroup_files: usize,
    /// Where the container's root file system is attached, in a mount namespace of the program's own.
    pub(crate) root: Option<&'a str>,
    /// Whether it gets a session of its own, and so leads a process group.
    pub(crate) session: bool,
    /// How many descriptors it keeps, with the caller's numbers.
    pub(crate) keep: usize,
}

/// Compiles the program's start. The slots are the files of cgroups, the tree of the root, and the descriptors to keep.
///
/// # Errors
/// If there are too many descriptors to keep.
pub(crate) fn compile_service(service: &Service<'_>, kernel: (u32, u32)) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    draft.spawn(LineOrigin::Standard, service.root.map_or(0, |_| NamespaceKind::Mount.flag()), false);
    namespaces::join_cgroup(&mut draft, service.cgroup_files)?;
    if let Some(path) = service.root {
        draft.standard(RootfsStep::HostPropagation(RSLAVE));
        let slot = draft.standard_slot(Slot::Given)?;
        draft.standard(RootfsStep::AttachTree { slot, path: path.to_owned() });
    }
    if service.session {
        draft.standard(ProcessStep::NewSession);
    }
    let slots = (0..service.keep).map(|_| draft.standard_slot(Slot::Given)).collect::<Result<Vec<_>>>()?;
    let (name, candidates) = (service.program.to_owned(), vec![service.program.to_owned()]);
    draft.standard(ControlStep::FindProgram { name, candidates });
    // If the command is killed before it has recorded the process, nothing would find the program.
    draft.standard(ControlStep::AwaitHost(HostTurn::Born));
    draft.standard(ControlStep::CloseDescriptors { preserve: 0 });
    draft.standard(ControlStep::KeepDescriptors { slots });
    draft.standard(ProcessStep::ResetSignals);
    draft.standard(ControlStep::Execute { args: service.args.to_vec(), env: service.env.to_vec() });
    Ok(draft.finish())
}

/// Compiles a process that creates the mount points of a container in its root file system, as `create` would, and exits.
/// Mount points may lie in the trees that the container binds, so these are bound too, in a mount namespace that vanishes
/// with the process. The only slot is the tree of the root.
#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
pub(crate) fn compile_mount_points(container: &Plan, root: &str, kernel: (u32, u32)) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    let slot = draft.standard_slot(Slot::Given)?;
    draft.spawn(LineOrigin::Standard, NamespaceKind::Mount.flag(), false);
    draft.standard(RootfsStep::OpenUmask);
    draft.standard(RootfsStep::HostPropagation(RSLAVE));
    draft.standard(RootfsStep::Root { path: root.to_owned(), slot: Some(slot) });
    let mut new: Vec<&str> = Vec::new();
    for line in container.lines() {
        let Step::Rootfs(step) = &line.step else { continue };
        let Some((destination, mount)) = mounted(step) else { continue };
        // criu restores the content of a new file system, with the mount points in it.
        if new.iter().any(|above| is_below(destination, above)) {
            continue;
        }
        let tree = mount.and_then(|mount| match &mount.source {
            MountSource::HostPath(path) | MountSource::OpenedByHost { path, .. } => {
                Some((mount, MountSource::HostPath(path.clone())))
            }
            MountSource::ContainerPath { path, .. } => {
                Some((mount, MountSource::ContainerPath { path: path.clone(), idmap: None }))
            }
            MountSource::New { .. } | MountSource::CreatedByHost { .. } | MountSource::Mounted { .. } => None,
        });
        match tree {
            Some((mount, source)) => {
                let bind = mount.options.bind;
                let options = MountOptions { bind, ..MountOptions::default() };
                let mount = MountStep { source, options, ..mount.clone() };
                draft.standard(RootfsStep::Mount(Box::new(mount)));
            }
            None => {
                draft.standard(RootfsStep::MountPoint { path: destination.clone() });
                new.push(destination);
            }
        }
    }
    draft.standard(ControlStep::Finish);
    Ok(draft.finish())
}

/// The destination of a mount of the container, and its step if it has one of its own.
fn mounted(step: &RootfsStep) -> Option<(&String, Option<&MountStep>)> {
    match step {
        RootfsStep::Mount(mount) if mount.is_remount() => None,
        RootfsStep::Mount(mount) => Some((&mount.destination, Some(mount))),
        RootfsStep::CgroupMount { destination, .. } => Some((destination, None)),
        RootfsStep::OpenUmask
        | RootfsStep::HostPropagation(_)
        | RootfsStep::Root { .. }
        | RootfsStep::AttachTree { .. }
        | RootfsStep::MountPoint { .. }
        | RootfsStep::HostRoot
        | RootfsStep::ChangeRoot { .. }
        | RootfsStep::EmptyRoot
        | RootfsStep::HideKernelMounts { .. }
        | RootfsStep::DetachedRoot { .. }
        | RootfsStep::StayInRoot
        | RootfsStep::JoinRoot { .. }
        | RootfsStep::SealType { .. }
        | RootfsStep::SendContext
        | RootfsStep::SendFileSystem { .. }
        | RootfsStep::MakeNode(_)
        | RootfsStep::DevLinks { .. }
        | RootfsStep::Mask { .. }
        | RootfsStep::ReadonlyPath { .. }
        | RootfsStep::ReadonlyMount { .. }
        | RootfsStep::Pivot { .. }
        | RootfsStep::ReadonlyRoot
        | RootfsStep::CreateDirectory { .. }
        | RootfsStep::RootPropagation(_)
        | RootfsStep::Unmount { .. } => None,
    }
}

/// Compiles a process that brings up `lo` in the network namespace of the process in the only slot, and exits.
pub(crate) fn compile_loopback(kernel: (u32, u32)) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    draft.spawn(LineOrigin::Standard, 0, false);
    draft.standard(ControlStep::Undumpable);
    namespaces::join_container(&mut draft, NamespaceKind::Network.flag())?;
    draft.standard(NamespaceStep::Loopback);
    draft.standard(ControlStep::Finish);
    Ok(draft.finish())
}

/// Compiles a process that makes the root read-only in the mount namespace of the process in the only slot, and exits.
pub(crate) fn compile_readonly_root(kernel: (u32, u32)) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    draft.spawn(LineOrigin::Standard, 0, false);
    draft.standard(ControlStep::Undumpable);
    namespaces::join_container(&mut draft, NamespaceKind::Mount.flag())?;
    draft.standard(RootfsStep::HostRoot);
    draft.standard(RootfsStep::ReadonlyRoot);
    draft.standard(ControlStep::Finish);
    Ok(draft.finish())
}

/// Whether a path lies below another one, by their text.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_another_one_by_whole_components() {
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
