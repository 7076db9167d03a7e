//! config-linux.md#control-groups. Zeros that managers write for "unchanged" are accepted.

use super::checks::{id_list, one_of};
use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::spec::{BlockIo, Cpu, DeviceRule, Memory, Resources};
use std::collections::BTreeSet;

const DEVICES: &str = "config-linux.md#allowed-device-list";
const MEMORY: &str = "config-linux.md#memory";
const CPU: &str = "config-linux.md#cpu";
const BLOCK_IO: &str = "config-linux.md#block-io";
const HUGE: &str = "config-linux.md#huge-page-limits";

pub(super) fn check(resources: &Resources, at: &Pointer<'_>, found: &mut Findings) {
    let devices = at.key("devices");
    for (i, rule) in resources.devices.iter().enumerate() {
        device_rule(rule, &devices.index(i), found);
    }
    if let Some(limits) = &resources.memory {
        memory(limits, &at.key("memory"), found);
    }
    if let Some(limits) = &resources.cpu {
        cpu(limits, &at.key("cpu"), found);
    }
    if let Some(limits) = &resources.block_io {
        block_io(limits, &at.key("blockIO"), found);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit).filter(|n| *n < -1) {
        let message = format!("{limit} must be -1 (unlimited) or more");
        found.error(&at.key("pids").key("limit"), "config-linux.md#pids", message);
    }
    let huge = at.key("hugepageLimits");
    let mut sizes = BTreeSet::new();
    for (i, limit) in resources.hugepage_limits.iter().enumerate() {
        let at = huge.index(i);
        if !is_page_size(&limit.page_size) {
            let message = format!("{:?} must be a size such as 64KB, 2MB or 1GB", limit.page_size);
            found.error(&at.key("pageSize"), HUGE, message);
        }
        if !sizes.insert(limit.page_size.as_str()) {
            found.warn(&at.key("pageSize"), HUGE, format!("{} is given twice", limit.page_size));
        }
    }
    names(resources, at, found);
}

/// Names: of interfaces, RDMA devices and files of cgroup v2.
fn names(resources: &Resources, at: &Pointer<'_>, found: &mut Findings) {
    if let Some(network) = &resources.network {
        let at = at.key("network");
        for (i, interface) in network.priorities.iter().enumerate() {
            if interface.name.is_empty() || interface.name.contains([' ', '\n']) {
                let message = format!("{:?} is not a network device name", interface.name);
                let at = at.key("priorities");
                found.error(&at.index(i).key("name"), "config-linux.md#network", message);
            }
        }
    }
    for (device, limits) in &resources.rdma {
        let at = at.key("rdma");
        let section = "config-linux.md#rdma";
        if limits.hca_handles.is_none() && limits.hca_objects.is_none() {
            found.error(&at.key(device), section, "needs hcaHandles or hcaObjects");
        }
        if device.is_empty() || device.contains([' ', '\n']) {
            found.error(&at.key(device), section, format!("{device:?} is not a device name"));
        }
    }
    for file in resources.unified.keys() {
        if file.is_empty() || file == "." || file == ".." || file.contains('/') {
            let message = format!("{file:?} must be the name of a file of the cgroup");
            found.error(&at.key("unified").key(file), "config-linux.md#unified", message);
        }
    }
}

fn device_rule(rule: &DeviceRule, at: &Pointer<'_>, found: &mut Findings) {
    if let Some(kind) = &rule.kind {
        one_of(kind, &["a", "b", "c"], &at.key("type"), DEVICES, found);
    }
    for (name, number) in [("major", rule.major), ("minor", rule.minor)] {
        if let Some(n) = number.filter(|n| !(-1..=i64::from(u32::MAX)).contains(n)) {
            let message = format!("{n} must be a device number, or -1 for all");
            found.error(&at.key(name), DEVICES, message);
        }
    }
    let Some(access) = rule.access.as_ref().filter(|access| access.contains(|c| !"rwm".contains(c))) else {
        return;
    };
    let at = at.key("access");
    if access.contains(|c| !"rwma".contains(c)) {
        found.error(&at, DEVICES, format!("{access:?} must be composed of r, w and m"));
    } else {
        found.warn(&at, DEVICES, format!("the letter a of {access:?} is ignored: accesses are r, w and m"));
    }
}

