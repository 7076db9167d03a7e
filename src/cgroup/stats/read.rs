//! Reading the statistics from the files of either version.

use super::cpuset::{cpuset_v1, cpuset_v2};
use super::parse::{blkio, devices, flat, io_stat, nested, pressure, usage_all};
use super::{
    Counter, CpuStats, HugeTlbStats, IoStats, IoTables, MemoryStats, PidsStats, Pressure, RdmaStats, Stats,
    Throttling,
};
use crate::cgroup::controller::Controller;
use crate::cgroup::create::Cgroup;
use crate::cgroup::file::{failed, number, parse_number, text};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::path::Path;

/// v1 spells "unlimited" as the largest number of whole pages, whatever the page's size.
const V1_UNLIMITED: u64 = (i64::MAX as u64) & !0xffff;

impl Cgroup {
    /// Measures the cgroup.
    ///
    /// # Errors
    /// That a file cannot be read; one that the kernel does not have is none.
    pub fn stats(&self) -> Result<Stats> {
        let v2 = self.record().unified.as_deref();
        let v1 = |c| self.record().v1_of(c);
        Ok(Stats {
            cpu: match (v1(Controller::CpuAcct), v2) {
                (Some(acct), _) => Some(cpu_v1(acct, v1(Controller::Cpu))?),
                (None, Some(d)) => cpu_v2(d)?,
                (None, None) => None,
            },
            cpuset: match (v1(Controller::CpuSet), v2) {
                (Some(d), _) => Some(cpuset_v1(d)?),
                (None, Some(d)) => cpuset_v2(d)?,
                (None, None) => None,
            },
            memory: match (v1(Controller::Memory), v2) {
                (Some(d), _) => memory_v1(d)?,
                (None, Some(d)) => memory_v2(d)?,
                (None, None) => None,
            },
            pids: v1(Controller::Pids).or(v2).map_or(Ok(None), pids)?,
            io: match (v1(Controller::Io), v2) {
                (Some(d), _) => Some(io_v1(d)?),
                (None, Some(d)) => io_v2(d)?,
                (None, None) => None,
            },
            hugetlb: v1(Controller::HugeTlb).or(v2).map_or(Ok(BTreeMap::new()), hugetlb)?,
            rdma: v1(Controller::Rdma).or(v2).map_or(Ok(BTreeMap::new()), rdma)?,
        })
    }

    /// Why a process of the cgroup may have been killed: an error with the limit and the usage where
    /// the OOM killer has been at work, for a caller who has just lost one.
    ///
    /// # Errors
    /// That a file cannot be read.
    pub fn out_of_memory(&self) -> Result<Option<Error>> {
        let v1 = self.record().v1_of(Controller::Memory);
        let Some(directory) = v1.or(self.record().unified.as_deref()) else { return Ok(None) };
        let memory = if v1.is_some() { memory_v1(directory)? } else { memory_v2(directory)? };
        let Some(memory) = memory.filter(|m| m.oom_kills.unwrap_or(m.memory.failures) > 0) else {
            return Ok(None);
        };
        let Some(limit) = memory.memory.limit else { return Ok(None) };
        let peak = memory.memory.peak.map_or_else(String::new, |p| format!(", peak usage: {p}"));
        let sentence = format!(
            "unable to set memory limit to {limit} (current usage: {}{peak}): out of memory, the process was killed",
            memory.memory.usage
        );
        Ok(Some(
            Error::new(ErrorKind::System, Phase::Cgroup, sentence)
                .with_pointer("/linux/resources/memory/limit")
                .with_hint("the memory limit is too low"),
        ))
    }
}

fn map(directory: &Path, file: &str) -> Result<Option<BTreeMap<String, u64>>> {
    Ok(text(directory, file)?.map(|t| flat(&t)))
}

fn pressure_of(directory: &Path, file: &str) -> Result<Option<Pressure>> {
    Ok(text(directory, file)?.and_then(|t| pressure(&t)))
}

fn limit(value: Option<u64>) -> Option<u64> {
    value.filter(|v| *v < V1_UNLIMITED)
}

