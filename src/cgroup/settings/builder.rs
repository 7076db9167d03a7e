//! Collects the settings for a host.

use super::common::unsupported;
use super::setting::{Setting, Settings, WritePolicy};
use crate::Result;
use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::layout::Layout;
use crate::cgroup::version::CgroupVersion;
use std::borrow::Cow;
use std::fmt::Display;

/// Collects the settings for a host.
pub(super) struct SettingsBuilder<'a> {
    pub(super) layout: &'a Layout,
    pub(super) settings: Settings,
}

impl<'a> SettingsBuilder<'a> {
    pub(super) fn new(layout: &'a Layout) -> Self {
        Self { layout, settings: Settings::default() }
    }

    /// The controllers of the cgroup2 mount, read once.
    pub(super) fn root_controllers(&mut self) -> Result<Controllers> {
        if let Some(known) = self.settings.root_controllers {
            return Ok(known);
        }
        let found = self.layout.unified_controllers()?;
        self.settings.root_controllers = Some(found);
        Ok(found)
    }

    /// The version of the hierarchy that has the controller.
    pub(super) fn version_of(&mut self, controller: Controller, pointer: &str) -> Result<CgroupVersion> {
        if self.layout.v1_of(controller).is_some() {
            return Ok(CgroupVersion::V1);
        }
        if self.root_controllers()?.contains(controller) {
            return Ok(CgroupVersion::V2);
        }
        let name = if self.layout.is_unified() { controller.v2_name() } else { controller.v1_name() };
        Err(unsupported(pointer, format!("the {name} controller is not available on this host")))
    }

    /// [`version_of`](Self::version_of), unless the controller is not used.
    pub(super) fn version_if_used(
        &mut self,
        controller: Controller,
        pointer: &str,
        used: bool,
    ) -> Result<Option<CgroupVersion>> {
        if used { self.version_of(controller, pointer).map(Some) } else { Ok(None) }
    }

    /// Adds a value for a file of a controller.
    pub(super) fn push(
        &mut self,
        (version, controller): (CgroupVersion, Controller),
        file: impl Into<Cow<'static, str>>,
        value: impl Display,
        pointer: impl Into<Cow<'static, str>>,
        policy: WritePolicy,
    ) {
        self.settings.entries.push(Setting {
            version,
            controller: Some(controller),
            file: file.into(),
            value: value.to_string(),
            pointer: pointer.into(),
            policy,
        });
    }

    pub(super) fn warn(&mut self, sentence: String) {
        self.settings.warnings.push(sentence);
    }
}
