//! config-linux.md, except resources and seccomp.

use super::checks::{absolute, id_list, id_maps, namespace, one_of};
use super::{resources, seccomp};
use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::names::{MEMORY_FLAGS, MEMORY_MODES, NAMESPACES, PROPAGATIONS};
use crate::bundle::spec::{Device, IntelRdt, Linux, MemoryPolicy, Spec};
use crate::bundle::sysctl::{sysctl_namespace, sysctl_path};
use std::collections::{BTreeMap, BTreeSet};

const NAMESPACE: &str = "config-linux.md#namespaces";
const MAPPINGS: &str = "config-linux.md#user-namespace-mappings";
const DEVICES: &str = "config-linux.md#devices";
const NET_DEVICES: &str = "config-linux.md#network-devices";
const SYSCTL: &str = "config-linux.md#sysctl";
const RDT: &str = "config-linux.md#intelrdt";
const MEMORY: &str = "config-linux.md#memory-policy";

pub(super) fn check(spec: &Spec, at: &Pointer<'_>, found: &mut Findings) {
    let Some(linux) = &spec.linux else { return };
    let at = at.key("linux");
    namespaces(linux, &at, found);
    user_namespace(spec, linux, &at, found);
    time_namespace(spec, linux, &at, found);
    paths(spec, linux, &at, found);
    devices(&linux.devices, &at.key("devices"), found);
    net_devices(spec, linux, &at.key("netDevices"), found);
    sysctls(spec, linux, &at.key("sysctl"), found);
    if let Some(rdt) = &linux.intel_rdt {
        intel_rdt(rdt, &at.key("intelRdt"), found);
    }
    if let Some(policy) = &linux.memory_policy {
        memory_policy(policy, &at.key("memoryPolicy"), found);
    }
    if let Some(personality) = &linux.personality {
        const SECTION: &str = "config-linux.md#personality";
        let at = at.key("personality");
        one_of(&personality.domain, &["LINUX", "LINUX32"], &at.key("domain"), SECTION, found);
        for (i, flag) in personality.flags.iter().enumerate() {
            let message = format!("{flag:?} is not supported: the specification defines no flags");
            found.error(&at.key("flags").index(i), SECTION, message);
        }
    }
    if let Some(limits) = &linux.resources {
        resources::check(limits, &at.key("resources"), found);
    }
    if let Some(profile) = &linux.seccomp {
        seccomp::check(profile, &at.key("seccomp"), found);
    }
}

fn namespaces(linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    let at = at.key("namespaces");
    for (i, ns) in linux.namespaces.iter().enumerate() {
        let at = at.index(i);
        let known = one_of(&ns.kind, &NAMESPACES, &at.key("type"), NAMESPACE, found);
        if known && linux.namespaces[..i].iter().any(|earlier| earlier.kind == ns.kind) {
            let message = format!("namespace {:?} is given twice", ns.kind);
            found.error(&at.key("type"), NAMESPACE, message);
        }
        if let Some(path) = &ns.path {
            absolute(path, &at.key("path"), NAMESPACE, found);
        }
    }
}

fn user_namespace(spec: &Spec, linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    let user = namespace(spec, "user");
    for (name, maps) in [("uidMappings", &linux.uid_mappings), ("gidMappings", &linux.gid_mappings)] {
        let at = at.key(name);
        id_maps(maps, &at, MAPPINGS, found);
        match user {
            None if !maps.is_empty() => {
                let message = "user namespace mappings specified, but user namespace isn't enabled";
                found.error(&at, MAPPINGS, message);
            }
            Some(ns) if ns.path.is_none() && maps.is_empty() => {
                found.error(&at, MAPPINGS, format!("a new user namespace needs {name}"));
            }
            _ => {}
        }
    }
}

