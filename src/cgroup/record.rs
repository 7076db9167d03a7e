//! What a cgroup is made of, known before it is made and enough to find it again.

use super::controller::{Controller, Controllers};
use super::layout::{Layout, Mode};
use super::path::CgroupPath;
use super::settings::Settings;
use crate::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A cgroup's directory in one v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The hierarchy as `/proc/PID/cgroup` spells it: `cpu,cpuacct`, `name=systemd`.
    pub hierarchy: String,
    /// The cgroup's directory.
    pub directory: PathBuf,
}

impl Place {
    /// The controllers of the hierarchy.
    pub fn controllers(&self) -> Controllers {
        if self.hierarchy.starts_with("name=") {
            Controllers::NONE
        } else {
            Controllers::parse(&self.hierarchy)
        }
    }
}

/// The directories of a cgroup: one in each hierarchy it is in. Another process opens the cgroup
/// from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// In v1 hierarchies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub v1: Vec<Place>,
    /// In the cgroup2 hierarchy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unified: Option<PathBuf>,
    /// Whether the cgroup2 directory may have had processes (and a `cgroup.kill`) before: then a
    /// process must not be cloned into it, but move there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

impl Record {
    /// The directories which [`Cgroup::make`](super::Cgroup::make) will make; nothing is made here.
    ///
    /// On a hybrid host the cgroup2 side is used only where `settings` need it (a controller which
    /// lives there, or `unified`): a process tree in v1 hierarchies needs nothing else.
    ///
    /// # Errors
    /// As [`Layout::directories`].
    pub fn plan(layout: &Layout, path: &CgroupPath, settings: &Settings) -> Result<Self> {
        let mode = layout.mode();
        let v1 = if mode == Mode::V2 {
            Vec::new()
        } else {
            let directories = layout.directories(path)?;
            let place =
                |(h, directory): (&super::Hierarchy, PathBuf)| Place { hierarchy: h.label(), directory };
            layout.v1().iter().zip(directories).map(place).collect()
        };
        let wanted = mode == Mode::V2 || settings.needs_unified();
        let unified = if wanted { layout.unified_directory(path)? } else { None };
        Ok(Self { v1, unified, reused: false })
    }

    /// Every directory, v1 first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().map(|p| p.directory.as_path()).chain(self.unified.as_deref())
    }

    /// The directory in the v1 hierarchy that has `controller`.
    pub fn v1_of(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|p| p.controllers().contains(controller)).map(|p| p.directory.as_path())
    }

    /// Whether the cgroup lies in no hierarchy at all.
    pub fn is_empty(&self) -> bool {
        self.v1.is_empty() && self.unified.is_none()
    }
}