fn memory(limits: &Memory, at: &Pointer<'_>, found: &mut Findings) {
    for (name, value) in [
        ("limit", limits.limit),
        ("reservation", limits.reservation),
        ("swap", limits.swap),
        ("kernel", limits.kernel),
        ("kernelTCP", limits.kernel_tcp),
    ] {
        let Some(value) = value else { continue };
        let at = at.key(name);
        if value < -1 {
            found.error(&at, MEMORY, format!("{value} must be -1 (unlimited) or more"));
        }
        if name.starts_with("kernel") && value != 0 {
            found.warn(&at, MEMORY, "is deprecated and ignored: current kernels have no such limit");
        }
    }
    if let Some(n) = limits.swappiness.filter(|n| *n > 100) {
        found.error(&at.key("swappiness"), MEMORY, format!("{n} must be from 0 to 100"));
    }
    let (limit, swap) = (limits.limit.unwrap_or(0), limits.swap.unwrap_or(0));
    if limit > 0 && swap > 0 && swap < limit {
        let message =
            format!("the limit of memory plus swap, {swap}, must not be below the memory limit {limit}");
        found.error(&at.key("swap"), MEMORY, message);
    }
}

fn cpu(limits: &Cpu, at: &Pointer<'_>, found: &mut Findings) {
    let quota = limits.quota.filter(|quota| *quota > 0).map_or(u64::MAX, i64::unsigned_abs);
    if let Some(burst) = limits.burst.filter(|burst| *burst > quota) {
        found.error(&at.key("burst"), CPU, format!("{burst} must not be larger than the quota {quota}"));
    }
    if let Some(idle) = limits.idle.filter(|idle| !(0..=1).contains(idle)) {
        found.error(&at.key("idle"), CPU, format!("{idle} must be 0 or 1"));
    }
    id_list(limits.cpus.as_deref(), &at.key("cpus"), CPU, found);
    id_list(limits.mems.as_deref(), &at.key("mems"), CPU, found);
}

fn block_io(limits: &BlockIo, at: &Pointer<'_>, found: &mut Findings) {
    let weight = |name: &'static str, value: Option<u16>, at: &Pointer<'_>, found: &mut Findings| {
        if let Some(n) = value.filter(|n| *n != 0 && !(10..=1000).contains(n)) {
            found.error(&at.key(name), BLOCK_IO, format!("{n} must be from 10 to 1000"));
        }
    };
    weight("weight", limits.weight, at, found);
    weight("leafWeight", limits.leaf_weight, at, found);
    let number = |major: i64, minor: i64, at: &Pointer<'_>, found: &mut Findings| {
        for (name, n) in [("major", major), ("minor", minor)] {
            if !(0..=i64::from(u32::MAX)).contains(&n) {
                found.error(&at.key(name), BLOCK_IO, format!("{n} is not a device number"));
            }
        }
    };
    let devices = at.key("weightDevice");
    for (i, device) in limits.weight_device.iter().enumerate() {
        let at = devices.index(i);
        number(device.major, device.minor, &at, found);
        weight("weight", device.weight, &at, found);
        weight("leafWeight", device.leaf_weight, &at, found);
        if device.weight.is_none() && device.leaf_weight.is_none() {
            found.error(&at, BLOCK_IO, "needs weight or leafWeight");
        }
    }
    for (name, list) in [
        ("throttleReadBpsDevice", &limits.throttle_read_bps_device),
        ("throttleWriteBpsDevice", &limits.throttle_write_bps_device),
        ("throttleReadIOPSDevice", &limits.throttle_read_iops_device),
        ("throttleWriteIOPSDevice", &limits.throttle_write_iops_device),
    ] {
        let at = at.key(name);
        for (i, device) in list.iter().enumerate() {
            number(device.major, device.minor, &at.index(i), found);
        }
    }
}

/// `<size><unit-prefix>B`.
fn is_page_size(text: &str) -> bool {
    let Some(digits) = text.strip_suffix('B').map(|t| t.trim_end_matches(['K', 'M', 'G', 'T', 'P', 'E']))
    else {
        return false;
    };
    let prefixes = text.len() - 1 - digits.len();
    prefixes <= 1
        && !digits.is_empty()
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit())
}
