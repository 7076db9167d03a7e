//! Device nodes and symbolic links in `/dev`.

use super::super::step::{Component, DeviceNode, Node, RootfsStep, Slot};
use super::draft::Draft;
use super::input::Input;
use super::mount_options::{is_dev, is_readonly_dev};
use crate::bundle::spec::{Device, IdMapping};
use crate::namespace::NamespaceKind;
use crate::{Error, Phase, Problem, Result};

/// What every container has in `/dev`.
const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Whether the runtime fills `/dev`: not if it is bound there as a whole.
fn fills_dev(input: &Input<'_>) -> bool {
    !input.spec.mounts.iter().any(|m| {
        is_dev(&input.destination(m))
            && (m.kind.as_deref() == Some("bind") || m.options.iter().any(|o| o == "bind" || o == "rbind"))
    })
}

/// Fills `/dev`, unless it is bound there as a whole.
pub(super) fn devices(input: &Input<'_>, draft: &mut Draft) -> Result<()> {
    if !fills_dev(input) {
        return Ok(());
    }
    let bind = input.in_user_namespace() || !input.host.privileged;
    let listed = input.linux().map_or(&[][..], |l| &l.devices);
    for (path, major, minor) in DEVICES {
        if !listed.iter().any(|d| d.path == path) {
            let mode = libc::S_IFCHR | 0o666;
            let Some((directory, name)) = Component::last_of(path) else { continue };
            let node = Node { directory, name, mode, major, minor, owner: None, bind, slot: None };
            draft.standard(RootfsStep::MakeNode(node));
        }
    }
    for (i, device) in listed.iter().enumerate() {
        let mut node = node(device, i, bind)?;
        if node.bind && makes_nodes(input) {
            let (uid, gid) = node.owner.unwrap_or_default();
            let linux = input.linux();
            let uid = outside(linux.map(|l| &l.uid_mappings[..]), uid, i, "uid")?;
            let gid = outside(linux.map(|l| &l.gid_mappings[..]), gid, i, "gid")?;
            let made = DeviceNode { mode: node.mode, major: node.major, minor: node.minor, uid, gid };
            node.slot = Some(draft.slot(&format!("/linux/devices/{i}"), Slot::Device(made))?);
            node.bind = false;
        }
        draft.configured(format!("/linux/devices/{i}"), RootfsStep::MakeNode(node));
    }
    draft.standard(RootfsStep::DevLinks { kcore: input.host.kcore });
    Ok(())
}

/// Makes `/dev` read-only, if it is to be, after everything that has files there: devices, the terminal, hooks.
pub(super) fn readonly_dev(input: &Input<'_>, draft: &mut Draft) {
    let index = input.spec.mounts.iter().position(|mount| is_readonly_dev(&input.destination(mount), mount));
    if let Some(index) = index.filter(|_| fills_dev(input)) {
        draft.configured(format!("/mounts/{index}"), RootfsStep::ReadonlyMount { path: "/dev".into() });
    }
}

/// The node of an entry of `/linux/devices`.
fn node(device: &Device, i: usize, bind: bool) -> Result<Node> {
    let kind = match device.kind.as_str() {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => {
            let why = format!("unknown device type {other:?}");
            return Err(Error::unsupported(Phase::Mount, format!("/linux/devices/{i}/type"), why));
        }
    };
    let owner = match (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) {
        (0, 0) => None,
        owner => Some(owner),
    };
    let Some((directory, name)) = Component::last_of(&device.path) else {
        return Err(Error::invalid(vec![Problem {
            pointer: format!("/linux/devices/{i}/path"),
            message: format!("{:?} is not the path of a file", device.path),
            section: "config-linux.md#devices",
        }]));
    };
    Ok(Node {
        directory,
        name,
        mode: kind | device.file_mode.map_or(0o666, |m| m & 0o7777),
        major: device.major.unwrap_or(0) as u32,
        minor: device.minor.unwrap_or(0) as u32,
        owner,
        bind: bind && kind != libc::S_IFIFO,
        slot: None,
    })
}

/// Whether the host side makes the nodes of a new user namespace, with the owners and the permissions that the configuration
/// gives them. Otherwise the host's nodes are bound as they are.
fn makes_nodes(input: &Input<'_>) -> bool {
    // Since Linux 6.15 a file of a detached mount can be bound.
    let binds_detached = input.host.kernel >= (6, 15);
    binds_detached && input.host.privileged && input.namespaces.is_new(NamespaceKind::User)
}

/// An id of the new user namespace, outside of it.
fn outside(maps: Option<&[IdMapping]>, id: u32, i: usize, field: &str) -> Result<u32> {
    let in_map = |map: &IdMapping| {
        let offset = id.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
        map.host_id.checked_add(offset)
    };
    maps.unwrap_or_default().iter().find_map(in_map).ok_or_else(|| {
        Error::invalid(vec![Problem {
            pointer: format!("/linux/devices/{i}/{field}"),
            message: format!("{id} is not mapped into the user namespace"),
            section: "config-linux.md#devices",
        }])
    })
}
