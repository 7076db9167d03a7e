//! Reads the statistics from the files of either version.

use super::cpuset::{cpuset_v1, cpuset_v2};
use super::parse::{blkio, devices, flat, io_stat, nested, pressure, usage_all};
use super::types::{
    Counter, CpuStats, HugeTlbStats, IoStats, IoTables, MemoryStats, PidsStats, Pressure, RdmaStats, Stats,
    Throttling,
};
use crate::cgroup::controller::Controller;
use crate::cgroup::dir::{Dir, DirRef};
use crate::cgroup::file::{V1_UNLIMITED, is_gone_errno, parse_number};
use crate::cgroup::record::CgroupRecord;
use crate::cgroup::walk::{self, walk};
use crate::{Error, ErrorKind, Phase, Result};
use std::collections::BTreeMap;

/// Measures a cgroup. Files that the kernel does not have are left out.
pub(in crate::cgroup) fn read(record: &CgroupRecord) -> Result<Stats> {
    let v2 = record.unified.as_deref().map(Dir::open_if_exists).transpose()?.flatten();
    let v2 = v2.as_ref().map(Dir::at);
    let find = |c| record.v1_of(c).map_or(Ok(None), Dir::open_if_exists);
    let (acct, cpu, cpuset) = (find(Controller::CpuAcct)?, find(Controller::Cpu)?, find(Controller::CpuSet)?);
    let (memory, io) = (find(Controller::Memory)?, find(Controller::Io)?);
    let either = |c| Ok::<_, Error>(find(c)?.map_or(v2.map(VersionDir::V2), |dir| Some(VersionDir::V1(dir))));
    Ok(Stats {
        cpu: match (&acct, v2) {
            (Some(acct), _) => Some(cpu_v1(acct.at(), cpu.as_ref().map(Dir::at))?),
            (None, Some(d)) => cpu_v2(d)?,
            (None, None) => None,
        },
        cpuset: match (&cpuset, v2) {
            (Some(d), _) => Some(cpuset_v1(d.at())?),
            (None, Some(d)) => cpuset_v2(d)?,
            (None, None) => None,
        },
        memory: match (&memory, v2) {
            (Some(d), _) => memory_v1(d.at())?,
            (None, Some(d)) => memory_v2(d)?,
            (None, None) => None,
        },
        pids: either(Controller::Pids)?.map_or(Ok(None), |d| pids(d.at()))?,
        io: match (&io, v2) {
            (Some(d), _) => Some(io_v1(d.at())?),
            (None, Some(d)) => io_v2(d)?,
            (None, None) => None,
        },
        hugetlb: either(Controller::HugeTlb)?.map_or(Ok(BTreeMap::new()), |d| hugetlb(d.at()))?,
        rdma: either(Controller::Rdma)?.map_or(Ok(BTreeMap::new()), |d| rdma(d.at()))?,
    })
}

/// An error with the memory limit and the usage, if the OOM killer has killed a process of the cgroup.
pub(in crate::cgroup) fn out_of_memory(record: &CgroupRecord) -> Result<Option<Error>> {
    let v1 = record.v1_of(Controller::Memory);
    let Some(directory) = v1.or(record.unified.as_deref()) else { return Ok(None) };
    let Some(dir) = Dir::open_if_exists(directory)? else { return Ok(None) };
    let memory = if v1.is_some() { memory_v1(dir.at())? } else { memory_v2(dir.at())? };
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

/// The directory of a controller: one in its v1 hierarchy, or the cgroup2 directory, which is open already.
enum VersionDir<'a> {
    V1(Dir),
    V2(DirRef<'a>),
}

impl VersionDir<'_> {
    fn at(&self) -> DirRef<'_> {
        match self {
            Self::V1(dir) => dir.at(),
            Self::V2(dir) => *dir,
        }
    }
}

/// A file with lines of `name number`.
fn read_flat(cgroup: DirRef<'_>, file: &str) -> Result<Option<BTreeMap<String, u64>>> {
    Ok(cgroup.text(file)?.map(|t| flat(&t)))
}

/// A file with pressure stall information.
fn read_pressure(cgroup: DirRef<'_>, file: &str) -> Result<Option<Pressure>> {
    Ok(cgroup.text(file)?.and_then(|t| pressure(&t)))
}

/// The limit, unless it is so large that it means "unlimited".
fn limit(value: Option<u64>) -> Option<u64> {
    value.filter(|v| *v < V1_UNLIMITED)
}

fn cpu_v1(acct: DirRef<'_>, cpu: Option<DirRef<'_>>) -> Result<CpuStats> {
    let get = |file| Ok::<_, Error>(acct.number(file)?.unwrap_or(0));
    let per_cpu = acct.text("cpuacct.usage_percpu")?.unwrap_or_default();
    let all = acct.text("cpuacct.usage_all")?.unwrap_or_default();
    let (per_cpu_user, per_cpu_system) = usage_all(&all);
    let throttling = match cpu {
        Some(cpu) => read_flat(cpu, "cpu.stat")?.map(|s| throttling(&s, "throttled_time", "burst_time", 1)),
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

fn cpu_v2(cgroup: DirRef<'_>) -> Result<Option<CpuStats>> {
    let Some(stat) = read_flat(cgroup, "cpu.stat")? else { return Ok(None) };
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
        pressure: read_pressure(cgroup, "cpu.pressure")?,
    }))
}

