//! What creates a container's cgroup.

use serde::{Deserialize, Serialize};

/// What creates a container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupManager {
    /// This library, through the cgroup file systems; `cgroupsPath` is a path.
    #[default]
    Cgroupfs,
    /// Systemd, over D-Bus; `cgroupsPath` is `slice:prefix:name`.
    Systemd,
    /// The container stays in the cgroup of the process that creates it. Limits in `linux.resources` are rejected;
    /// device rules are ignored.
    Disabled,
}

impl CgroupManager {
    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cgroupfs => "cgroupfs",
            Self::Systemd => "systemd",
            Self::Disabled => "disabled",
        }
    }
}
