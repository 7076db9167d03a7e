//! config-linux.md#control-groups: limits of the container's cgroup.

use crate::bundle::model::model;
use std::collections::BTreeMap;

model! {
    /// Limits of a cgroup.
    pub struct Resources ["config-linux.md#control-groups"] {
        /// Device access rules, in order; a later rule overrides earlier ones.
        pub devices: Vec<DeviceRule> = "devices",
        /// Memory limits.
        pub memory: Option<Memory> = "memory",
        /// CPU time and placement.
        pub cpu: Option<Cpu> = "cpu",
        /// Limit of the number of tasks.
        pub pids: Option<Pids> = "pids",
        /// Block devices.
        pub block_io: Option<BlockIo> = "blockIO",
        /// Huge pages.
        pub hugepage_limits: Vec<HugepageLimit> = "hugepageLimits",
        /// Network classes and priorities (cgroup v1).
        pub network: Option<Network> = "network",
        /// Limits of RDMA devices, by device name.
        pub rdma: BTreeMap<String, Rdma> = "rdma",
        /// Files of cgroup v2, and the text to write to each.
        pub unified: BTreeMap<String, String> = "unified",
    }

    /// A device access rule.
    pub struct DeviceRule ["config-linux.md#allowed-device-list"] {
        /// Whether the access is allowed or denied.
        pub allow: bool = "allow" expected,
        /// `type`: `a` or absent: all; `c`: character devices; `b`: block devices.
        pub kind: Option<String> = "type",
        /// Major number; absent or -1: all.
        pub major: Option<i64> = "major",
        /// Minor number; absent or -1: all.
        pub minor: Option<i64> = "minor",
        /// Any of `r`, `w` and `m`; absent: all of them.
        pub access: Option<String> = "access",
    }

    /// Memory limits, in bytes; -1 is unlimited.
    pub struct Memory ["config-linux.md#memory"] {
        /// Usage limit.
        pub limit: Option<i64> = "limit",
        /// Soft limit.
        pub reservation: Option<i64> = "reservation",
        /// Limit of memory plus swap.
        pub swap: Option<i64> = "swap",
        /// Deprecated: kernel memory.
        pub kernel: Option<i64> = "kernel",
        /// Deprecated: kernel memory of TCP buffers.
        pub kernel_tcp: Option<i64> = "kernelTCP",
        /// Swappiness, 0 to 100.
        pub swappiness: Option<u64> = "swappiness",
        /// Whether processes wait instead of being killed when memory runs out.
        pub disable_oom_killer: Option<bool> = "disableOOMKiller",
        /// Whether the usage of child cgroups is included.
        pub use_hierarchy: Option<bool> = "useHierarchy",
        /// Whether an update below the current usage is refused.
        pub check_before_update: Option<bool> = "checkBeforeUpdate",
    }

    /// CPU time and placement; times are in microseconds.
    pub struct Cpu ["config-linux.md#cpu"] {
        /// Relative share, in units of cgroup v1.
        pub shares: Option<u64> = "shares",
        /// CPU time per period; -1 is unlimited.
        pub quota: Option<i64> = "quota",
        /// Unused time that may be spent in addition to the quota.
        pub burst: Option<u64> = "burst",
        /// The period.
        pub period: Option<u64> = "period",
        /// Real-time scheduler: CPU time per period.
        pub realtime_runtime: Option<i64> = "realtimeRuntime",
        /// Real-time scheduler: the period.
        pub realtime_period: Option<u64> = "realtimePeriod",
        /// CPUs, a list such as `0-3,7`.
        pub cpus: Option<String> = "cpus",
        /// Memory nodes, a list such as `0-1`.
        pub mems: Option<String> = "mems",
        /// 1: the cgroup runs with the policy `SCHED_IDLE`.
        pub idle: Option<i64> = "idle",
    }

    /// Limit of the number of tasks.
    pub struct Pids ["config-linux.md#pids"] {
        /// The limit; -1 is unlimited; absent: not set.
        pub limit: Option<i64> = "limit",
    }

    /// Block devices.
    pub struct BlockIo ["config-linux.md#block-io"] {
        /// Relative weight, 10 to 1000.
        pub weight: Option<u16> = "weight",
        /// Weight of the cgroup's own tasks compared to its child cgroups (cgroup v1), 10 to 1000.
        pub leaf_weight: Option<u16> = "leafWeight",
        /// Weights by device.
        pub weight_device: Vec<WeightDevice> = "weightDevice",
        /// Bytes read per second, by device.
        pub throttle_read_bps_device: Vec<ThrottleDevice> = "throttleReadBpsDevice",
        /// Bytes written per second, by device.
        pub throttle_write_bps_device: Vec<ThrottleDevice> = "throttleWriteBpsDevice",
        /// Read operations per second, by device.
        pub throttle_read_iops_device: Vec<ThrottleDevice> = "throttleReadIOPSDevice",
        /// Write operations per second, by device.
        pub throttle_write_iops_device: Vec<ThrottleDevice> = "throttleWriteIOPSDevice",
    }

    /// The weight of a block device.
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

    /// The rate limit of a block device.
    pub struct ThrottleDevice ["config-linux.md#block-io"] {
        /// Major number.
        pub major: i64 = "major" required,
        /// Minor number.
        pub minor: i64 = "minor" required,
        /// Bytes or operations per second.
        pub rate: u64 = "rate" required,
    }

    /// The limit of huge pages of one size.
    pub struct HugepageLimit ["config-linux.md#huge-page-limits"] {
        /// Size such as `2MB`.
        pub page_size: String = "pageSize" required,
        /// Bytes.
        pub limit: u64 = "limit" required,
    }

    /// Network classes and priorities (cgroup v1).
    pub struct Network ["config-linux.md#network"] {
        /// Class ID of the container's packets.
        pub class_id: Option<u32> = "classID",
        /// Priorities, by interface.
        pub priorities: Vec<InterfacePriority> = "priorities",
    }

    /// The priority of traffic through an interface.
    pub struct InterfacePriority ["config-linux.md#network"] {
        /// The interface's name.
        pub name: String = "name" required,
        /// The priority.
        pub priority: u32 = "priority" required,
    }

    /// The limits of an RDMA device, at least one of them.
    pub struct Rdma ["config-linux.md#rdma"] {
        /// Number of handles.
        pub hca_handles: Option<u32> = "hcaHandles",
        /// Number of objects.
        pub hca_objects: Option<u32> = "hcaObjects",
    }
}
