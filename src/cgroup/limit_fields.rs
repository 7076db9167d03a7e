//! The fields of `linux.resources`, each listed once: what it requests, and how an update changes it.
//!
//! Structures are taken apart with all of their fields, so that the compiler rejects a new field that is left out: alone in
//! a configuration it would not be written, or not be refused if nothing can enforce it.

use crate::bundle::spec::{BlockIo, Cpu, Memory, Network, Resources, ThrottleDevice, WeightDevice};

/// What the value of a field requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldUse {
    /// Nothing: the field is absent, or has the value that stands for "unchanged".
    Unused,
    /// A value that limits nothing.
    Unlimited,
    /// A limit.
    Limit,
}

/// The JSON names of fields below `linux.resources`, and their use.
pub(super) type Fields = Vec<(&'static str, FieldUse)>;

/// Whether any of the fields is used.
pub(super) fn is_used(fields: &Fields) -> bool {
    fields.iter().any(|(_, field)| *field != FieldUse::Unused)
}

/// A number of which zero stands for "unchanged", and a negative one for "unlimited".
fn amount(value: Option<i64>) -> FieldUse {
    match value {
        None | Some(0) => FieldUse::Unused,
        Some(n) if n < 0 => FieldUse::Unlimited,
        Some(_) => FieldUse::Limit,
    }
}

/// A number of which zero stands for "unchanged".
fn nonzero<T: Default + PartialEq>(value: Option<T>) -> FieldUse {
    if value.is_some_and(|n| n != T::default()) { FieldUse::Limit } else { FieldUse::Unused }
}

/// A value that is written if it is there, and a limit unless it equals `unlimited`.
fn unless<T: PartialEq>(value: Option<T>, unlimited: &T) -> FieldUse {
    match value {
        None => FieldUse::Unused,
        Some(value) if value == *unlimited => FieldUse::Unlimited,
        Some(_) => FieldUse::Limit,
    }
}

/// A list.
fn list(is_empty: bool) -> FieldUse {
    if is_empty { FieldUse::Unused } else { FieldUse::Limit }
}

/// The fields for the memory controller.
pub(super) fn memory_fields(memory: &Memory) -> Fields {
    let Memory {
        limit,
        reservation,
        swap,
        swappiness,
        disable_oom_killer,
        use_hierarchy,
        // No controller has these any more; the caller is warned.
        kernel: _,
        kernel_tcp: _,
        // Only says how a limit is written.
        check_before_update: _,
    } = memory;
    vec![
        ("memory/limit", amount(*limit)),
        ("memory/reservation", amount(*reservation)),
        ("memory/swap", amount(*swap)),
        // Callers send -1, as an unsigned number, to leave it unchanged.
        ("memory/swappiness", unless(*swappiness, &u64::MAX)),
        ("memory/disableOOMKiller", unless(*disable_oom_killer, &false)),
        ("memory/useHierarchy", use_hierarchy.map_or(FieldUse::Unused, |_| FieldUse::Unlimited)),
    ]
}

/// The fields for the cpu controller, and those for the cpuset controller.
pub(super) fn cpu_fields(cpu: &Cpu) -> [Fields; 2] {
    let Cpu { shares, quota, burst, period, realtime_runtime, realtime_period, cpus, mems, idle } = cpu;
    let text = |value: &Option<String>| list(value.as_deref().is_none_or(str::is_empty));
    let time = vec![
        ("cpu/shares", nonzero(*shares)),
        ("cpu/quota", amount(*quota)),
        ("cpu/burst", unless(*burst, &0)),
        ("cpu/period", nonzero(*period)),
        ("cpu/realtimeRuntime", amount(*realtime_runtime)),
        ("cpu/realtimePeriod", nonzero(*realtime_period)),
        ("cpu/idle", unless(*idle, &0)),
    ];
    [time, vec![("cpu/cpus", text(cpus)), ("cpu/mems", text(mems))]]
}

/// The fields for the I/O controller.
pub(super) fn io_fields(io: &BlockIo) -> Fields {
    let BlockIo {
        weight,
        leaf_weight,
        weight_device,
        throttle_read_bps_device,
        throttle_write_bps_device,
        throttle_read_iops_device,
        throttle_write_iops_device,
    } = io;
    vec![
        ("blockIO/weight", nonzero(*weight)),
        ("blockIO/leafWeight", nonzero(*leaf_weight)),
        ("blockIO/weightDevice", list(weight_device.is_empty())),
        ("blockIO/throttleReadBpsDevice", list(throttle_read_bps_device.is_empty())),
        ("blockIO/throttleWriteBpsDevice", list(throttle_write_bps_device.is_empty())),
        ("blockIO/throttleReadIOPSDevice", list(throttle_read_iops_device.is_empty())),
        ("blockIO/throttleWriteIOPSDevice", list(throttle_write_iops_device.is_empty())),
    ]
}

/// The fields for the network controllers.
pub(super) fn network_fields(network: &Network) -> Fields {
    let Network { class_id, priorities } = network;
    vec![("network/classID", nonzero(*class_id)), ("network/priorities", list(priorities.is_empty()))]
}

/// `base` with the values of `update`. Zeros that mean "unchanged" change nothing, lists are merged by their keys; a
/// list of devices replaces the other one.
pub(crate) fn merged(base: &Resources, update: &Resources) -> Resources {
    let mut all = base.clone();
    if !update.devices.is_empty() {
        all.devices.clone_from(&update.devices);
    }
    if let Some(update) = &update.memory {
        memory(all.memory.get_or_insert_default(), update);
    }
    if let Some(update) = &update.cpu {
        cpu(all.cpu.get_or_insert_default(), update);
    }
    if let Some(update) = &update.pids {
        put(&mut all.pids.get_or_insert_default().limit, update.limit);
    }
    if let Some(update) = &update.block_io {
        block_io(all.block_io.get_or_insert_default(), update);
    }
    for limit in &update.hugepage_limits {
        upsert(&mut all.hugepage_limits, limit, |a, b| a.page_size == b.page_size);
    }
    if let Some(update) = &update.network {
        network(all.network.get_or_insert_default(), update);
    }
    for (device, update) in &update.rdma {
        let limits = all.rdma.entry(device.clone()).or_default();
        put(&mut limits.hca_handles, update.hca_handles);
        put(&mut limits.hca_objects, update.hca_objects);
    }
    all.unified.extend(update.unified.clone());
    all
}

fn memory(all: &mut Memory, update: &Memory) {
    let Memory {
        limit,
        reservation,
        swap,
        kernel,
        kernel_tcp,
        swappiness,
        disable_oom_killer,
        use_hierarchy,
        check_before_update,
    } = update;
    if limit.is_some_and(|n| n < 0) && swap.is_none_or(|n| n == 0) {
        // Unlimited memory makes memory and swap together unlimited.
        all.swap = None;
    }
    put_nonzero(&mut all.limit, *limit);
    put_nonzero(&mut all.reservation, *reservation);
    put_nonzero(&mut all.swap, *swap);
    put_nonzero(&mut all.kernel, *kernel);
    put_nonzero(&mut all.kernel_tcp, *kernel_tcp);
    put(&mut all.swappiness, swappiness.filter(|n| *n != u64::MAX));
    put(&mut all.disable_oom_killer, *disable_oom_killer);
    put(&mut all.use_hierarchy, *use_hierarchy);
    put(&mut all.check_before_update, *check_before_update);
}

fn cpu(all: &mut Cpu, update: &Cpu) {
    let Cpu { shares, quota, burst, period, realtime_runtime, realtime_period, cpus, mems, idle } = update;
    put_nonzero(&mut all.shares, *shares);
    put_nonzero(&mut all.quota, *quota);
    put(&mut all.burst, *burst);
    put_nonzero(&mut all.period, *period);
    put_nonzero(&mut all.realtime_runtime, *realtime_runtime);
    put_nonzero(&mut all.realtime_period, *realtime_period);
    put(&mut all.cpus, cpus.clone());
    put(&mut all.mems, mems.clone());
    put(&mut all.idle, *idle);
}

fn block_io(all: &mut BlockIo, update: &BlockIo) {
    put_nonzero(&mut all.weight, update.weight);
    put_nonzero(&mut all.leaf_weight, update.leaf_weight);
    for device in &update.weight_device {
        let same = |d: &&mut WeightDevice| (d.major, d.minor) == (device.major, device.minor);
        match all.weight_device.iter_mut().find(same) {
            Some(old) => {
                put_nonzero(&mut old.weight, device.weight);
                put_nonzero(&mut old.leaf_weight, device.leaf_weight);
            }
            None => all.weight_device.push(device.clone()),
        }
    }
    for (all, update) in [
        (&mut all.throttle_read_bps_device, &update.throttle_read_bps_device),
        (&mut all.throttle_write_bps_device, &update.throttle_write_bps_device),
        (&mut all.throttle_read_iops_device, &update.throttle_read_iops_device),
        (&mut all.throttle_write_iops_device, &update.throttle_write_iops_device),
    ] {
        for device in update {
            upsert(all, device, |a: &ThrottleDevice, b| (a.major, a.minor) == (b.major, b.minor));
        }
    }
}

fn network(all: &mut Network, update: &Network) {
    put_nonzero(&mut all.class_id, update.class_id);
    for priority in &update.priorities {
        upsert(&mut all.priorities, priority, |a, b| a.name == b.name);
    }
}

/// Replaces the value if there is a new one.
fn put<T>(old: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *old = value;
    }
}

