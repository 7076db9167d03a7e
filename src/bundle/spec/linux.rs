//! config-linux.md: Linux-specific configuration.

use super::resources::Resources;
use super::seccomp::Seccomp;
use crate::bundle::model::model;
use std::collections::BTreeMap;

model! {
    /// Linux-specific configuration.
    pub struct Linux ["config-linux.md"] {
        /// User IDs of a new user namespace.
        pub uid_mappings: Vec<IdMapping> = "uidMappings",
        /// Group IDs of a new user namespace.
        pub gid_mappings: Vec<IdMapping> = "gidMappings",
        /// Kernel parameters of the container, by dotted name.
        pub sysctl: BTreeMap<String, String> = "sysctl",
        /// Limits of the container's cgroup.
        pub resources: Option<Resources> = "resources",
        /// Path of the cgroup, or `slice:prefix:name` with the systemd driver.
        pub cgroups_path: Option<String> = "cgroupsPath",
        /// Namespaces to create or join. Those of other types are inherited.
        pub namespaces: Vec<Namespace> = "namespaces",
        /// Devices to create, in addition to the default ones.
        pub devices: Vec<Device> = "devices",
        /// Network devices of the host, by name, to move into the container.
        pub net_devices: BTreeMap<String, NetDevice> = "netDevices",
        /// System call filter.
        pub seccomp: Option<Seccomp> = "seccomp",
        /// Propagation of the root mount, such as `slave`.
        pub rootfs_propagation: Option<String> = "rootfsPropagation",
        /// Paths that cannot be read inside the container.
        pub masked_paths: Vec<String> = "maskedPaths",
        /// Paths that are read-only inside the container.
        pub readonly_paths: Vec<String> = "readonlyPaths",
        /// SELinux context of the mounts.
        pub mount_label: Option<String> = "mountLabel",
        /// Intel Resource Director Technology, resctrl.
        pub intel_rdt: Option<IntelRdt> = "intelRdt",
        /// NUMA memory policy, set_mempolicy(2).
        pub memory_policy: Option<MemoryPolicy> = "memoryPolicy",
        /// Execution domain, personality(2).
        pub personality: Option<Personality> = "personality",
        /// Offsets of a new time namespace, by clock (`monotonic`, `boottime`).
        pub time_offsets: BTreeMap<String, TimeOffset> = "timeOffsets",
    }

    /// A namespace to create or join.
    pub struct Namespace ["config-linux.md#namespaces"] {
        /// `type`: `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup` or `time`.
        pub kind: String = "type" required,
        /// The absolute path of the file of a namespace to join; absent: a new namespace.
        pub path: Option<String> = "path",
    }

    /// A range of IDs.
    pub struct IdMapping ["config-linux.md#user-namespace-mappings"] {
        /// First ID inside the namespace.
        pub container_id: u32 = "containerID" required,
        /// First ID outside the namespace.
        pub host_id: u32 = "hostID" required,
        /// Number of IDs.
        pub size: u32 = "size" required,
    }

    /// The offset of a clock.
    pub struct TimeOffset ["config-linux.md#offset-for-time-namespace"] {
        /// Seconds.
        pub secs: Option<i64> = "secs",
        /// Nanoseconds.
        pub nanosecs: Option<u32> = "nanosecs",
    }

    /// A device node.
    pub struct Device ["config-linux.md#devices"] {
        /// Path inside the container, absolute.
        pub path: String = "path" required,
        /// `type`: `c`, `b`, `u` or `p`.
        pub kind: String = "type" required,
        /// Major number; REQUIRED unless `type` is `p`.
        pub major: Option<i64> = "major",
        /// Minor number; REQUIRED unless `type` is `p`.
        pub minor: Option<i64> = "minor",
        /// Permissions.
        pub file_mode: Option<u32> = "fileMode",
        /// User ID of the owner, inside the container.
        pub uid: Option<u32> = "uid",
        /// Group ID of the owner, inside the container.
        pub gid: Option<u32> = "gid",
    }

    /// A network device of the host to move into the container.
    pub struct NetDevice ["config-linux.md#network-devices"] {
        /// Its name inside the container; absent: unchanged.
        pub name: Option<String> = "name",
    }

    /// Intel Resource Director Technology, resctrl.
    pub struct IntelRdt ["config-linux.md#intelrdt"] {
        /// Class of service; absent: the container's ID.
        pub clos_id: Option<String> = "closID",
        /// Lines of the `schemata` file.
        pub schemata: Vec<String> = "schemata",
        /// L3 cache part of the `schemata` file.
        pub l3_cache_schema: Option<String> = "l3CacheSchema",
        /// Memory bandwidth part of the `schemata` file.
        pub mem_bw_schema: Option<String> = "memBwSchema",
        /// Whether the container gets a monitoring group of its own.
        pub enable_monitoring: bool = "enableMonitoring",
    }

    /// NUMA memory policy, set_mempolicy(2).
    pub struct MemoryPolicy ["config-linux.md#memory-policy"] {
        /// Mode such as `MPOL_INTERLEAVE`.
        pub mode: String = "mode" required,
        /// Memory nodes, a list such as `0-3,7`.
        pub nodes: Option<String> = "nodes",
        /// Flags such as `MPOL_F_STATIC_NODES`.
        pub flags: Vec<String> = "flags",
    }

    /// Execution domain, personality(2).
    pub struct Personality ["config-linux.md#personality"] {
        /// `LINUX` or `LINUX32`.
        pub domain: String = "domain" required,
        /// Additional flags; the spec does not define any yet.
        pub flags: Vec<String> = "flags",
    }
}

impl Linux {
    /// Whether the container creates or joins a namespace of this type (`user`, …).
    pub(crate) fn has_namespace(&self, kind: &str) -> bool {
        self.namespaces.iter().any(|namespace| namespace.kind == kind)
    }
}
