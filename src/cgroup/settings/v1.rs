//! Settings of the v1 controllers.

use super::builder::SettingsBuilder;
use super::common::{check_swap, invalid, nonzero, or_unlimited, shares, throttles, unsupported};
use super::cpu_common::{burst, idle};
use super::setting::WritePolicy::{IfSupported, Required, RetryLast, Substitute};
use crate::Result;
use crate::bundle::spec::{BlockIo, Cpu, Memory, Network};
use crate::cgroup::controller::Controller;
use crate::cgroup::version::CgroupVersion;

/// Adds the memory limits.
pub(super) fn memory(b: &mut SettingsBuilder<'_>, m: &Memory) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V1, Controller::Memory);
    check_swap(m)?;
    let (limit, swap) = (nonzero(m.limit), nonzero(m.swap));
    if let Some(limit) = limit {
        // The kernel refuses a limit above the current memory+swap limit, which then has to be raised first.
        let value = or_unlimited(limit, "-1");
        b.push(AT, "memory.limit_in_bytes", value, "/linux/resources/memory/limit", RetryLast);
        if m.check_before_update == Some(true) && limit > 0 {
            b.settings.checked_memory_limit = Some(limit as u64);
        }
    }
    if let Some(swap) = swap {
        let value = or_unlimited(swap, "-1");
        b.push(AT, "memory.memsw.limit_in_bytes", value, "/linux/resources/memory/swap", Required);
    } else if limit.is_some_and(|l| l < 0) {
        // The kernel refuses unlimited memory while memory+swap is limited.
        b.push(AT, "memory.memsw.limit_in_bytes", "-1", "/linux/resources/memory/limit", IfSupported);
    }
    if let Some(reservation) = nonzero(m.reservation) {
        let value = or_unlimited(reservation, "-1");
        b.push(AT, "memory.soft_limit_in_bytes", value, "/linux/resources/memory/reservation", Required);
    }
    memory_behaviour(b, m)
}

/// Adds what the kernel does with memory below the limits, and when they are reached.
fn memory_behaviour(b: &mut SettingsBuilder<'_>, m: &Memory) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V1, Controller::Memory);
    // Since Linux 5.11 memory is always accounted for hierarchically, and the file takes no other value.
    if let Some(on) = m.use_hierarchy {
        let pointer = "/linux/resources/memory/useHierarchy";
        b.push(AT, "memory.use_hierarchy", u8::from(on), pointer, IfSupported);
    }
    if let Some(disable) = m.disable_oom_killer {
        let policy = if disable { Required } else { IfSupported };
        b.push(
            AT,
            "memory.oom_control",
            u8::from(disable),
            "/linux/resources/memory/disableOOMKiller",
            policy,
        );
    }
    match m.swappiness {
        // Callers send -1, as an unsigned number, to leave it unchanged.
        None | Some(u64::MAX) => {}
        Some(value @ 0..=100) => {
            b.push(AT, "memory.swappiness", value, "/linux/resources/memory/swappiness", Required);
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

/// Adds the limits of CPU time.
pub(super) fn cpu(b: &mut SettingsBuilder<'_>, cpu: &Cpu) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V1, Controller::Cpu);
    // A new cgroup has no real-time bandwidth, and real-time tasks cannot join without it.
    if let Some(period) = cpu.realtime_period.filter(|v| *v != 0) {
        b.push(AT, "cpu.rt_period_us", period, "/linux/resources/cpu/realtimePeriod", RetryLast);
    }
    if let Some(runtime) = nonzero(cpu.realtime_runtime) {
        b.push(AT, "cpu.rt_runtime_us", runtime, "/linux/resources/cpu/realtimeRuntime", Required);
    }
    if let Some(shares) = shares(cpu)? {
        // The kernel refuses shares while the cgroup is idle; then cpu.idle comes first.
        b.push(AT, "cpu.shares", shares, "/linux/resources/cpu/shares", RetryLast);
    }
    // With the old quota, a smaller period may exceed the parent's bandwidth.
    if let Some(period) = cpu.period.filter(|v| *v != 0) {
        b.push(AT, "cpu.cfs_period_us", period, "/linux/resources/cpu/period", RetryLast);
    }
    let quota = nonzero(cpu.quota);
    burst(b, AT, "cpu.cfs_burst_us", cpu, quota.is_some());
    if let Some(quota) = quota {
        b.push(AT, "cpu.cfs_quota_us", or_unlimited(quota, "-1"), "/linux/resources/cpu/quota", RetryLast);
    }
    idle(b, AT, cpu);
    Ok(())
}

/// Adds the limits of block I/O.
pub(super) fn io(b: &mut SettingsBuilder<'_>, io: &BlockIo) {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V1, Controller::Io);
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        let policy = Substitute("blkio.bfq.weight", weight.to_string());
        b.push(AT, "blkio.weight", weight, "/linux/resources/blockIO/weight", policy);
    }
    if let Some(weight) = io.leaf_weight.filter(|w| *w != 0) {
        b.push(AT, "blkio.leaf_weight", weight, "/linux/resources/blockIO/leafWeight", Required);
    }
    for (i, d) in io.weight_device.iter().enumerate() {
        let at = format!("/linux/resources/blockIO/weightDevice/{i}");
        if let Some(weight) = d.weight.filter(|w| *w != 0) {
            let line = format!("{}:{} {weight}", d.major, d.minor);
            let policy = Substitute("blkio.bfq.weight_device", line.clone());
            b.push(AT, "blkio.weight_device", line, format!("{at}/weight"), policy);
        }
        if let Some(weight) = d.leaf_weight.filter(|w| *w != 0) {
            let line = format!("{}:{} {weight}", d.major, d.minor);
            b.push(AT, "blkio.leaf_weight_device", line, format!("{at}/leafWeight"), Required);
        }
    }
    for (file, list, name) in throttles(io) {
        for (i, d) in list.iter().enumerate() {
            let line = format!("{}:{} {}", d.major, d.minor, d.rate);
            let pointer = format!("/linux/resources/blockIO/{name}/{i}");
            b.push(AT, format!("blkio.throttle.{file}"), line, pointer, Required);
        }
    }
}

/// Adds the network class and priorities.
pub(super) fn network(b: &mut SettingsBuilder<'_>, network: &Network) -> Result<()> {
    const POINTER: &str = "/linux/resources/network";
    let class = network.class_id.filter(|id| *id != 0);
    let mut version_of = |controller: Controller, field: &str| {
        let pointer = format!("{POINTER}/{field}");
        if b.layout.is_unified() {
            return Err(unsupported(pointer, "network classes and priorities exist on cgroup v1 only")
                .with_hint("match on the cgroup with nftables (socket cgroupv2) or a BPF program"));
        }
        b.version_of(controller, &pointer)
    };
    if let Some(id) = class {
        let version = version_of(Controller::NetCls, "classID")?;
        let pointer = "/linux/resources/network/classID";
        b.push((version, Controller::NetCls), "net_cls.classid", id, pointer, Required);
    }
    for (i, p) in network.priorities.iter().enumerate() {
        let pointer = format!("{POINTER}/priorities/{i}");
        if b.layout.is_unified() {
            return Err(unsupported(pointer, "network classes and priorities exist on cgroup v1 only"));
        }
        let version = b.version_of(Controller::NetPrio, &pointer)?;
        let line = format!("{} {}", p.name, p.priority);
        b.push((version, Controller::NetPrio), "net_prio.ifpriomap", line, pointer, Required);
    }
    Ok(())
}
