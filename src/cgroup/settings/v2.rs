//! Settings of the cgroup2 controllers.

use super::builder::SettingsBuilder;
use super::common::{check_swap, escape, invalid, nonzero, or_unlimited, throttles, unsupported};
use super::convert::{cpu_weight, io_weight};
use super::cpu_common::{burst, idle};
use super::setting::Setting;
use super::setting::WritePolicy::{IfSupported, KeepQuota, Required, RetryLast, Substitute};
use crate::bundle::spec::{BlockIo, Cpu, Memory};
use crate::cgroup::controller::Controller;
use crate::cgroup::version::CgroupVersion;
use crate::{Error, ErrorKind, Phase, Result};
use std::collections::BTreeMap;

/// Adds the memory limits.
pub(super) fn memory(b: &mut SettingsBuilder<'_>, m: &Memory) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V2, Controller::Memory);
    reject_v1_only(m)?;
    let limit = nonzero(m.limit);
    if let Some(swap) = swap_max(m)? {
        // A kernel without swap accounting has nothing to switch off or to leave unlimited.
        let policy = if swap == "max" || swap == "0" { IfSupported } else { Required };
        let pointer = if nonzero(m.swap).is_some() {
            "/linux/resources/memory/swap"
        } else {
            "/linux/resources/memory/limit"
        };
        b.push(AT, "memory.swap.max", swap, pointer, policy);
    }
    if let Some(limit) = limit {
        let value = or_unlimited(limit, "max");
        b.push(AT, "memory.max", value, "/linux/resources/memory/limit", Required);
        if m.check_before_update == Some(true) && limit > 0 {
            b.settings.checked_memory_limit = Some(limit as u64);
        }
    }
    if let Some(reservation) = nonzero(m.reservation) {
        let value = or_unlimited(reservation, "max");
        b.push(AT, "memory.low", value, "/linux/resources/memory/reservation", Required);
    }
    Ok(())
}

/// Rejects fields that exist on v1 only.
fn reject_v1_only(m: &Memory) -> Result<()> {
    if m.swappiness.is_some_and(|s| s != u64::MAX) {
        return Err(unsupported("/linux/resources/memory/swappiness", "cgroup v2 has no swappiness"));
    }
    if m.disable_oom_killer == Some(true) {
        return Err(unsupported(
            "/linux/resources/memory/disableOOMKiller",
            "the OOM killer cannot be disabled on cgroup v2",
        ));
    }
    Ok(())
}

/// The limit of swap alone from the v1 limit of memory and swap together.
fn swap_max(m: &Memory) -> Result<Option<String>> {
    check_swap(m)?;
    match (nonzero(m.limit), nonzero(m.swap)) {
        (Some(limit), None) if limit < 0 => Ok(Some("max".into())),
        (_, None) => Ok(None),
        (_, Some(swap)) if swap < 0 => Ok(Some("max".into())),
        (Some(limit), Some(swap)) if limit > 0 => Ok(Some((swap - limit).to_string())),
        _ => Err(invalid("/linux/resources/memory/swap", "unable to set swap limit without memory limit")),
    }
}

/// Adds the limits of CPU time.
pub(super) fn cpu(b: &mut SettingsBuilder<'_>, cpu: &Cpu) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V2, Controller::Cpu);
    let realtime = [
        (nonzero(cpu.realtime_runtime).is_some(), "realtimeRuntime"),
        (cpu.realtime_period.is_some_and(|p| p != 0), "realtimePeriod"),
    ];
    if let Some((_, field)) = realtime.into_iter().find(|(given, _)| *given) {
        let pointer = format!("/linux/resources/cpu/{field}");
        return Err(unsupported(pointer, "cgroup v2 does not limit real-time tasks"));
    }
    // Shares out of the range of v1 become the least or the greatest weight.
    if let Some(shares) = nonzero(cpu.shares) {
        b.push(AT, "cpu.weight", cpu_weight(shares), "/linux/resources/cpu/shares", RetryLast);
    }
    let quota = nonzero(cpu.quota);
    burst(b, AT, "cpu.max.burst", cpu, quota.is_some());
    let period = cpu.period.filter(|p| *p != 0);
    match (quota.map(|q| or_unlimited(q, "max")), period) {
        // The kernel keeps the period if there is no second word.
        (Some(quota), None) => {
            b.push(AT, "cpu.max", quota, "/linux/resources/cpu/quota", RetryLast);
        }
        (Some(quota), Some(period)) => {
            b.push(AT, "cpu.max", format!("{quota} {period}"), "/linux/resources/cpu/quota", RetryLast);
        }
        (None, Some(period)) => {
            b.push(AT, "cpu.max", period, "/linux/resources/cpu/period", KeepQuota);
        }
        (None, None) => {}
    }
    idle(b, AT, cpu);
    Ok(())
}

