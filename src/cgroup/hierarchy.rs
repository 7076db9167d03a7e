//! A mounted cgroup hierarchy.

use super::controller::{Controller, Controllers};
use std::path::{Component, Path, PathBuf};

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its mount point.
    pub mount: PathBuf,
    /// The part of the hierarchy that is mounted there: `/`, or the path of a cgroup if the mount was created for (or
    /// bound into) a container. Empty if [`Layout::detect`](super::Layout::detect) did not need to know it.
    pub root: PathBuf,
    /// Its controllers. Empty for a named hierarchy, and on v2 (see
    /// [`Layout::unified_controllers`](super::Layout::unified_controllers)).
    pub controllers: Controllers,
    /// The name of a v1 hierarchy without controllers, such as `systemd`.
    pub name: Option<String>,
}

impl Hierarchy {
    /// The controller list of this hierarchy in `/proc/PID/cgroup`: `cpu,cpuacct`, `name=systemd`, or empty (v2).
    pub fn controller_list(&self) -> String {
        match &self.name {
            Some(name) => format!("name={name}"),
            None => self.controllers.iter().map(Controller::v1_name).collect::<Vec<_>>().join(","),
        }
    }

    /// The directory of the cgroup with this path in `/proc/PID/cgroup`; `None` if the mount does not show it.
    pub(super) fn directory_of(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.root).ok()?;
        if below.components().any(|part| !matches!(part, Component::Normal(_))) {
            return None;
        }
        Some(self.mount.join(below))
    }
}
