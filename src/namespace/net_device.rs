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
/// The flags that describe how an address was configured. The other flags are its state.
const CONFIGURED: u32 = libc::IFA_F_NODAD
    | libc::IFA_F_HOMEADDRESS
    | libc::IFA_F_MANAGETEMPADDR
    | libc::IFA_F_NOPREFIXROUTE
    | libc::IFA_F_MCAUTOJOIN;

/// Moves devices from the calling thread's network namespace into `namespace`. Each pair is a device and its new name,
/// in which `%d` is replaced by the first free number. A moved device keeps its permanent addresses of global
/// scope, and is set up.
///
/// Requires CAP_NET_ADMIN over both namespaces, and CAP_SYS_ADMIN over the target.
///
/// # Errors
/// Stops at the first device that cannot be moved, and names it. Devices that were moved before stay in the target.
/// When the target ceases to exist, the kernel moves physical devices back, and removes virtual ones.
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
    let request =
        NetlinkRequest::new(libc::RTM_GETLINK, 0, &[0; LINK]).attribute(libc::IFLA_IFNAME, &with_nul(name));
    let found = here.request(&request).map_err(at("link not found for network device"))?;
    let index = found.first().map_or(0, link_index);
    let was_up = found.first().is_some_and(|link| u32::from_ne_bytes(link.fixed(8)) & UP != 0);
    let before = links(there).map_err(at("list the devices of the target namespace for network device"))?;
    // The kernel would move the device first, and refuse the name afterwards.
    if before.iter().any(|(_, name)| *name == with_nul(new)) {
        return Err(at("move network device")(Errno::EEXIST)
            .with_detail(format!("as {new}"))
            .with_hint("the container's network namespace has a device of that name"));
    }
    // Read them while the device is up: the kernel removes IPv6 addresses from a device that is set down.
    let addresses = addresses(here, index).map_err(at("get the addresses of network device"))?;
    // From here on, programs of the host find the device down.
    set_up(here, index, false).map_err(at("set down network device"))?;
    // One request moves and renames the device.
    let number = namespace.as_fd().as_raw_fd().to_ne_bytes();
    let request = NetlinkRequest::new(libc::RTM_NEWLINK, 0, &link(index, 0, 0))
        .attribute(libc::IFLA_IFNAME, &with_nul(new))
        .attribute(libc::IFLA_NET_NS_FD, &number);
    here.request(&request).map_err(|e| {
        if was_up {
            // The device may still be in this namespace.
            let _ = set_up(here, index, true);
        }
        let error = at("move network device")(e).with_detail(format!("as {new}"));
        match e {
            // The name was checked, so what is left is a device that is bound to its namespace.
            Errno::EINVAL => error.with_hint("a device of this kind cannot leave its network namespace"),
            _ => error,
        }
    })?;
    // The kernel may have given it another index.
    let after = links(there).map_err(at("list the devices of the target namespace for network device"))?;
    let moved = after.into_iter().find(|(index, _)| before.iter().all(|(there, _)| there != index));
    let Some((index, _)) = moved else {
        return Err(at("find moved network device")(Errno::ENODEV));
    };
    for address in &addresses {
        add_address(there, index, address).map_err(at("restore the address of network device"))?;
    }
    set_up(there, index, true).map_err(at("set up network device"))
}

fn with_nul(name: &str) -> Vec<u8> {
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

/// The indices and names (with their NUL byte) of all devices.
fn links(netlink: &Netlink) -> std::result::Result<Vec<(i32, Vec<u8>)>, Errno> {
    let all = netlink.request(&NetlinkRequest::new(libc::RTM_GETLINK, flag::DUMP, &[0; LINK]))?;
    let name = |one: &NetlinkMessage| one.attribute(LINK, libc::IFLA_IFNAME).unwrap_or_default().to_vec();
    Ok(all.iter().map(|one| (link_index(one), name(one))).collect())
}

fn set_up(netlink: &Netlink, index: i32, up: bool) -> std::result::Result<(), Errno> {
    let flags = if up { UP } else { 0 };
    netlink.request(&NetlinkRequest::new(libc::RTM_NEWLINK, 0, &link(index, flags, UP))).map(drop)
}

/// An address to restore after the move.
struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    local: Vec<u8>,
    peer: Option<Vec<u8>>,
    broadcast: Option<Vec<u8>>,
}

/// The permanent addresses of global scope. Other addresses come from the host's network (leases, router
/// advertisements), or the kernel creates them again.
fn addresses(netlink: &Netlink, index: i32) -> std::result::Result<Vec<Address>, Errno> {
    let all = netlink.request(&NetlinkRequest::new(libc::RTM_GETADDR, flag::DUMP, &[0; ADDRESS]))?;
    let mut permanent = Vec::new();
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
        // An IPv6 address has no IFA_LOCAL unless there is a peer.
        let local = value(libc::IFA_LOCAL);
        let (local, peer) = match (local, address) {
            (Some(local), Some(peer)) if local != peer => (local, Some(peer)),
            (Some(local), _) | (None, Some(local)) => (local, None),
            (None, None) => continue,
        };
        permanent.push(Address {
            family,
            prefix,
            flags: flags & CONFIGURED,
            local,
            peer,
            broadcast: value(libc::IFA_BROADCAST),
        });
    }
    Ok(permanent)
}

fn add_address(netlink: &Netlink, index: i32, address: &Address) -> std::result::Result<(), Errno> {
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
