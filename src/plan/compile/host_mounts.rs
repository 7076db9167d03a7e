//! A container without a mount namespace: its root is a detached copy of the root file system, and the host's mounts stay as
//! they are.

use super::super::step::{RootfsStep, Slot, TerminalPlace};
use super::draft::Draft;
use super::input::{BundlePaths, Input};
use super::{filesystem, labels, terminal};
use crate::sys::mount::MountAttr;
use crate::{Error, Phase, Problem, Result};

/// Sets up the root of a container that shares the caller's mount namespace. Nothing is mounted.
pub(super) fn without_mount_namespace(
    input: &Input<'_>,
    paths: BundlePaths<'_>,
    draft: &mut Draft,
) -> Result<()> {
    refuse(input)?;
    if !input.spec.mounts.is_empty() {
        let all: Vec<&str> = input.spec.mounts.iter().map(|mount| mount.destination.as_str()).collect();
        let message = format!("not mounted, since the host's mounts would change: {}", all.join(", "));
        draft.plan.warnings.push(Problem { pointer: "/mounts".into(), message, section: "config.md#mounts" });
    }
    labels::open_labels(input, draft);
    draft.standard(RootfsStep::OpenUmask);
    terminal::terminal(input, draft, TerminalPlace::Host)?;
    let path = paths.rootfs.display().to_string();
    let tree = Slot::Tree {
        path: path.clone(),
        recursive: true,
        idmap: None,
        locked: MountAttr::default(),
        read_only: input.spec.root.as_ref().is_some_and(|root| root.readonly),
    };
    let slot = draft.slot("/root/path", tree)?;
    draft.configured("/root/path", RootfsStep::DetachedRoot { path, slot });
    filesystem::hooks_before_pivot(input, draft);
    draft.standard(RootfsStep::StayInRoot);
    Ok(())
}

/// Refuses what takes a mount and protects something, or changes a file of the image.
fn refuse(input: &Input<'_>) -> Result<()> {
    let linux = input.linux();
    let is_set = [
        ("/linux/maskedPaths", linux.is_some_and(|l| !l.masked_paths.is_empty())),
        ("/linux/readonlyPaths", linux.is_some_and(|l| !l.readonly_paths.is_empty())),
        ("/linux/rootfsPropagation", linux.is_some_and(|l| l.rootfs_propagation.is_some())),
        ("/linux/devices", linux.is_some_and(|l| !l.devices.is_empty())),
    ];
    let found = is_set.iter().find_map(|(pointer, is_set)| is_set.then_some(*pointer));
    let (pointer, why) = match found {
        Some(pointer) => {
            (pointer, "it needs a mount namespace: without one it would change the host's mounts")
        }
        None if !input.host.makes_namespaces => {
            ("/linux/namespaces", "a container without a mount namespace needs CAP_SYS_ADMIN")
        }
        None => return Ok(()),
    };
    Err(Error::unsupported(Phase::Namespace, pointer, why).with_hint("add {\"type\": \"mount\"}"))
}
