//! The directories of a cgroup: known before they are created, and enough to find the cgroup again.

use super::controller::{Controller, Controllers};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A cgroup's directory in a v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct V1Directory {
    /// The controller list of the hierarchy in `/proc/PID/cgroup`: `cpu,cpuacct`, `name=systemd`.
    pub hierarchy: String,
    /// The directory.
    pub directory: PathBuf,
}

impl V1Directory {
    /// The controllers of the hierarchy.
    pub fn controllers(&self) -> Controllers {
        if self.hierarchy.starts_with("name=") {
            Controllers::NONE
        } else {
            Controllers::parse(&self.hierarchy)
        }
    }
}

/// The directories of a cgroup, one in each hierarchy. Another process can open the cgroup from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// Those in v1 hierarchies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub v1: Vec<V1Directory>,
    /// That in the cgroup2 hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unified: Option<PathBuf>,
    /// Whether the cgroup2 directory may have had processes, or been killed by `cgroup.kill`, before. A process must
    /// not be cloned into such a directory, but be moved there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

impl CgroupRecord {
    /// All directories, those in v1 hierarchies first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().map(|v1| v1.directory.as_path()).chain(self.unified.as_deref())
    }

    /// The directory in the v1 hierarchy that has `controller`.
    pub fn v1_of(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|v1| v1.controllers().contains(controller)).map(|v1| v1.directory.as_path())
    }

    /// Whether there are no directories.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.unified.is_none()
    }
}