/// Replaces the value if there is a new one that is not zero.
fn put_nonzero<T: Default + PartialEq>(old: &mut Option<T>, value: Option<T>) {
    put(old, value.filter(|v| *v != T::default()));
}

/// Replaces the entry with the same key, or appends a new one.
fn upsert<T: Clone>(all: &mut Vec<T>, new: &T, same: impl Fn(&T, &T) -> bool) {
    match all.iter_mut().find(|old| same(old, new)) {
        Some(old) => old.clone_from(new),
        None => all.push(new.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Resources {
        Resources::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn an_update_keeps_values_that_it_does_not_mention() {
        let base = read(
            r#"{"devices": [{"allow": false}], "memory": {"limit": 5, "swap": 9}, "cpu": {"shares": 7, "cpus": "0"},
                "pids": {"limit": 3}, "unified": {"memory.high": "1"},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#,
        );
        let nothing = read(
            r#"{"memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "cpus": ""},
                "pids": {}, "blockIO": {"weight": 0}}"#,
        );
        let mut expected = base.clone();
        expected.block_io.as_mut().unwrap().weight = None;
        assert_eq!(merged(&base, &nothing), expected);
        assert_eq!(merged(&base, &Resources::default()), base);
        let devices = read(r#"{"devices": [{"allow": true}]}"#);
        assert_eq!(merged(&base, &devices).devices, devices.devices);
        let some = read(
            r#"{"memory": {"limit": -1}, "cpu": {"quota": 50, "burst": 0}, "pids": {"limit": 0}, "unified": {"memory.low": "2"},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 2}, {"major": 8, "minor": 16, "rate": 3}]},
                "hugepageLimits": [{"pageSize": "1GB", "limit": 4}, {"pageSize": "2MB", "limit": 2}]}"#,
        );
        let expected = read(
            r#"{"devices": [{"allow": false}], "memory": {"limit": -1}, "cpu": {"shares": 7, "quota": 50, "burst": 0, "cpus": "0"},
                "pids": {"limit": 0}, "unified": {"memory.high": "1", "memory.low": "2"},
                "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 2}, {"major": 8, "minor": 16, "rate": 3}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 2}, {"pageSize": "1GB", "limit": 4}]}"#,
        );
        assert_eq!(merged(&base, &some), expected);
    }
}
