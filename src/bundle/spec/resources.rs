//! config-linux.md#control-groups: limits of the container's cgroup.

use crate::bundle::model::model;
use std::collections::BTreeMap;

model! {
    /// Limits of a cgroup.
    pub struct Resources ["config-linux.md#control-groups"] {
        /// Rules of access to devices, in order; a later one overrides.
        pub devices: Vec<DeviceRule> = "devices",
        /// Memory.
        pub memory: Option<Memory> = "memory",
        /// Processor time and placement.
        pub cpu: Option<Cpu> = "cpu",
        /// Number of tasks.
        pub pids: Option<Pids> = "pids",
        /// Block devices.
        pub block_io: Option<BlockIo> = "blockIO",
        /// Huge pages.
        pub hugepage_limits: Vec<HugepageLimit> = "hugepageLimits",
        /// Network classes and priorities (cgroup v1).
        pub network: Option<Network> = "network",
        /// RDMA devices by name.
        pub rdma: BTreeMap<String, Rdma> = "rdma",
        /// Files of cgroup v2 and what to write into them.
        pub unified: BTreeMap<String, String> = "unified",
    }

    /// One rule of access to devices.
    pub struct DeviceRule ["config-linux.md#allowed-device-list"] {
        /// Whether the access is allowed or denied.
        pub allow: bool = "allow" expected,
        /// `type`: `a` (or absent) all, `c` character, `b` block.
        pub kind: Option<String> = "type",
        /// Major number; absent or -1: all.
        pub major: Option<i64> = "major",
        /// Minor number; absent or -1: all.
        pub minor: Option<i64> = "minor",
        /// Composed of `r`, `w` and `m`; absent: all of them.
        pub access: Option<String> = "access",
    }

    /// Memory limits, in bytes; -1 is unlimited.
    pub struct Memory ["config-linux.md#memory"] {
        /// Usage limit.
        pub limit: Option<i64> = "limit",
        /// Soft limit.
        pub reservation: Option<i64> = "reservation",
        /// Limit of memory and swap together.
        pub swap: Option<i64> = "swap",
        /// Deprecated: kernel memory.
        pub kernel: Option<i64> = "kernel",
        /// Deprecated: kernel memory of TCP buffers.
        pub kernel_tcp: Option<i64> = "kernelTCP",
        /// Swappiness, 0 to 100.
        pub swappiness: Option<u64> = "swappiness",
        /// Stops the container instead of killing a process when memory runs out.
        pub disable_oom_killer: Option<bool> = "disableOOMKiller",
        /// Whether usage of sub-cgroups counts.
        pub use_hierarchy: Option<bool> = "useHierarchy",
        /// Whether an update below current usage is refused.
        pub check_before_update: Option<bool> = "checkBeforeUpdate",
    }

    /// Processor time and placement; times in microseconds.
    pub struct Cpu ["config-linux.md#cpu"] {
        /// Relative share, as cgroup v1 counts it.
        pub shares: Option<u64> = "shares",
        /// Time in each period; -1 is unlimited.
        pub quota: Option<i64> = "quota",
        /// Accumulated time beyond the quota.
        pub burst: Option<u64> = "burst",
        /// The period.
        pub period: Option<u64> = "period",
        /// Real-time scheduler: time in each period.
        pub realtime_runtime: Option<i64> = "realtimeRuntime",
        /// Real-time scheduler: the period.
        pub realtime_period: Option<u64> = "realtimePeriod",
        /// Processors, a list such as `0-3,7`.
        pub cpus: Option<String> = "cpus",
        /// Memory nodes, a list such as `0-1`.
        pub mems: Option<String> = "mems",
        /// 1: runs only when nothing else does.
        pub idle: Option<i64> = "idle",
    }

    /// Number of tasks.
    pub struct Pids ["config-linux.md#pids"] {
        /// The limit; -1 is unlimited; absent: not set.
        pub limit: Option<i64> = "limit",
    }

    /// Block devices.
    pub struct BlockIo ["config-linux.md#block-io"] {
        /// Relative weight, 10 to 1000.
        pub weight: Option<u16> = "weight",
        /// Weight of the cgroup's own tasks against its children (cgroup v1), 10 to 1000.
        pub leaf_weight: Option<u16> = "leafWeight",
        /// Weights by device.
        pub weight_device: Vec<WeightDevice> = "weightDevice",
        /// Bytes read in a second, by device.
        pub throttle_read_bps_device: Vec<ThrottleDevice> = "throttleReadBpsDevice",
        /// Bytes written in a second, by device.
        pub throttle_write_bps_device: Vec<ThrottleDevice> = "throttleWriteBpsDevice",
        /// Reads in a second, by device.
        pub throttle_read_iops_device: Vec<ThrottleDevice> = "throttleReadIOPSDevice",
        /// Writes in a second, by device.
        pub throttle_write_iops_device: Vec<ThrottleDevice> = "throttleWriteIOPSDevice",
    }

    /// Weight of one block device.
    pub struct WeightDevice ["config-linux.md#block-io"] {
        /// Major number.
        pub major: i64 = "major" required,
        /// Minor number.
        pub minor: i64 = "minor" required,
        /// Relative weight, 10 to 1000.
        pub weight: Option<u16> = "weight",
        /// Weight of the cgroup's own tasks (cgroup v1), 10 to 1000.
        pub leaf_weight: Option<u16> = "leafWeight",
    }

    /// Rate of one block device.
    pub struct ThrottleDevice ["config-linux.md#block-io"] {
        /// Major number.
        pub major: i64 = "major" required,
        /// Minor number.
        pub minor: i64 = "minor" required,
        /// Bytes or operations in a second.
        pub rate: u64 = "rate" required,
    }

    /// Limit of one size of huge pages.
    pub struct HugepageLimit ["config-linux.md#huge-page-limits"] {
        /// Size such as `2MB`.
        pub page_size: String = "pageSize" required,
        /// Bytes.
        pub limit: u64 = "limit" required,
    }

    /// Network classes and priorities (cgroup v1).
    pub struct Network ["config-linux.md#network"] {
        /// Class of the container's packets.
        pub class_id: Option<u32> = "classID",
        /// Priorities by interface.
        pub priorities: Vec<InterfacePriority> = "priorities",
    }

    /// Priority of traffic through one interface.
    pub struct InterfacePriority ["config-linux.md#network"] {
        /// The interface's name.
        pub name: String = "name" required,
        /// The priority.
        pub priority: u32 = "priority" required,
    }

    /// Limits of one RDMA device; at least one of them is given.
    pub struct Rdma ["config-linux.md#rdma"] {
        /// Handles.
        pub hca_handles: Option<u32> = "hcaHandles",
        /// Objects.
        pub hca_objects: Option<u32> = "hcaObjects",
    }
}
