//! The limits of a cgroup after an update.

use crate::bundle::spec::{BlockIo, Cpu, Memory, Network, Resources, ThrottleDevice, WeightDevice};

/// `base` with the values of `update`. Zeros that mean "unchanged" change nothing, lists are merged by their keys, and
/// devices stay those of `base`.
pub(crate) fn merged(base: &Resources, update: &Resources) -> Resources {
    let mut all = base.clone();
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
    if update.limit.is_some_and(|n| n < 0) && update.swap.is_none_or(|n| n == 0) {
        // Unlimited memory makes memory and swap together unlimited.
        all.swap = None;
    }
    put_nonzero(&mut all.limit, update.limit);
    put_nonzero(&mut all.reservation, update.reservation);
    put_nonzero(&mut all.swap, update.swap);
    put_nonzero(&mut all.kernel, update.kernel);
    put_nonzero(&mut all.kernel_tcp, update.kernel_tcp);
    put(&mut all.swappiness, update.swappiness.filter(|n| *n != u64::MAX));
    put(&mut all.disable_oom_killer, update.disable_oom_killer);
    put(&mut all.use_hierarchy, update.use_hierarchy);
    put(&mut all.check_before_update, update.check_before_update);
}

fn cpu(all: &mut Cpu, update: &Cpu) {
    put_nonzero(&mut all.shares, update.shares);
    put_nonzero(&mut all.quota, update.quota);
    put(&mut all.burst, update.burst);
    put_nonzero(&mut all.period, update.period);
    put_nonzero(&mut all.realtime_runtime, update.realtime_runtime);
    put_nonzero(&mut all.realtime_period, update.realtime_period);
    put(&mut all.cpus, update.cpus.clone());
    put(&mut all.mems, update.mems.clone());
    put(&mut all.idle, update.idle);
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
            r#"{"devices": [{"allow": true}], "memory": {"limit": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "cpus": ""},
                "pids": {}, "blockIO": {"weight": 0}}"#,
        );
        let mut expected = base.clone();
        expected.block_io.as_mut().unwrap().weight = None;
        assert_eq!(merged(&base, &nothing), expected);
        assert_eq!(merged(&base, &Resources::default()), base);
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
