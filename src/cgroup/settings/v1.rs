//! Files of the v1 controllers.

use super::super::controller::Controller;
use super::{Compiler, Rule, Side, invalid, or_unlimited, unsupported};
use crate::Result;
use crate::bundle::spec::{BlockIo, Cpu, Memory, Network, ThrottleDevice};

/// A limit, unless it is absent or zero: callers send zero for "leave it".
pub(super) fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|v| *v != 0)
}

pub(super) fn uses_memory(m: &Memory) -> bool {
    set(m.limit).or(set(m.reservation)).or(set(m.swap)).is_some()
        || m.swappiness.is_some()
        || m.disable_oom_killer.is_some()
        || m.use_hierarchy.is_some()
}

pub(super) fn memory_warnings(c: &mut Compiler<'_>, m: &Memory) {
    for (value, name) in [(m.kernel, "kernel"), (m.kernel_tcp, "kernelTCP")] {
        if set(value).is_some() {
            c.warn(format!("/linux/resources/memory/{name} is deprecated and ignored"));
        }
    }
}

/// Memory and swap together can be no less than memory.
pub(super) fn check_swap(m: &Memory) -> Result<()> {
    match (set(m.limit), set(m.swap)) {
        (Some(limit), Some(swap)) if swap > 0 && limit > swap => Err(invalid(
            "/linux/resources/memory/swap",
            format!("memory+swap limit should be >= memory limit ({swap} < {limit})"),
        )),
        _ => Ok(()),
    }
}

pub(super) fn memory(c: &mut Compiler<'_>, m: &Memory) -> Result<()> {
    const AT: (Side, Controller) = (Side::V1, Controller::Memory);
    check_swap(m)?;
    let (limit, swap) = (set(m.limit), set(m.swap));
    if let Some(limit) = limit {
        // Refused while it is above the old memory+swap limit: then that one comes first.
        let value = or_unlimited(limit, "-1");
        c.push(AT, "memory.limit_in_bytes", value, "/linux/resources/memory/limit", Rule::Retry);
        if m.check_before_update == Some(true) && limit > 0 {
            c.out.check_memory = Some(limit as u64);
        }
    }
    if let Some(swap) = swap {
        let value = or_unlimited(swap, "-1");
        c.push(AT, "memory.memsw.limit_in_bytes", value, "/linux/resources/memory/swap", Rule::Strict);
    } else if limit.is_some_and(|l| l < 0) {
        // "Unlimited memory" with an old memory+swap limit in place would be refused.
        c.push(AT, "memory.memsw.limit_in_bytes", "-1", "/linux/resources/memory/limit", Rule::IfExists);
    }
    if let Some(reservation) = set(m.reservation) {
        let value = or_unlimited(reservation, "-1");
        c.push(AT, "memory.soft_limit_in_bytes", value, "/linux/resources/memory/reservation", Rule::Strict);
    }
    if let Some(on) = m.use_hierarchy {
        let rule = if on { Rule::IfExists } else { Rule::Strict };
        c.push(AT, "memory.use_hierarchy", u8::from(on), "/linux/resources/memory/useHierarchy", rule);
    }
    if let Some(disable) = m.disable_oom_killer {
        let rule = if disable { Rule::Strict } else { Rule::IfExists };
        c.push(AT, "memory.oom_control", u8::from(disable), "/linux/resources/memory/disableOOMKiller", rule);
    }
    match m.swappiness {
        // -1 as an unsigned number: callers send it for "leave it".
        None | Some(u64::MAX) => {}
        Some(value @ 0..=100) => {
            c.push(AT, "memory.swappiness", value, "/linux/resources/memory/swappiness", Rule::Strict);
        }
        Some(value) => {
            return Err(invalid(
                "/linux/resources/memory/swappiness",
                format!("invalid memory swappiness value: {value} (valid range is 0-100)"),
            ));
        }
    }
    Ok(())
}

pub(super) fn uses_cpu(cpu: &Cpu) -> bool {
    let positive = |v: Option<u64>| v.is_some_and(|v| v != 0);
    positive(cpu.shares)
        || positive(cpu.period)
        || positive(cpu.realtime_period)
        || set(cpu.quota).or(set(cpu.realtime_runtime)).is_some()
        || cpu.burst.is_some()
        || cpu.idle.is_some()
}

/// The shares, unless absent or zero.
pub(super) fn shares(cpu: &Cpu) -> Result<Option<u64>> {
    let refuse = |why: &str| Err(invalid("/linux/resources/cpu/shares", why));
    match cpu.shares {
        None | Some(0) => Ok(None),
        Some(1) => refuse("the minimum allowed cpu-shares is 2"),
        Some(n) if n > 262_144 => refuse("the maximum allowed cpu-shares is 262144"),
        some => Ok(some),
    }
}

pub(super) fn cpu(c: &mut Compiler<'_>, cpu: &Cpu) -> Result<()> {
    const AT: (Side, Controller) = (Side::V1, Controller::Cpu);
    // Real-time first: a new cgroup has none, and without it real-time tasks could not join.
    if let Some(period) = cpu.realtime_period.filter(|v| *v != 0) {
        c.push(AT, "cpu.rt_period_us", period, "/linux/resources/cpu/realtimePeriod", Rule::Retry);
    }
    if let Some(runtime) = set(cpu.realtime_runtime) {
        c.push(AT, "cpu.rt_runtime_us", runtime, "/linux/resources/cpu/realtimeRuntime", Rule::Strict);
    }
    if let Some(shares) = shares(cpu)? {
        // Refused while the cgroup is idle: then after cpu.idle.
        c.push(AT, "cpu.shares", shares, "/linux/resources/cpu/shares", Rule::Retry);
    }
    // A smaller period may exceed the parent's share until the quota is smaller too.
    if let Some(period) = cpu.period.filter(|v| *v != 0) {
        c.push(AT, "cpu.cfs_period_us", period, "/linux/resources/cpu/period", Rule::Retry);
    }
    let quota = set(cpu.quota);
    burst(c, AT, "cpu.cfs_burst_us", cpu, quota.is_some());
    if let Some(quota) = quota {
        c.push(AT, "cpu.cfs_quota_us", or_unlimited(quota, "-1"), "/linux/resources/cpu/quota", Rule::Retry);
    }
    idle(c, AT, cpu);
    Ok(())
}