fn cpu_v1(acct: &Path, cpu: Option<&Path>) -> Result<CpuStats> {
    let get = |file| Ok::<_, Error>(number(acct, file)?.unwrap_or(0));
    let per_cpu = text(acct, "cpuacct.usage_percpu")?.unwrap_or_default();
    let all = text(acct, "cpuacct.usage_all")?.unwrap_or_default();
    let (per_cpu_user, per_cpu_system) = usage_all(&all);
    let throttling = match cpu {
        Some(directory) => {
            map(directory, "cpu.stat")?.map(|s| throttling(&s, "throttled_time", "burst_time", 1))
        }
        None => None,
    };
    Ok(CpuStats {
        usage: get("cpuacct.usage")?,
        user: get("cpuacct.usage_user")?,
        system: get("cpuacct.usage_sys")?,
        per_cpu: per_cpu.split_ascii_whitespace().filter_map(parse_number).collect(),
        per_cpu_user,
        per_cpu_system,
        throttling,
        pressure: None,
    })
}

fn throttling(stat: &BTreeMap<String, u64>, throttled: &str, burst: &str, unit: u64) -> Throttling {
    let get = |key: &str| stat.get(key).copied().unwrap_or(0);
    Throttling {
        periods: get("nr_periods"),
        throttled_periods: get("nr_throttled"),
        throttled: get(throttled).saturating_mul(unit),
        bursts: get("nr_bursts"),
        burst: get(burst).saturating_mul(unit),
    }
}

fn cpu_v2(directory: &Path) -> Result<Option<CpuStats>> {
    let Some(stat) = map(directory, "cpu.stat")? else { return Ok(None) };
    let get = |key: &str| stat.get(key).copied().unwrap_or(0).saturating_mul(1000);
    Ok(Some(CpuStats {
        usage: get("usage_usec"),
        user: get("user_usec"),
        system: get("system_usec"),
        per_cpu: Vec::new(),
        per_cpu_user: Vec::new(),
        per_cpu_system: Vec::new(),
        throttling: stat
            .contains_key("nr_periods")
            .then(|| throttling(&stat, "throttled_usec", "burst_usec", 1000)),
        pressure: pressure_of(directory, "cpu.pressure")?,
    }))
}

fn counter_v1(directory: &Path, prefix: &str) -> Result<Option<Counter>> {
    let file = |name: &str| number(directory, &format!("{prefix}.{name}"));
    let Some(usage) = file("usage_in_bytes")? else { return Ok(None) };
    Ok(Some(Counter {
        usage,
        peak: file("max_usage_in_bytes")?,
        limit: limit(file("limit_in_bytes")?),
        failures: file("failcnt")?.unwrap_or(0),
    }))
}

fn memory_v1(directory: &Path) -> Result<Option<MemoryStats>> {
    let Some(memory) = counter_v1(directory, "memory")? else { return Ok(None) };
    let stat = map(directory, "memory.stat")?.unwrap_or_default();
    Ok(Some(MemoryStats {
        memory,
        swap: None,
        memory_and_swap: counter_v1(directory, "memory.memsw")?,
        kernel: counter_v1(directory, "memory.kmem")?,
        kernel_tcp: counter_v1(directory, "memory.kmem.tcp")?,
        cache: stat.get("total_cache").or_else(|| stat.get("cache")).copied().unwrap_or(0),
        oom_kills: map(directory, "memory.oom_control")?.and_then(|m| m.get("oom_kill").copied()),
        events: BTreeMap::new(),
        stat,
        pressure: None,
    }))
}

fn memory_v2(directory: &Path) -> Result<Option<MemoryStats>> {
    let Some(usage) = number(directory, "memory.current")? else { return Ok(None) };
    let stat = map(directory, "memory.stat")?.unwrap_or_default();
    let events = map(directory, "memory.events")?.unwrap_or_default();
    let swap = match number(directory, "memory.swap.current")? {
        Some(usage) => Some(Counter {
            usage,
            peak: number(directory, "memory.swap.peak")?,
            limit: limit(number(directory, "memory.swap.max")?),
            failures: map(directory, "memory.swap.events")?.and_then(|e| e.get("max").copied()).unwrap_or(0),
        }),
        None => None,
    };
    Ok(Some(MemoryStats {
        memory: Counter {
            usage,
            peak: number(directory, "memory.peak")?,
            limit: limit(number(directory, "memory.max")?),
            failures: events.get("max").copied().unwrap_or(0),
        },
        swap,
        memory_and_swap: None,
        kernel: stat.get("kernel").map(|usage| Counter { usage: *usage, ..Counter::default() }),
        kernel_tcp: None,
        cache: stat.get("file").copied().unwrap_or(0),
        oom_kills: events.get("oom_kill").copied(),
        events,
        stat,
        pressure: pressure_of(directory, "memory.pressure")?,
    }))
}