fn time_namespace(spec: &Spec, linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    const SECTION: &str = "config-linux.md#offset-for-time-namespace";
    let at = at.key("timeOffsets");
    if linux.time_offsets.is_empty() {
        return;
    }
    match namespace(spec, "time") {
        None => found.error(&at, SECTION, "offsets need a new time namespace"),
        Some(ns) if ns.path.is_some() => {
            found.error(&at, SECTION, "offsets of a joined time namespace cannot be set");
        }
        Some(_) => {}
    }
    for (clock, offset) in &linux.time_offsets {
        let at = at.key(clock);
        one_of(clock, &["monotonic", "boottime"], &at, SECTION, found);
        if offset.nanosecs.is_some_and(|n| n > 999_999_999) {
            found.error(&at.key("nanosecs"), SECTION, "must be below 1000000000");
        }
    }
}

/// Propagation, masked and read-only paths, the cgroup's path.
fn paths(spec: &Spec, linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    if let Some(propagation) = &linux.rootfs_propagation {
        let section = "config-linux.md#rootfs-mount-propagation";
        one_of(propagation, &PROPAGATIONS, &at.key("rootfsPropagation"), section, found);
    }
    for (name, list, section) in [
        ("maskedPaths", &linux.masked_paths, "config-linux.md#masked-paths"),
        ("readonlyPaths", &linux.readonly_paths, "config-linux.md#readonly-paths"),
    ] {
        let at = at.key(name);
        for (i, path) in list.iter().enumerate() {
            absolute(path, &at.index(i), section, found);
        }
        if !list.is_empty() && namespace(spec, "mount").is_none() {
            found.error(&at, section, "unable to restrict paths without a private mount namespace");
        }
    }
    if let Some(path) = &linux.cgroups_path {
        let at = at.key("cgroupsPath");
        let section = "config-linux.md#cgroups-path";
        if path.split('/').any(|part| part == "..") {
            found.error(&at, section, "must not contain ..");
        }
        if path.contains('\n') {
            found.error(&at, section, "must not contain newlines");
        }
    }
}

fn devices(devices: &[Device], at: &Pointer<'_>, found: &mut Findings) {
    /// The largest numbers in the kernel's device numbers (`MKDEV`).
    const MAJOR: i64 = 0xfff;
    const MINOR: i64 = 0xf_ffff;
    let mut paths = BTreeSet::new();
    let mut numbers = BTreeMap::new();
    for (i, device) in devices.iter().enumerate() {
        let at = at.index(i);
        absolute(&device.path, &at.key("path"), DEVICES, found);
        one_of(&device.kind, &["c", "b", "u", "p"], &at.key("type"), DEVICES, found);
        for (name, value, max) in [("major", device.major, MAJOR), ("minor", device.minor, MINOR)] {
            match value {
                _ if device.kind == "p" => {}
                None => found.error(&at.key(name), DEVICES, "is required unless type is p"),
                Some(n) if !(0..=max).contains(&n) => {
                    found.error(&at.key(name), DEVICES, format!("{n} must be from 0 to {max}"));
                }
                Some(_) => {}
            }
        }
        if device.file_mode.is_some_and(|mode| mode > 0o17_7777) {
            found.warn(&at.key("fileMode"), DEVICES, "only the permission bits (octal 7777) are used");
        }
        if !paths.insert(device.path.as_str()) {
            found.warn(&at.key("path"), DEVICES, format!("{} is given twice", device.path));
        } else if device.kind != "p" {
            let number = (device.kind.as_str(), device.major, device.minor);
            if let Some(earlier) = numbers.insert(number, device.path.as_str()) {
                found.warn(&at, DEVICES, format!("is the same device as {earlier}"));
            }
        }
    }
}

fn net_devices(spec: &Spec, linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    if linux.net_devices.is_empty() {
        return;
    }
    if namespace(spec, "network").is_none() {
        let message = "unable to move network devices without a private network namespace";
        found.error(at, NET_DEVICES, message);
    }
    // As dev_valid_name() in the kernel.
    let good = |name: &str| {
        !name.is_empty()
            && name.len() < 16
            && name != "."
            && name != ".."
            && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
    };
    let mut taken = BTreeSet::new();
    for (host, device) in &linux.net_devices {
        let at = at.key(host);
        if !good(host) {
            found.error(&at, NET_DEVICES, format!("{host:?} is not a valid network device name"));
        }
        let name_at = at.key("name");
        let name = device.name.as_deref().unwrap_or(host);
        if !good(name) || (name.contains('%') && name.matches('%').count() != name.matches("%d").count()) {
            let message = format!("{name:?} is not a valid network device name");
            found.error(&name_at, NET_DEVICES, message);
        }
        if !taken.insert(name) && !name.contains("%d") {
            found.error(&name_at, NET_DEVICES, format!("{name:?} is given to two devices"));
        }
    }
}