fn counter_v1(cgroup: DirRef<'_>, prefix: &str) -> Result<Option<Counter>> {
    let file = |name: &str| cgroup.number(&format!("{prefix}.{name}"));
    let Some(usage) = file("usage_in_bytes")? else { return Ok(None) };
    Ok(Some(Counter {
        usage,
        peak: file("max_usage_in_bytes")?,
        limit: limit(file("limit_in_bytes")?),
        failures: file("failcnt")?.unwrap_or(0),
    }))
}

fn memory_v1(cgroup: DirRef<'_>) -> Result<Option<MemoryStats>> {
    let Some(memory) = counter_v1(cgroup, "memory")? else { return Ok(None) };
    let stat = read_flat(cgroup, "memory.stat")?.unwrap_or_default();
    Ok(Some(MemoryStats {
        memory,
        swap: None,
        memory_and_swap: counter_v1(cgroup, "memory.memsw")?,
        kernel: counter_v1(cgroup, "memory.kmem")?,
        kernel_tcp: counter_v1(cgroup, "memory.kmem.tcp")?,
        cache: stat.get("total_cache").or_else(|| stat.get("cache")).copied().unwrap_or(0),
        oom_kills: oom_kills_v1(cgroup)?,
        events: BTreeMap::new(),
        stat,
        pressure: None,
    }))
}

/// v1 counts OOM kills in the cgroup of the victim, which may be a descendant.
fn oom_kills_v1(cgroup: DirRef<'_>) -> Result<Option<u64>> {
    let mut all: Option<u64> = None;
    walk(cgroup, walk::WALK_TIMEOUT, &mut |below: DirRef<'_>| {
        let kills = read_flat(below, "memory.oom_control")?.and_then(|m| m.get("oom_kill").copied());
        all = kills.map(|n| n.saturating_add(all.unwrap_or(0))).or(all);
        Ok(())
    })?;
    Ok(all)
}

fn memory_v2(cgroup: DirRef<'_>) -> Result<Option<MemoryStats>> {
    let Some(usage) = cgroup.number("memory.current")? else { return Ok(None) };
    let stat = read_flat(cgroup, "memory.stat")?.unwrap_or_default();
    let events = read_flat(cgroup, "memory.events")?.unwrap_or_default();
    let swap = match cgroup.number("memory.swap.current")? {
        Some(usage) => Some(Counter {
            usage,
            peak: cgroup.number("memory.swap.peak")?,
            limit: limit(cgroup.number("memory.swap.max")?),
            failures: read_flat(cgroup, "memory.swap.events")?
                .and_then(|e| e.get("max").copied())
                .unwrap_or(0),
        }),
        None => None,
    };
    Ok(Some(MemoryStats {
        memory: Counter {
            usage,
            peak: cgroup.number("memory.peak")?,
            limit: limit(cgroup.number("memory.max")?),
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
        pressure: read_pressure(cgroup, "memory.pressure")?,
    }))
}

fn pids(cgroup: DirRef<'_>) -> Result<Option<PidsStats>> {
    let Some(current) = cgroup.number("pids.current")? else { return Ok(None) };
    Ok(Some(PidsStats { current, limit: cgroup.number("pids.max")?.filter(|v| *v != u64::MAX) }))
}

fn io_v1(cgroup: DirRef<'_>) -> Result<IoStats> {
    let mut tables = IoTables::default();
    for scheduler in ["blkio.bfq.", "blkio.", "blkio.throttle."] {
        let table = |name: &str| {
            let file = format!("{scheduler}{name}_recursive");
            Ok::<_, Error>(blkio(&cgroup.text(&file)?.unwrap_or_default()))
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

fn io_v2(cgroup: DirRef<'_>) -> Result<Option<IoStats>> {
    let Some(stat) = cgroup.text("io.stat")? else { return Ok(None) };
    Ok(Some(IoStats {
        devices: io_stat(&stat),
        tables: IoTables::default(),
        pressure: read_pressure(cgroup, "io.pressure")?,
    }))
}

fn hugetlb(cgroup: DirRef<'_>) -> Result<BTreeMap<String, HugeTlbStats>> {
    let mut found = BTreeMap::new();
    let names = match cgroup.file_names() {
        Err(e) if is_gone_errno(e) => return Ok(found),
        other => other.map_err(|e| cgroup.failed("read", "", e))?,
    };
    for name in names {
        let Some(rest) = name.strip_prefix("hugetlb.") else { continue };
        let Some((size, last)) = rest.split_once('.') else { continue };
        if !matches!(last, "usage_in_bytes" | "current") {
            continue;
        }
        let counter = |prefix: &str| match last {
            "current" => hugetlb_v2(cgroup, prefix),
            _ => counter_v1(cgroup, prefix),
        };
        if let Some(used) = counter(&format!("hugetlb.{size}"))? {
            let reserved = counter(&format!("hugetlb.{size}.rsvd"))?;
            found.insert(size.to_owned(), HugeTlbStats { used, reserved });
        }
    }
    Ok(found)
}

fn hugetlb_v2(cgroup: DirRef<'_>, prefix: &str) -> Result<Option<Counter>> {
    let Some(usage) = cgroup.number(&format!("{prefix}.current"))? else { return Ok(None) };
    let events = read_flat(cgroup, &format!("{prefix}.events"))?.unwrap_or_default();
    Ok(Some(Counter {
        usage,
        peak: None,
        limit: limit(cgroup.number(&format!("{prefix}.max"))?),
        failures: events.get("max").copied().unwrap_or(0),
    }))
}

fn rdma(cgroup: DirRef<'_>) -> Result<BTreeMap<String, RdmaStats>> {
    let Some(current) = cgroup.text("rdma.current")? else { return Ok(BTreeMap::new()) };
    let max = cgroup.text("rdma.max")?.unwrap_or_default();
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
