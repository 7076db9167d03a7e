//! Files of the cgroup2 controllers.

use super::super::controller::Controller;
use super::convert::{cpu_weight, io_weight};
use super::v1::{burst, check_swap, idle, set, shares, throttles};
use super::{Compiler, Rule, Setting, Side, escape, invalid, or_unlimited, unsupported};
use crate::Result;
use crate::bundle::spec::{BlockIo, Cpu, Memory};
use std::collections::BTreeMap;

pub(super) fn memory(c: &mut Compiler<'_>, m: &Memory) -> Result<()> {
    const AT: (Side, Controller) = (Side::V2, Controller::Memory);
    refuse_v1_only(m)?;
    let limit = set(m.limit);
    if let Some(swap) = swap_max(m)? {
        // Without swap in the kernel there is nothing to switch off or to leave unlimited.
        let rule = if swap == "max" || swap == "0" { Rule::IfExists } else { Rule::Strict };
        let pointer = if set(m.swap).is_some() {
            "/linux/resources/memory/swap"
        } else {
            "/linux/resources/memory/limit"
        };
        c.push(AT, "memory.swap.max", swap, pointer, rule);
    }
    if let Some(limit) = limit {
        let value = or_unlimited(limit, "max");
        c.push(AT, "memory.max", value, "/linux/resources/memory/limit", Rule::Strict);
        if m.check_before_update == Some(true) && limit > 0 {
            c.out.check_memory = Some(limit as u64);
        }
    }
    if let Some(reservation) = set(m.reservation) {
        let value = or_unlimited(reservation, "max");
        c.push(AT, "memory.low", value, "/linux/resources/memory/reservation", Rule::Strict);
    }
    Ok(())
}

fn refuse_v1_only(m: &Memory) -> Result<()> {
    if m.swappiness.is_some_and(|s| s != u64::MAX) {
        return Err(unsupported("/linux/resources/memory/swappiness", "cgroup v2 has no swappiness"));
    }
    if m.disable_oom_killer == Some(true) {
        return Err(unsupported(
            "/linux/resources/memory/disableOOMKiller",
            "the OOM killer cannot be disabled on cgroup v2",
        ));
    }
    if m.use_hierarchy == Some(false) {
        return Err(unsupported("/linux/resources/memory/useHierarchy", "cgroup v2 is always hierarchical"));
    }
    Ok(())
}

/// The v1 limit of memory and swap together as v2's limit of swap alone.
fn swap_max(m: &Memory) -> Result<Option<String>> {
    check_swap(m)?;
    match (set(m.limit), set(m.swap)) {
        (Some(limit), None) if limit < 0 => Ok(Some("max".into())),
        (_, None) => Ok(None),
        (_, Some(swap)) if swap < 0 => Ok(Some("max".into())),
        (Some(limit), Some(swap)) if limit > 0 => Ok(Some((swap - limit).to_string())),
        _ => Err(invalid("/linux/resources/memory/swap", "unable to set swap limit without memory limit")),
    }
}

pub(super) fn cpu(c: &mut Compiler<'_>, cpu: &Cpu) -> Result<()> {
    const AT: (Side, Controller) = (Side::V2, Controller::Cpu);
    let realtime = [
        (set(cpu.realtime_runtime).is_some(), "realtimeRuntime"),
        (cpu.realtime_period.is_some_and(|p| p != 0), "realtimePeriod"),
    ];
    if let Some((_, field)) = realtime.into_iter().find(|(given, _)| *given) {
        let pointer = format!("/linux/resources/cpu/{field}");
        return Err(unsupported(pointer, "cgroup v2 does not limit real-time tasks"));
    }
    if let Some(shares) = shares(cpu)? {
        c.push(AT, "cpu.weight", cpu_weight(shares), "/linux/resources/cpu/shares", Rule::Retry);
    }
    let quota = set(cpu.quota);
    burst(c, AT, "cpu.max.burst", cpu, quota.is_some());
    let period = cpu.period.filter(|p| *p != 0);
    match (quota.map(|q| or_unlimited(q, "max")), period) {
        // Without a second word the kernel keeps the period.
        (Some(quota), None) => c.push(AT, "cpu.max", quota, "/linux/resources/cpu/quota", Rule::Retry),
        (Some(quota), Some(period)) => {
            c.push(AT, "cpu.max", format!("{quota} {period}"), "/linux/resources/cpu/quota", Rule::Retry);
        }
        (None, Some(period)) => {
            c.push(AT, "cpu.max", period, "/linux/resources/cpu/period", Rule::KeepQuota);
        }
        (None, None) => {}
    }
    idle(c, AT, cpu);
    Ok(())
}

