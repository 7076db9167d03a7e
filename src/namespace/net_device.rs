//! Moving network devices into another network namespace; `config-linux.md#network-devices`, rtnetlink(7).

use crate::sys::netlink::{Netlink, NetlinkMessage, NetlinkRequest, flag};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Length of `struct ifinfomsg`.
const LINK: usize = 16;
/// Length of `struct ifaddrmsg`.
const ADDRESS: usize = 8;
const UP: u32 = libc::IFF_UP as u32;
/// Flags of an address which are the user's: the others say what became of it.
const KEPT: u32 = libc::IFA_F_NODAD
    | libc::IFA_F_HOMEADDRESS
    | libc::IFA_F_MANAGETEMPADDR
    | libc::IFA_F_NOPREFIXROUTE
    | libc::IFA_F_MCAUTOJOIN;

/// Moves devices of the calling thread's network namespace, by name, into the one behind `namespace`, where
/// each has the second name (with `%d`, the first free number), its permanent addresses of global scope, and
/// is up.
///
/// Needs CAP_NET_ADMIN over both namespaces, and CAP_SYS_ADMIN over the other one.
///
/// # Errors
/// At the first device that cannot be moved, with its name. Those before it stay where they are: the kernel
/// gives them back, or removes what is not hardware, with the namespace.
pub fn move_devices<'a>(
    devices: impl IntoIterator<Item = (&'a str, &'a str)>,
    namespace: impl AsFd,
) -> Result<()> {
    let here = Netlink::open().map_err(|e| failed("open a netlink socket", e, ""))?;
    let there = Netlink::open_in(&namespace)
        .map_err(|e| failed("open a netlink socket in the container's network namespace", e, ""))?;
    for (name, new) in devices {
        move_device(&here, &there, &namespace, name, new)?;
    }
    Ok(())
}

fn failed(operation: &'static str, errno: Errno, name: &str) -> Error {
    let error = Error::sys(Phase::Namespace, operation, errno);
    if name.is_empty() { error } else { error.on(name) }
}

fn move_device(here: &Netlink, there: &Netlink, namespace: impl AsFd, name: &str, new: &str) -> Result<()> {
    let at = |operation: &'static str| move |e: Errno| failed(operation, e, name);
    let ask = NetlinkRequest::new(libc::RTM_GETLINK, 0, &[0; LINK]).attribute(libc::IFLA_IFNAME, &text(name));
    let found = here.request(&ask).map_err(at("link not found for network device"))?;
    let index = found.first().map_or(0, link_index);
    let was_up = found.first().is_some_and(|link| u32::from_ne_bytes(link.fixed(8)) & UP != 0);
    let before = links(there).map_err(at("list network devices beside"))?;
    // The kernel would move it first, and refuse the name after.
    if before.iter().any(|(_, name)| *name == text(new)) {
        return Err(at("move network device")(Errno::EEXIST)
            .with_detail(format!("as {new}"))
            .with_hint("the container's network namespace has a device of that name"));
    }
    // While it is up: the kernel takes IPv6 addresses from a device that goes down.
    let addresses = addresses(here, index).map_err(at("get the addresses of network device"))?;
    // What its users on the host do next, they do to a device that is down.
    set_up(here, index, false).map_err(at("set down network device"))?;
    // Move and new name in one request.
    let number = namespace.as_fd().as_raw_fd().to_ne_bytes();
    let change = NetlinkRequest::new(libc::RTM_NEWLINK, 0, &link(index, 0, 0))
        .attribute(libc::IFLA_IFNAME, &text(new))
        .attribute(libc::IFLA_NET_NS_FD, &number);
    here.request(&change).map_err(|e| {
        if was_up {
            // It may be there still.
            let _ = set_up(here, index, true);
        }
        let error = at("move network device")(e).with_detail(format!("as {new}"));
        match e {
            Errno::EINVAL => error.with_hint("a device of this kind cannot leave its network namespace"),
            _ => error,
        }
    })?;
    // The kernel may have had to give it another index.
    let after = links(there).map_err(at("list network devices beside"))?;
    let new_one = after.into_iter().find(|(index, _)| before.iter().all(|(there, _)| there != index));
    let Some((index, _)) = new_one else {
        return Err(at("find moved network device")(Errno::ENODEV));
    };
    for address in &addresses {
        add(there, index, address).map_err(at("give its address back to network device"))?;
    }
    set_up(there, index, true).map_err(at("set up network device"))
}

