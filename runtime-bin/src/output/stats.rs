//! Statistics in the format that readers of `events` expect: names and nesting, which fields are omitted if they are
//! zero, and "unlimited" as a number.

use orlop::cgroup::{self, Counter, IoEntry, Pressure, Stall};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// One line of `events`.
#[derive(Serialize)]
pub(crate) struct EventJson<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<StatsJson>,
}

/// The resource usage of a container.
#[derive(Serialize)]
pub(crate) struct StatsJson {
    cpu: CpuJson,
    cpuset: CpuSetJson,
    memory: MemoryJson,
    pids: PidsJson,
    blkio: BlkioJson,
    hugetlb: BTreeMap<String, HugetlbJson>,
    /// Nothing is measured, but readers expect the key.
    intel_rdt: EmptyJson,
    /// Engines create the interfaces, not this runtime.
    network_interfaces: Option<()>,
}

#[derive(Serialize)]
struct EmptyJson {}

#[derive(Serialize)]
struct CpuJson {
    usage: CpuUsageJson,
    throttling: ThrottlingJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiJson>,
}

#[derive(Serialize)]
struct CpuUsageJson {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ThrottlingJson {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

#[derive(Serialize)]
struct CpuSetJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u32>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u32>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Default, Serialize)]
struct MemoryJson {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    usage: MemoryEntryJson,
    swap: MemoryEntryJson,
    kernel: MemoryEntryJson,
    #[serde(rename = "kernelTCP")]
    kernel_tcp: MemoryEntryJson,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    /// `memory.events` of cgroup v2.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    events: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiJson>,
}