pub(super) fn io(c: &mut Compiler<'_>, io: &BlockIo) -> Result<()> {
    const AT: (Side, Controller) = (Side::V2, Controller::Io);
    let leaf = |pointer: String| unsupported(pointer, "cgroup v2 has no leaf weight");
    if io.leaf_weight.is_some_and(|w| w != 0) {
        return Err(leaf("/linux/resources/blockIO/leafWeight".into()));
    }
    // The BFQ scheduler takes the v1 scale; without it io.weight, with the scale converted.
    if let Some(weight) = io.weight.filter(|w| *w != 0) {
        let rule = Rule::Else("io.weight", io_weight(weight).to_string());
        c.push(AT, "io.bfq.weight", weight, "/linux/resources/blockIO/weight", rule);
    }
    for (i, d) in io.weight_device.iter().enumerate() {
        let at = format!("/linux/resources/blockIO/weightDevice/{i}");
        if d.leaf_weight.is_some_and(|w| w != 0) {
            return Err(leaf(format!("{at}/leafWeight")));
        }
        if let Some(weight) = d.weight.filter(|w| *w != 0) {
            let rule = Rule::Else("io.weight", format!("{}:{} {}", d.major, d.minor, io_weight(weight)));
            let line = format!("{}:{} {weight}", d.major, d.minor);
            c.push(AT, "io.bfq.weight", line, format!("{at}/weight"), rule);
        }
    }
    for ((_, list, name), key) in throttles(io).into_iter().zip(["rbps", "wbps", "riops", "wiops"]) {
        for (i, d) in list.iter().enumerate() {
            // Zero lifts the limit on v1.
            let rate = if d.rate == 0 { "max".to_owned() } else { d.rate.to_string() };
            let line = format!("{}:{} {key}={rate}", d.major, d.minor);
            c.push(AT, "io.max", line, format!("/linux/resources/blockIO/{name}/{i}"), Rule::Strict);
        }
    }
    Ok(())
}

pub(super) fn unified(c: &mut Compiler<'_>, files: &BTreeMap<String, String>) -> Result<()> {
    for (file, value) in files {
        let pointer = format!("/linux/resources/unified/{}", escape(file));
        if c.layout.unified().is_none() {
            return Err(unsupported(pointer, "unified resources need cgroup v2, and this host has v1 only"));
        }
        let Some((prefix, _)) = file.split_once('.').filter(|_| !file.contains(['/', '\0'])) else {
            return Err(invalid(pointer, format!("{file:?} is not the name of a cgroup file")));
        };
        let controller = match prefix {
            "cgroup" => None,
            name => Some(Controller::from_name(name).filter(|c| c.v2_name() == name).ok_or_else(|| {
                unsupported(pointer.clone(), format!("{file:?} belongs to no known controller"))
            })?),
        };
        // CPU statistics and pressure files exist without a controller; limits do not.
        if let Some(controller) = controller
            && !c.unified_controllers()?.contains(controller)
        {
            let why = format!("controller {} is not available in cgroup v2", controller.v2_name());
            return Err(unsupported(pointer, why));
        }
        for line in value.lines() {
            c.out.entries.push(Setting {
                side: Side::V2,
                controller,
                file: file.clone().into(),
                value: line.to_owned(),
                pointer: pointer.clone().into(),
                rule: Rule::Strict,
            });
        }
    }
    Ok(())
}