fn pids(directory: &Path) -> Result<Option<PidsStats>> {
    let Some(current) = number(directory, "pids.current")? else { return Ok(None) };
    Ok(Some(PidsStats { current, limit: number(directory, "pids.max")?.filter(|v| *v != u64::MAX) }))
}

fn io_v1(directory: &Path) -> Result<IoStats> {
    let mut tables = IoTables::default();
    for scheduler in ["blkio.bfq.", "blkio.", "blkio.throttle."] {
        let table = |name: &str| {
            let file = format!("{scheduler}{name}_recursive");
            Ok::<_, Error>(blkio(&text(directory, &file)?.unwrap_or_default()))
        };
        tables = IoTables {
            service_bytes: table("io_service_bytes")?,
            serviced: table("io_serviced")?,
            ..IoTables::default()
        };
        if tables.serviced.is_empty() {
            continue;
        }
        if scheduler != "blkio.throttle." {
            tables.queued = table("io_queued")?;
            tables.service_time = table("io_service_time")?;
            tables.wait_time = table("io_wait_time")?;
            tables.merged = table("io_merged")?;
            tables.time = table("time")?;
            tables.sectors = table("sectors")?;
        }
        break;
    }
    let devices = devices(&tables.service_bytes, &tables.serviced);
    Ok(IoStats { devices, tables, pressure: None })
}

fn io_v2(directory: &Path) -> Result<Option<IoStats>> {
    let Some(stat) = text(directory, "io.stat")? else { return Ok(None) };
    Ok(Some(IoStats {
        devices: io_stat(&stat),
        tables: IoTables::default(),
        pressure: pressure_of(directory, "io.pressure")?,
    }))
}

fn hugetlb(directory: &Path) -> Result<BTreeMap<String, HugeTlbStats>> {
    let mut found = BTreeMap::new();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) => {
            return Err(failed(
                "read",
                directory,
                "",
                Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)),
            ));
        }
    };
    for name in entries.flatten().filter_map(|e| e.file_name().into_string().ok()) {
        let Some(rest) = name.strip_prefix("hugetlb.") else { continue };
        let Some((size, last)) = rest.split_once('.') else { continue };
        if !matches!(last, "usage_in_bytes" | "current") {
            continue;
        }
        let counter = |prefix: &str| match last {
            "current" => hugetlb_v2(directory, prefix),
            _ => counter_v1(directory, prefix),
        };
        if let Some(used) = counter(&format!("hugetlb.{size}"))? {
            let reserved = counter(&format!("hugetlb.{size}.rsvd"))?;
            found.insert(size.to_owned(), HugeTlbStats { used, reserved });
        }
    }
    Ok(found)
}

fn hugetlb_v2(directory: &Path, prefix: &str) -> Result<Option<Counter>> {
    let Some(usage) = number(directory, &format!("{prefix}.current"))? else { return Ok(None) };
    let events = map(directory, &format!("{prefix}.events"))?.unwrap_or_default();
    Ok(Some(Counter {
        usage,
        peak: None,
        limit: limit(number(directory, &format!("{prefix}.max"))?),
        failures: events.get("max").copied().unwrap_or(0),
    }))
}

fn rdma(directory: &Path) -> Result<BTreeMap<String, RdmaStats>> {
    let Some(current) = text(directory, "rdma.current")? else { return Ok(BTreeMap::new()) };
    let max = text(directory, "rdma.max")?.unwrap_or_default();
    let mut found: BTreeMap<String, RdmaStats> = BTreeMap::new();
    for (device, values) in nested(&current) {
        let entry = found.entry(device.to_owned()).or_default();
        entry.handles = values.get("hca_handle").copied().unwrap_or(0);
        entry.objects = values.get("hca_object").copied().unwrap_or(0);
    }
    for (device, values) in nested(&max) {
        let entry = found.entry(device.to_owned()).or_default();
        let value = |key| values.get(key).copied().filter(|v| *v != u64::MAX);
        entry.handles_limit = value("hca_handle");
        entry.objects_limit = value("hca_object");
    }
    Ok(found)
}
