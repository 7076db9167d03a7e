//! The versions of cgroups: cgroups(7).

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// The v1 hierarchy of a controller.
    V1,
    /// The cgroup2 hierarchy.
    V2,
}

/// Which versions a host uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupMode {
    /// Only v1 hierarchies.
    V1,
    /// Controllers in v1 hierarchies, and a cgroup2 mount beside them (which may have controllers too).
    Hybrid,
    /// Only cgroup2, possibly beside v1 hierarchies without controllers.
    V2,
}