/// Adds the limits of block I/O.
pub(super) fn io(b: &mut SettingsBuilder<'_>, io: &BlockIo) -> Result<()> {
    const AT: (CgroupVersion, Controller) = (CgroupVersion::V2, Controller::Io);
    let no_leaf_weight = |pointer: String| unsupported(pointer, "cgroup v2 has no leaf weight");
    if io.leaf_weight.is_some_and(|w| w != 0) {
        return Err(no_leaf_weight("/linux/resources/blockIO/leafWeight".into()));
    }
    // io.bfq.weight has the scale of v1, io.weight does not.
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        let policy = Substitute("io.weight", io_weight(weight).to_string());
        b.push(AT, "io.bfq.weight", weight, "/linux/resources/blockIO/weight", policy);
    }
    for (i, d) in io.weight_device.iter().enumerate() {
        let at = format!("/linux/resources/blockIO/weightDevice/{i}");
        if d.leaf_weight.is_some_and(|w| w != 0) {
            return Err(no_leaf_weight(format!("{at}/leafWeight")));
        }
        if let Some(weight) = d.weight.filter(|w| *w != 0) {
            let policy = Substitute("io.weight", format!("{}:{} {}", d.major, d.minor, io_weight(weight)));
            let line = format!("{}:{} {weight}", d.major, d.minor);
            b.push(AT, "io.bfq.weight", line, format!("{at}/weight"), policy);
        }
    }
    for ((_, list, name), key) in throttles(io).into_iter().zip(["rbps", "wbps", "riops", "wiops"]) {
        for (i, d) in list.iter().enumerate() {
            // Zero means unlimited on v1.
            let rate = if d.rate == 0 { "max".to_owned() } else { d.rate.to_string() };
            let line = format!("{}:{} {key}={rate}", d.major, d.minor);
            b.push(AT, "io.max", line, format!("/linux/resources/blockIO/{name}/{i}"), Required);
        }
    }
    Ok(())
}

/// The error for a file of `unified` on a host with v1 hierarchies, in words that callers know.
fn only_v2(pointer: String, why: impl Into<String>) -> Error {
    let text = "invalid configuration: cannot use unified on cgroup v1";
    Error::new(ErrorKind::Unsupported, Phase::Cgroup, text).with_pointer(pointer).with_detail(why)
}

/// Files of the cgroup core that change the cgroup or its processes.
const NO_LIMITS: [(&str, &str); 5] = [
    (
        "cgroup.type",
        "a threaded cgroup has no limit of memory or I/O, and cannot have a container's processes",
    ),
    ("cgroup.procs", "a write moves a process into the cgroup"),
    ("cgroup.threads", "a write moves a process into the cgroup"),
    ("cgroup.kill", "a write kills the cgroup's processes"),
    ("cgroup.freeze", "`pause` and `resume` freeze and thaw a container"),
];

/// Adds the files of `unified`.
pub(super) fn unified(b: &mut SettingsBuilder<'_>, files: &BTreeMap<String, String>) -> Result<()> {
    for (file, value) in files {
        let pointer = format!("/linux/resources/unified/{}", escape(file));
        if b.layout.unified().is_none() {
            return Err(only_v2(pointer, "this host has no cgroup v2"));
        }
        let Some((prefix, _)) = file.split_once('.').filter(|_| !file.contains(['/', '\0'])) else {
            return Err(invalid(pointer, format!("{file:?} is not the name of a cgroup file")));
        };
        if let Some((_, why)) = NO_LIMITS.iter().find(|(name, _)| name == file) {
            return Err(unsupported(pointer, format!("{file} does not limit the cgroup: {why}")));
        }
        let controller = match prefix {
            "cgroup" => None,
            name => Some(Controller::from_name(name).filter(|c| c.v2_name() == name).ok_or_else(|| {
                unsupported(pointer.clone(), format!("{file:?} belongs to no known controller"))
            })?),
        };
        // A controller's limits exist only if it is available.
        if let Some(controller) = controller
            && !b.root_controllers()?.contains(controller)
        {
            let why = format!("controller {} is not available in cgroup v2", controller.v2_name());
            return Err(if b.layout.is_unified() {
                unsupported(pointer, why)
            } else {
                only_v2(pointer, why)
            });
        }
        for line in value.lines() {
            b.settings.entries.push(Setting {
                version: CgroupVersion::V2,
                controller,
                file: file.clone().into(),
                value: line.to_owned(),
                pointer: pointer.clone().into(),
                policy: Required,
            });
        }
    }
    Ok(())
}