#[derive(Default, Serialize)]
struct MemoryEntryJson {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Default, Serialize)]
struct PidsJson {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct BlkioJson {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_queue_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<BlkioEntryJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiJson>,
}

#[derive(Serialize)]
struct BlkioEntryJson {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    op: String,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

#[derive(Serialize)]
struct HugetlbJson {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

#[derive(Serialize)]
struct PsiJson {
    some: PsiDataJson,
    full: PsiDataJson,
}

#[derive(Serialize)]
struct PsiDataJson {
    #[serde(serialize_with = "without_zero_fraction")]
    avg10: f64,
    #[serde(serialize_with = "without_zero_fraction")]
    avg60: f64,
    #[serde(serialize_with = "without_zero_fraction")]
    avg300: f64,
    total: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A number, without a fraction if it is whole.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde requires")]
fn without_zero_fraction<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

impl From<&cgroup::Stats> for StatsJson {
    fn from(stats: &cgroup::Stats) -> Self {
        Self {
            cpu: cpu(stats.cpu.as_ref()),
            cpuset: cpuset(stats.cpuset.as_ref()),
            memory: stats.memory.as_ref().map(memory).unwrap_or_default(),
            pids: stats.pids.map_or_else(PidsJson::default, |pids| PidsJson {
                current: pids.current,
                limit: pids.limit.unwrap_or(0),
            }),
            blkio: stats.io.as_ref().map(blkio).unwrap_or_default(),
            hugetlb: stats.hugetlb.iter().map(|(size, pages)| (size.clone(), hugetlb(pages))).collect(),
            intel_rdt: EmptyJson {},
            network_interfaces: None,
        }
    }
}

fn cpu(stats: Option<&cgroup::CpuStats>) -> CpuJson {
    let stats = stats.cloned().unwrap_or_default();
    let throttling = stats.throttling.unwrap_or_default();
    CpuJson {
        usage: CpuUsageJson {
            total: stats.usage,
            percpu: stats.per_cpu,
            percpu_kernel: stats.per_cpu_system,
            percpu_user: stats.per_cpu_user,
            kernel: stats.system,
            user: stats.user,
        },
        throttling: ThrottlingJson {
            periods: throttling.periods,
            throttled_periods: throttling.throttled_periods,
            throttled_time: throttling.throttled,
        },
        psi: stats.pressure.map(psi),
    }
}

fn cpuset(stats: Option<&cgroup::CpuSetStats>) -> CpuSetJson {
    let stats = stats.cloned().unwrap_or_default();
    CpuSetJson {
        cpus: stats.cpus,
        cpu_exclusive: stats.cpu_exclusive,
        mems: stats.mems,
        mem_hardwall: stats.mem_hardwall,
        mem_exclusive: stats.mem_exclusive,
        memory_migrate: stats.memory_migrate,
        memory_spread_page: stats.memory_spread_page,
        memory_spread_slab: stats.memory_spread_slab,
        memory_pressure: stats.memory_pressure,
        sched_load_balance: stats.sched_load_balance,
        sched_relax_domain_level: stats.sched_relax_domain_level,
    }
}

fn memory(stats: &cgroup::MemoryStats) -> MemoryJson {
    // Only cgroup v2 counts swap separately. Each version has its own number for "unlimited".
    let is_v2 = stats.memory_and_swap.is_none() && !stats.events.is_empty();
    let unlimited = if is_v2 { u64::MAX } else { v1_unlimited() };
    let entry = |counter: Counter| MemoryEntryJson {
        limit: counter.limit.unwrap_or(unlimited),
        usage: counter.usage,
        max: counter.peak.unwrap_or(0),
        failcnt: counter.failures,
    };
    let some = |counter: Option<Counter>| counter.map(entry).unwrap_or_default();
    // Memory and swap together, as on cgroup v1.
    let both = stats.swap.map(|mut both| {
        both.usage += stats.memory.usage;
        both.limit = both.limit.zip(stats.memory.limit).map(|(swap, memory)| swap + memory);
        both.peak = None;
        both
    });
    MemoryJson {
        cache: stats.cache,
        usage: entry(stats.memory),
        swap: some(stats.memory_and_swap.or(both)),
        kernel: some(stats.kernel),
        kernel_tcp: some(stats.kernel_tcp),
        raw: stats.stat.clone(),
        events: stats.events.clone(),
        psi: stats.pressure.map(psi),
    }
}

/// The largest whole number of pages, in bytes.
fn v1_unlimited() -> u64 {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    let max = i64::MAX;
    (max - max % page.max(1)) as u64
}

fn blkio(stats: &cgroup::IoStats) -> BlkioJson {
    let table = |entries: &[IoEntry]| -> Vec<BlkioEntryJson> {
        let entry = |e: &IoEntry| BlkioEntryJson {
            major: e.major.into(),
            minor: e.minor.into(),
            op: e.operation.clone(),
            value: e.value,
        };
        entries.iter().map(entry).collect()
    };
    let tables = &stats.tables;
    let mut blkio = BlkioJson {
        io_service_bytes_recursive: table(&tables.service_bytes),
        io_serviced_recursive: table(&tables.serviced),
        io_queue_recursive: table(&tables.queued),
        io_service_time_recursive: table(&tables.service_time),
        io_wait_time_recursive: table(&tables.wait_time),
        io_merged_recursive: table(&tables.merged),
        io_time_recursive: table(&tables.time),
        sectors_recursive: table(&tables.sectors),
        psi: stats.pressure.map(psi),
    };
    if tables.serviced.is_empty() {
        // cgroup v2 has one line per device; readers expect the tables of v1.
        for device in &stats.devices {
            let entry = |op: &str, value| BlkioEntryJson {
                major: device.major.into(),
                minor: device.minor.into(),
                op: op.to_owned(),
                value,
            };
            blkio.io_service_bytes_recursive.push(entry("Read", device.read_bytes));
            blkio.io_service_bytes_recursive.push(entry("Write", device.write_bytes));
            blkio.io_serviced_recursive.push(entry("Read", device.reads));
            blkio.io_serviced_recursive.push(entry("Write", device.writes));
        }
    }
    blkio
}

fn hugetlb(pages: &cgroup::HugeTlbStats) -> HugetlbJson {
    // A limit applies to reservations, if the kernel counts them.
    let counter = pages.reserved.unwrap_or(pages.used);
    HugetlbJson { usage: counter.usage, max: counter.peak.unwrap_or(0), failcnt: counter.failures }
}

fn psi(pressure: Pressure) -> PsiJson {
    let data = |s: Stall| PsiDataJson { avg10: s.avg10, avg60: s.avg60, avg300: s.avg300, total: s.total };
    PsiJson { some: data(pressure.some), full: data(pressure.full.unwrap_or_default()) }
}
