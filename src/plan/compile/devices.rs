//! Device nodes and symbolic links in `/dev`.

use super::super::step::{Component, Node, RootfsStep};
use super::draft::Draft;
use super::input::Input;
use super::mount_options::{is_dev, is_readonly_dev};
use crate::bundle::spec::Device;
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
            let node = Node { directory, name, mode, major, minor, owner: None, bind };
            draft.standard(RootfsStep::MakeNode(node));
        }
    }
    for (i, device) in listed.iter().enumerate() {
        let node = node(device, i, bind)?;
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
    })
}
