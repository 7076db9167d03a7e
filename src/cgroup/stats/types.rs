//! The statistics of a cgroup.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A measurement of a cgroup. A part is `None` (or empty) if the cgroup lacks the controller. Times are in nanoseconds,
/// amounts in bytes, unless documented otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time.
    pub cpu: Option<CpuStats>,
    /// Processors and memory nodes that may be used.
    pub cpuset: Option<CpuSetStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Tasks.
    pub pids: Option<PidsStats>,
    /// Block devices.
    pub io: Option<IoStats>,
    /// Huge pages by size (`2MB`).
    pub hugetlb: BTreeMap<String, HugeTlbStats>,
    /// RDMA devices by name.
    pub rdma: BTreeMap<String, RdmaStats>,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// Total.
    pub usage: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// Total by processor (v1 only).
    pub per_cpu: Vec<u64>,
    /// In user mode, by processor (v1 only).
    pub per_cpu_user: Vec<u64>,
    /// In the kernel, by processor (v1 only).
    pub per_cpu_system: Vec<u64>,
    /// Throttling by the quota, if there is a cpu controller.
    pub throttling: Option<Throttling>,
    /// Pressure (cgroup2 with PSI).
    pub pressure: Option<Pressure>,
}

/// Throttling by a CPU quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Throttling {
    /// Elapsed periods.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time in which processes were throttled.
    pub throttled: u64,
    /// Periods in which a burst was used.
    pub bursts: u64,
    /// Time that bursts used beyond the quota.
    pub burst: u64,
}

/// Processors and memory nodes. The switches exist on v1 only: cgroups(7), cpuset(7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CpuSetStats {
    /// The processors' numbers.
    pub cpus: Vec<u32>,
    /// The memory nodes' numbers.
    pub mems: Vec<u32>,
    /// `cpuset.cpu_exclusive`
    pub cpu_exclusive: u64,
    /// `cpuset.mem_hardwall`
    pub mem_hardwall: u64,
    /// `cpuset.mem_exclusive`
    pub mem_exclusive: u64,
    /// `cpuset.memory_migrate`
    pub memory_migrate: u64,
    /// `cpuset.memory_spread_page`
    pub memory_spread_page: u64,
    /// `cpuset.memory_spread_slab`
    pub memory_spread_slab: u64,
    /// `cpuset.memory_pressure`
    pub memory_pressure: u64,
    /// `cpuset.sched_load_balance`
    pub sched_load_balance: u64,
    /// `cpuset.sched_relax_domain_level`
    pub sched_relax_domain_level: i64,
}

/// A counter with a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counter {
    /// Current value.
    pub usage: u64,
    /// Maximum, if the kernel records it.
    pub peak: Option<u64>,
    /// The limit; `None`: unlimited.
    pub limit: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Memory without swap.
    pub memory: Counter,
    /// Swap alone (cgroup2).
    pub swap: Option<Counter>,
    /// Memory and swap together (v1).
    pub memory_and_swap: Option<Counter>,
    /// Kernel memory (v1; on cgroup2 only its usage).
    pub kernel: Option<Counter>,
    /// TCP buffers (v1).
    pub kernel_tcp: Option<Counter>,
    /// Page cache.
    pub cache: u64,
    /// Processes that the OOM killer has killed, if the kernel counts them.
    pub oom_kills: Option<u64>,
    /// `memory.events` (cgroup2; empty on v1): low, high, max, oom, oom_kill, oom_group_kill.
    pub events: BTreeMap<String, u64>,
    /// The lines of `memory.stat`.
    pub stat: BTreeMap<String, u64>,
    /// Pressure (cgroup2 with PSI).
    pub pressure: Option<Pressure>,
}

/// Tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// Current number of tasks.
    pub current: u64,
    /// The limit; `None`: unlimited.
    pub limit: Option<u64>,
}

/// Block devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IoStats {
    /// By device, sorted by number.
    pub devices: Vec<IoDevice>,
    /// The tables of v1.
    pub tables: IoTables,
    /// Pressure (cgroup2 with PSI).
    pub pressure: Option<Pressure>,
}

/// One block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IoDevice {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Bytes discarded.
    pub discard_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
    /// Discards.
    pub discards: u64,
}

/// The recursive tables of the v1 `blkio` controller: those of the BFQ scheduler if it is used, otherwise those of the
/// throttling layer, which only has the first two. Empty on cgroup2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IoTables {
    /// Bytes.
    pub service_bytes: Vec<IoEntry>,
    /// Operations.
    pub serviced: Vec<IoEntry>,
    /// Queued operations.
    pub queued: Vec<IoEntry>,
    /// Time between dispatch and completion.
    pub service_time: Vec<IoEntry>,
    /// Time in queues.
    pub wait_time: Vec<IoEntry>,
    /// Operations merged with others.
    pub merged: Vec<IoEntry>,
    /// Disk time, in milliseconds.
    pub time: Vec<IoEntry>,
    /// Sectors.
    pub sectors: Vec<IoEntry>,
}

/// A line of a v1 `blkio` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IoEntry {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`; empty if the table has no operations.
    pub operation: String,
    /// The value.
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HugeTlbStats {
    /// Used pages.
    pub used: Counter,
    /// Reserved pages, if the kernel counts them.
    pub reserved: Option<Counter>,
}

/// One RDMA device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RdmaStats {
    /// Handles in use.
    pub handles: u64,
    /// Limit of handles; `None`: unlimited.
    pub handles_limit: Option<u64>,
    /// Objects in use.
    pub objects: u64,
    /// Limit of objects; `None`: unlimited.
    pub objects_limit: Option<u64>,
}

/// Pressure stall information: Documentation/accounting/psi.rst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pressure {
    /// Some task was stalled.
    pub some: Stall,
    /// All tasks were stalled at once.
    pub full: Option<Stall>,
}

/// The share of time in percent, over three windows, and the total time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stall {
    /// Over 10 seconds.
    pub avg10: f64,
    /// Over 60 seconds.
    pub avg60: f64,
    /// Over 300 seconds.
    pub avg300: f64,
    /// Microseconds since the cgroup was created.
    pub total: u64,
}
