//! A value for a file of a cgroup.

use crate::cgroup::controller::{Controller, Controllers};
use crate::cgroup::devices::DevicePolicy;
use crate::cgroup::version::CgroupVersion;
use nix::errno::Errno;
use std::borrow::Cow;

/// What to do if the kernel refuses a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cgroup) enum WritePolicy {
    /// Fail.
    Required,
    /// Ignore a missing file: the kernel lacks the feature that would be switched off.
    IfSupported,
    /// Try again after the controller's later settings if the errno is `EINVAL`.
    RetryLast,
    /// Write this value to this file instead if the file is missing.
    Substitute(&'static str, String),
    /// The value is a period for `cpu.max`: write it after the file's current quota.
    KeepQuota,
}

/// What a missing file means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MissingFile<'a> {
    /// The setting cannot be enforced.
    Fails,
    /// There is nothing to write.
    IsIgnored,
    /// Another file gets another value.
    Substitute(&'a str, &'a str),
}

/// A value for a file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The version of the hierarchy.
    pub version: CgroupVersion,
    /// The controller; `None` for files of the cgroup core.
    pub controller: Option<Controller>,
    /// The file's name.
    pub file: Cow<'static, str>,
    /// The value.
    pub value: String,
    /// The JSON pointer of the value in `config.json`.
    pub pointer: Cow<'static, str>,
    pub(in crate::cgroup) policy: WritePolicy,
}

/// Interprets [`WritePolicy`].
impl Setting {
    /// What it means if the file is missing.
    pub(super) fn missing_file(&self) -> MissingFile<'_> {
        match &self.policy {
            WritePolicy::IfSupported => MissingFile::IsIgnored,
            WritePolicy::Substitute(file, value) => MissingFile::Substitute(file, value),
            WritePolicy::Required | WritePolicy::RetryLast | WritePolicy::KeepQuota => MissingFile::Fails,
        }
    }

    /// Whether the kernel may accept the value once later settings are written.
    pub(super) fn may_succeed_later(&self, errno: Option<Errno>) -> bool {
        self.policy == WritePolicy::RetryLast && errno == Some(Errno::EINVAL)
    }

    /// Whether the refusal does not matter: `memory.use_hierarchy` is deprecated, and newer kernels refuse some
    /// values, even the one that always applies.
    pub(super) fn is_met_despite(&self, errno: Errno) -> bool {
        self.policy == WritePolicy::IfSupported
            && self.file == "memory.use_hierarchy"
            && matches!(errno, Errno::EOPNOTSUPP | Errno::EINVAL)
    }

    /// Whether the value is a period for `cpu.max`, whose quota stays.
    pub(in crate::cgroup) fn keeps_quota(&self) -> bool {
        self.policy == WritePolicy::KeepQuota
    }

    /// The file and the value to be used instead if the kernel lacks the file.
    pub(in crate::cgroup) fn substitute(&self) -> Option<(&str, &str)> {
        match &self.policy {
            WritePolicy::Substitute(file, value) => Some((file, value)),
            _ => None,
        }
    }

    /// The value after the current quota in `now`, the text of `cpu.max`.
    pub(super) fn after_quota(&self, now: &str) -> String {
        let quota = now.split_ascii_whitespace().next().unwrap_or("max");
        format!("{quota} {}", self.value)
    }
}

/// The files, values and device policy that enforce `linux.resources` on this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub(super) entries: Vec<Setting>,
    pub(super) devices: Option<DevicePolicy>,
    pub(super) devices_version: Option<CgroupVersion>,
    pub(super) checked_memory_limit: Option<u64>,
    pub(super) forbids_tasks: bool,
    pub(super) root_controllers: Option<Controllers>,
    pub(super) warnings: Vec<String>,
}

impl Settings {
    /// The values, in the order of writing.
    pub fn entries(&self) -> &[Setting] {
        &self.entries
    }

    /// The device policy, if one is to be enforced.
    pub fn devices(&self) -> Option<&DevicePolicy> {
        self.devices.as_ref()
    }

    /// A sentence for each field that has no effect, because the kernel no longer supports it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a cgroup2 cgroup is needed.
    pub fn needs_unified(&self) -> bool {
        self.devices_version == Some(CgroupVersion::V2) || self.v2().next().is_some()
    }

    /// Whether a cgroup in a v1 hierarchy with these controllers is needed.
    pub(in crate::cgroup) fn needs_v1(&self, controllers: Controllers) -> bool {
        self.v1(controllers).next().is_some()
            || self.v1_devices().is_some_and(|_| controllers.contains(Controller::Devices))
    }

    /// The device policy, if the v1 controller is to enforce it.
    pub(in crate::cgroup) fn v1_devices(&self) -> Option<&DevicePolicy> {
        self.devices().filter(|_| self.devices_version == Some(CgroupVersion::V1))
    }

    /// The device policy, if a BPF program in the cgroup2 hierarchy is to enforce it.
    pub(in crate::cgroup) fn v2_devices(&self) -> Option<&DevicePolicy> {
        self.devices().filter(|_| self.devices_version == Some(CgroupVersion::V2))
    }

    /// Whether `pids.max` is 0, so that nothing can be cloned into the cgroup.
    pub(in crate::cgroup) fn forbids_tasks(&self) -> bool {
        self.forbids_tasks
    }

    /// `cgroup.controllers` of the cgroup2 mount, if compilation has read it.
    pub(in crate::cgroup) fn root_controllers(&self) -> Option<Controllers> {
        self.root_controllers
    }

    /// The controllers that need a cgroup2 cgroup.
    pub(in crate::cgroup) fn unified_controllers(&self) -> Controllers {
        self.v2().filter_map(|s| s.controller).collect()
    }

    /// The values for a v1 hierarchy with these controllers.
    pub(in crate::cgroup) fn v1(&self, controllers: Controllers) -> impl Iterator<Item = &Setting> {
        self.entries.iter().filter(move |s| {
            s.version == CgroupVersion::V1 && s.controller.is_some_and(|c| controllers.contains(c))
        })
    }

    /// The values for the cgroup2 hierarchy.
    pub(in crate::cgroup) fn v2(&self) -> impl Iterator<Item = &Setting> {
        self.entries.iter().filter(|s| s.version == CgroupVersion::V2)
    }
}
