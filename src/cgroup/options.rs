//! How a cgroup is created.

/// How a cgroup is created.
#[derive(Clone, Debug)]
pub struct CgroupOptions {
    /// Whether access to devices is denied, except to those of `resources.devices` and the standard ones. Switch it
    /// off for a cgroup that does not belong to a container, and if the caller may not filter devices (in a user
    /// namespace, where the kernel denies access to the host's devices anyway).
    pub device_filter: bool,
    /// Whether to leave out hierarchies in which this user may not create a directory, unless a limit needs them. For
    /// an unprivileged caller whose configuration has no `cgroupsPath`.
    pub optional: bool,
}

impl Default for CgroupOptions {
    fn default() -> Self {
        Self { device_filter: true, optional: false }
    }
}