/// No burst is above the quota: a larger one waits for the quota.
pub(super) fn burst(
    c: &mut Compiler<'_>,
    at: (Side, Controller),
    file: &'static str,
    cpu: &Cpu,
    quota: bool,
) {
    if let Some(burst) = cpu.burst {
        let rule = match burst {
            0 => Rule::IfExists,
            _ if quota => Rule::Retry,
            _ => Rule::Strict,
        };
        c.push(at, file, burst, "/linux/resources/cpu/burst", rule);
    }
}

pub(super) fn idle(c: &mut Compiler<'_>, at: (Side, Controller), cpu: &Cpu) {
    if let Some(idle) = cpu.idle {
        let rule = if idle == 0 { Rule::IfExists } else { Rule::Strict };
        c.push(at, "cpu.idle", idle, "/linux/resources/cpu/idle", rule);
    }
}

pub(super) fn uses_io(io: &BlockIo) -> bool {
    let weight = |w: Option<u16>| w.is_some_and(|w| w != 0);
    weight(io.weight)
        || weight(io.leaf_weight)
        || !io.weight_device.is_empty()
        || throttles(io).iter().any(|(_, list, _)| !list.is_empty())
}

/// The throttle lists: v1 file, rates, JSON name.
pub(super) fn throttles(io: &BlockIo) -> [(&'static str, &[ThrottleDevice], &'static str); 4] {
    [
        ("read_bps_device", &io.throttle_read_bps_device, "throttleReadBpsDevice"),
        ("write_bps_device", &io.throttle_write_bps_device, "throttleWriteBpsDevice"),
        ("read_iops_device", &io.throttle_read_iops_device, "throttleReadIOPSDevice"),
        ("write_iops_device", &io.throttle_write_iops_device, "throttleWriteIOPSDevice"),
    ]
}

pub(super) fn io(c: &mut Compiler<'_>, io: &BlockIo) {
    const AT: (Side, Controller) = (Side::V1, Controller::Io);
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        let rule = Rule::Else("blkio.bfq.weight", weight.to_string());
        c.push(AT, "blkio.weight", weight, "/linux/resources/blockIO/weight", rule);
    }
    if let Some(weight) = io.leaf_weight.filter(|w| *w != 0) {
        c.push(AT, "blkio.leaf_weight", weight, "/linux/resources/blockIO/leafWeight", Rule::Strict);
    }
    for (i, d) in io.weight_device.iter().enumerate() {
        let at = format!("/linux/resources/blockIO/weightDevice/{i}");
        if let Some(weight) = d.weight.filter(|w| *w != 0) {
            let line = format!("{}:{} {weight}", d.major, d.minor);
            let rule = Rule::Else("blkio.bfq.weight_device", line.clone());
            c.push(AT, "blkio.weight_device", line, format!("{at}/weight"), rule);
        }
        if let Some(weight) = d.leaf_weight.filter(|w| *w != 0) {
            let line = format!("{}:{} {weight}", d.major, d.minor);
            c.push(AT, "blkio.leaf_weight_device", line, format!("{at}/leafWeight"), Rule::Strict);
        }
    }
    for (file, list, name) in throttles(io) {
        for (i, d) in list.iter().enumerate() {
            let line = format!("{}:{} {}", d.major, d.minor, d.rate);
            let pointer = format!("/linux/resources/blockIO/{name}/{i}");
            c.push(AT, format!("blkio.throttle.{file}"), line, pointer, Rule::Strict);
        }
    }
}

pub(super) fn network(c: &mut Compiler<'_>, network: &Network) -> Result<()> {
    const POINTER: &str = "/linux/resources/network";
    let class = network.class_id.filter(|id| *id != 0);
    let mut need = |controller: Controller, field: &str| {
        let pointer = format!("{POINTER}/{field}");
        if c.layout.is_unified() {
            return Err(unsupported(pointer, "network classes and priorities exist on cgroup v1 only")
                .with_hint("match on the cgroup with nftables (socket cgroupv2) or a BPF program"));
        }
        c.side(controller, &pointer)
    };
    if let Some(id) = class {
        let side = need(Controller::NetCls, "classID")?;
        let pointer = "/linux/resources/network/classID";
        c.push((side, Controller::NetCls), "net_cls.classid", id, pointer, Rule::Strict);
    }
    for (i, p) in network.priorities.iter().enumerate() {
        let pointer = format!("{POINTER}/priorities/{i}");
        if c.layout.is_unified() {
            return Err(unsupported(pointer, "network classes and priorities exist on cgroup v1 only"));
        }
        let side = c.side(Controller::NetPrio, &pointer)?;
        let line = format!("{} {}", p.name, p.priority);
        c.push((side, Controller::NetPrio), "net_prio.ifpriomap", line, pointer, Rule::Strict);
    }
    Ok(())
}
