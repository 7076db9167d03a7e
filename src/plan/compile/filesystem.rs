//! The root file system: propagation, root, mounts, devices, terminal, hooks, masks, pivot.

use super::super::step::{ControlStep, HostStep, HostTurn, LineOrigin, RootfsStep, Slot, TerminalPlace};
use super::draft::Draft;
use super::input::{BundlePaths, Input};
use super::{devices, isolation, labels, mounts, terminal};
use crate::bundle::HookKind;
use crate::mount::{Propagation, PropagationKind};
use crate::namespace::NamespaceKind;
use crate::sys::mount::MountAttr;
use crate::{Error, Problem, Result};
use std::path::Path;

/// Sets up the container's mount namespace: its own, or one that it joins and whose root its own root replaces.
pub(super) fn filesystem(input: &Input<'_>, paths: BundlePaths<'_>, draft: &mut Draft) -> Result<()> {
    let pointer = input.namespaces.pointer(NamespaceKind::Mount).unwrap_or_default();
    isolation::must_be_foreign(input, draft, NamespaceKind::Mount, pointer);
    let propagation = root_propagation(input)?;
    // An unbindable mount could not be cloned, so only the container's root becomes unbindable.
    let of_host = match propagation {
        None | Some(Propagation { kind: PropagationKind::Unbindable, recursive: true }) => {
            Propagation::recursive(PropagationKind::Slave)
        }
        Some(Propagation { kind: PropagationKind::Unbindable, recursive: false }) => {
            Propagation::single(PropagationKind::Private)
        }
        Some(given) => given,
    };
    labels::open_labels(input, draft);
    draft.standard(RootfsStep::OpenUmask);
    let origin =
        propagation.map_or(LineOrigin::Standard, |_| LineOrigin::Pointer("/linux/rootfsPropagation".into()));
    draft.line(origin.clone(), RootfsStep::HostPropagation(of_host));
    root(input, paths, draft)?;
    for (i, mount) in input.spec.mounts.iter().enumerate() {
        mounts::mount(input, paths, draft, i, mount)?;
    }
    mounts::notify(input, draft)?;
    devices::devices(input, draft)?;
    terminal::terminal(input, draft, TerminalPlace::Console)?;
    hooks_before_pivot(input, draft);
    devices::readonly_dev(input, draft);
    protected_paths(input, draft);
    if input.spec.root.as_ref().is_some_and(|r| r.readonly) {
        if let Some(process) = input.spec.process.as_ref().filter(|process| process.cwd != "/") {
            draft.configured("/process/cwd", RootfsStep::CreateDirectory { path: process.cwd.clone() });
        }
        draft.configured("/root/readonly", RootfsStep::ReadonlyRoot);
    }
    if input.options.no_pivot {
        hide_kernel_mounts(input, paths, draft);
    }
    draft.standard(RootfsStep::Pivot { move_mount: input.options.no_pivot });
    if let Some(Propagation { kind, recursive }) = propagation {
        // The host's mounts are private already, and a volume keeps its own peers.
        let recursive = recursive && kind != PropagationKind::Private;
        draft.line(origin, RootfsStep::RootPropagation(Propagation { kind, recursive }));
    }
    Ok(())
}

/// Without pivot_root(2) the host's mounts stay below the container's root. If one of them were a whole procfs, the kernel would
/// let a user namespace of the container mount another one, without the container's masks.
fn hide_kernel_mounts(input: &Input<'_>, paths: BundlePaths<'_>, draft: &mut Draft) {
    // At the path of one below the root file system there may be a mount of the container.
    let mut paths_of_host = input.host.kernel_mounts.clone();
    paths_of_host.retain(|path| !Path::new(path).starts_with(paths.rootfs));
    draft.standard(RootfsStep::HideKernelMounts { paths: paths_of_host });
}

fn root_propagation(input: &Input<'_>) -> Result<Option<Propagation>> {
    let value = input.linux().and_then(|l| l.rootfs_propagation.as_deref());
    let Some(name) = value.filter(|name| !name.is_empty()) else { return Ok(None) };
    match Propagation::from_name(name) {
        Some(propagation) => Ok(Some(propagation)),
        None => Err(Error::invalid(vec![Problem {
            pointer: "/linux/rootfsPropagation".into(),
            message: format!("unknown propagation {name:?}"),
            section: "config-linux.md#rootfs-mount-propagation",
        }])),
    }
}

fn root(input: &Input<'_>, paths: BundlePaths<'_>, draft: &mut Draft) -> Result<()> {
    const POINTER: &str = "/root/path";
    let path = paths.rootfs.display().to_string();
    let slot = if input.trees_by_host() {
        Some(draft.slot(
            POINTER,
            Slot::Tree {
                path: path.clone(),
                recursive: true,
                idmap: None,
                locked: MountAttr::default(),
                read_only: false,
            },
        )?)
    } else {
        None
    };
    draft.configured(POINTER, RootfsStep::Root { path, slot });
    Ok(())
}

fn protected_paths(input: &Input<'_>, draft: &mut Draft) {
    let Some(linux) = input.linux() else { return };
    for (i, path) in linux.masked_paths.iter().enumerate() {
        let step = RootfsStep::Mask { path: path.clone(), context: labels::mount_context(input) };
        draft.configured(format!("/linux/maskedPaths/{i}"), step);
    }
    for (i, path) in linux.readonly_paths.iter().enumerate() {
        draft
            .configured(format!("/linux/readonlyPaths/{i}"), RootfsStep::ReadonlyPath { path: path.clone() });
    }
}

/// Adds the hooks that see the host's root.
pub(super) fn hooks_before_pivot(input: &Input<'_>, draft: &mut Draft) {
    let Some(hooks) = input.hooks() else { return };
    let runtime = hooks.prestart.len() + hooks.create_runtime.len();
    let container = hooks.create_container.len();
    let (prestart, create_runtime) = (hooks.prestart.len(), hooks.create_runtime.len());
    if runtime > 0 {
        draft.configured("/hooks", ControlStep::AwaitHost(HostTurn::RuntimeHooks));
    }
    if prestart > 0 {
        draft.configured("/hooks/prestart", HostStep::RunHooks { kind: HookKind::Prestart, count: prestart });
    }
    if create_runtime > 0 {
        let step = HostStep::RunHooks { kind: HookKind::CreateRuntime, count: create_runtime };
        draft.configured("/hooks/createRuntime", step);
    }
    if container > 0 {
        draft.configured("/hooks/createContainer", ControlStep::AwaitHost(HostTurn::ContainerHooks));
        let step = HostStep::RunHooks { kind: HookKind::CreateContainer, count: container };
        draft.configured("/hooks/createContainer", step);
    }
}