/// Reports parameters of namespaces that the container does not have.
fn sysctls(spec: &Spec, linux: &Linux, at: &Pointer<'_>, found: &mut Findings) {
    for name in linux.sysctl.keys() {
        let at = at.key(name);
        let Some(path) = sysctl_path(name) else {
            found.error(&at, SYSCTL, format!("{name:?} is not a well-formed parameter name"));
            continue;
        };
        if path == "kernel/hostname" {
            found.error(&at, SYSCTL, "is set by the hostname property");
            continue;
        }
        let Some(owner) = sysctl_namespace(&path) else {
            found.error(&at, SYSCTL, format!("sysctl {name:?} is not in a separate kernel namespace"));
            continue;
        };
        if namespace(spec, owner).is_none() {
            let message = format!("sysctl {name:?} is not allowed without a private {owner} namespace");
            found.error(&at, SYSCTL, message);
        }
    }
}

fn intel_rdt(rdt: &IntelRdt, at: &Pointer<'_>, found: &mut Findings) {
    let no_name = |id: &str| id == "." || id == ".." || id.contains(['/', '\n']);
    if let Some(id) = rdt.clos_id.as_deref().filter(|id| *id != "/" && no_name(id)) {
        let message = format!("{id:?} must be the name of one directory, or /");
        found.error(&at.key("closID"), RDT, message);
    }
    let single = |line: &str, at: &Pointer<'_>, found: &mut Findings| {
        if line.contains('\n') {
            found.error(at, RDT, "must not contain newlines");
        }
    };
    if let Some(schema) = &rdt.l3_cache_schema {
        let at = at.key("l3CacheSchema");
        single(schema, &at, found);
        if !schema.starts_with("L3") {
            found.warn(&at, RDT, "should start with L3:");
        }
    }
    if let Some(schema) = &rdt.mem_bw_schema {
        let at = at.key("memBwSchema");
        single(schema, &at, found);
        if !schema.starts_with("MB:") {
            found.error(&at, RDT, "must start with MB:");
        }
    }
    let schemata = at.key("schemata");
    for (i, line) in rdt.schemata.iter().enumerate() {
        single(line, &schemata.index(i), found);
    }
}

fn memory_policy(policy: &MemoryPolicy, at: &Pointer<'_>, found: &mut Findings) {
    let nodes = at.key("nodes");
    id_list(policy.nodes.as_deref(), &nodes, MEMORY, found);
    if one_of(&policy.mode, &MEMORY_MODES, &at.key("mode"), MEMORY, found) {
        let mode = policy.mode.as_str();
        match (mode, policy.nodes.is_some()) {
            ("MPOL_DEFAULT" | "MPOL_LOCAL", true) => {
                found.error(&nodes, MEMORY, format!("must be empty with {mode}"));
            }
            ("MPOL_DEFAULT" | "MPOL_LOCAL" | "MPOL_PREFERRED", _) | (_, true) => {}
            (_, false) => found.error(&nodes, MEMORY, format!("{mode} needs at least one node")),
        }
    }
    let flags = at.key("flags");
    for (i, flag) in policy.flags.iter().enumerate() {
        one_of(flag, &MEMORY_FLAGS, &flags.index(i), MEMORY, found);
    }
    let has = |name: &str| policy.flags.iter().any(|flag| flag == name);
    if has("MPOL_F_STATIC_NODES") && has("MPOL_F_RELATIVE_NODES") {
        found.error(&flags, MEMORY, "static and relative nodes exclude each other");
    }
}