fn text(name: &str) -> Vec<u8> {
    name.bytes().chain([0]).collect()
}

/// `struct ifinfomsg`.
fn link(index: i32, flags: u32, change: u32) -> [u8; LINK] {
    let mut bytes = [0; LINK];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

fn link_index(answer: &NetlinkMessage) -> i32 {
    i32::from_ne_bytes(answer.fixed(4))
}

/// Indices and names (with their zero byte) of all devices.
fn links(netlink: &Netlink) -> std::result::Result<Vec<(i32, Vec<u8>)>, Errno> {
    let all = netlink.request(&NetlinkRequest::new(libc::RTM_GETLINK, flag::DUMP, &[0; LINK]))?;
    let name = |one: &NetlinkMessage| one.attribute(LINK, libc::IFLA_IFNAME).unwrap_or_default().to_vec();
    Ok(all.iter().map(|one| (link_index(one), name(one))).collect())
}

fn set_up(netlink: &Netlink, index: i32, up: bool) -> std::result::Result<(), Errno> {
    let flags = if up { UP } else { 0 };
    netlink.request(&NetlinkRequest::new(libc::RTM_NEWLINK, 0, &link(index, flags, UP))).map(drop)
}

/// An address worth keeping.
struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    local: Vec<u8>,
    peer: Option<Vec<u8>>,
    broadcast: Option<Vec<u8>>,
}

/// The permanent addresses of global scope. Others come from the host's network (leases, router
/// advertisements) or are made anew.
fn addresses(netlink: &Netlink, index: i32) -> std::result::Result<Vec<Address>, Errno> {
    let all = netlink.request(&NetlinkRequest::new(libc::RTM_GETADDR, flag::DUMP, &[0; ADDRESS]))?;
    let mut kept = Vec::new();
    for answer in all.iter().filter(|one| i32::from_ne_bytes(one.fixed(4)) == index) {
        let [family, prefix, short, scope] = answer.fixed(0);
        let value = |kind: u16| answer.attribute(ADDRESS, kind).map(<[u8]>::to_vec);
        let flags = value(libc::IFA_FLAGS)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(u32::from(short), u32::from_ne_bytes);
        if flags & libc::IFA_F_PERMANENT == 0 || scope != libc::RT_SCOPE_UNIVERSE {
            continue;
        }
        let address = value(libc::IFA_ADDRESS);
        // IPv6 has only the one unless there is a peer.
        let local = value(libc::IFA_LOCAL);
        let (local, peer) = match (local, address) {
            (Some(local), Some(peer)) if local != peer => (local, Some(peer)),
            (Some(local), _) | (None, Some(local)) => (local, None),
            (None, None) => continue,
        };
        kept.push(Address {
            family,
            prefix,
            flags: flags & KEPT,
            local,
            peer,
            broadcast: value(libc::IFA_BROADCAST),
        });
    }
    Ok(kept)
}

fn add(netlink: &Netlink, index: i32, address: &Address) -> std::result::Result<(), Errno> {
    let mut fixed = [0; ADDRESS];
    fixed[0] = address.family;
    fixed[1] = address.prefix;
    fixed[3] = libc::RT_SCOPE_UNIVERSE;
    fixed[4..].copy_from_slice(&index.to_ne_bytes());
    let mut message = NetlinkRequest::new(libc::RTM_NEWADDR, flag::CREATE_NEW, &fixed)
        .attribute(libc::IFA_LOCAL, &address.local)
        .attribute(libc::IFA_ADDRESS, address.peer.as_ref().unwrap_or(&address.local))
        .attribute(libc::IFA_FLAGS, &address.flags.to_ne_bytes());
    if let Some(broadcast) = &address.broadcast {
        message = message.attribute(libc::IFA_BROADCAST, broadcast);
    }
    netlink.request(&message).map(drop)
}
