//! The container's cgroup: its path, its limits, and the outcome of its creation.

use super::options::Options;
use crate::bundle::Spec;
use crate::bundle::spec::Resources;
use crate::cgroup::systemd::Unit;
use crate::cgroup::{
    self, Cgroup, CgroupManager, CgroupPath, CgroupRecord, Layout, Settings, compile_settings,
};
use crate::{Error, Phase, Result};

/// The container's cgroup: its directories and its limits.
#[derive(Debug)]
pub(crate) struct CgroupPlan {
    pub(crate) record: CgroupRecord,
    pub(crate) settings: Settings,
    pub(crate) options: cgroup::CgroupOptions,
    /// The scope that systemd is to start around the process.
    pub(crate) unit: Option<Unit>,
}

/// The outcome of the cgroup's creation; by default it is as planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CgroupOutcome {
    /// Whether the process cannot be cloned into its cgroup, and joins it by file.
    pub(crate) joined_by_file: bool,
    /// Whether the host side moves the final process into the cgroup, which has no room for two processes. A limit of processes
    /// stops forks, but no moves.
    pub(crate) moved: bool,
    /// Whether the cgroup, which is optional, was not created in the cgroup2 hierarchy: the container stays in its creator's
    /// cgroup.
    pub(crate) skipped: bool,
}

/// Where a container's cgroup is, and the unit that systemd starts for it.
///
/// # Errors
/// If `cgroupsPath` is invalid for the manager.
pub(super) fn path(spec: &Spec, layout: &Layout, options: &Options) -> Result<(CgroupPath, Option<Unit>)> {
    let named = named(spec);
    if options.cgroup_manager == CgroupManager::Systemd {
        let unit = Unit::from_config(named, &options.id, options.systemd.user)?;
        return Ok((unit.path(&options.systemd.root)?, Some(unit)));
    }
    Ok((CgroupPath::from_config(named, &options.id, layout.is_unified())?, None))
}

fn named(spec: &Spec) -> Option<&str> {
    let linux = spec.linux.as_ref();
    linux.and_then(|linux| linux.cgroups_path.as_deref()).filter(|path| !path.is_empty())
}

/// Plans the cgroup of a container; `None` if it gets none.
///
/// # Errors
/// If a limit cannot be enforced.
pub(super) fn plan(
    spec: &Spec,
    layout: Option<&Layout>,
    privileged: bool,
    options: &Options,
) -> Result<Option<CgroupPlan>> {
    let resources = spec.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    if options.cgroup_manager == CgroupManager::Disabled {
        return cgroup::reject_limits(&resources).map(|()| None);
    }
    let Some(layout) = layout else {
        return if named(spec).is_none() && resources == Resources::default() {
            Ok(None)
        } else {
            Err(Error::unsupported(Phase::Cgroup, "/linux/resources", "no cgroup file system is mounted"))
        };
    };
    let by_systemd = options.cgroup_manager == CgroupManager::Systemd;
    if by_systemd && !layout.is_unified() {
        // On v1 systemd lifts device rules when it reloads.
        let why = "systemd as manager of cgroups needs a host with cgroup v2 alone";
        return Err(Error::unsupported(Phase::Cgroup, "/linux/cgroupsPath", why)
            .with_hint("use the cgroupfs manager"));
    }
    let (path, unit) = path(spec, layout, options)?;
    let cgroup_options = cgroup::CgroupOptions {
        // An unprivileged caller cannot filter devices. The kernel denies the host's devices in its user namespace anyway.
        device_filter: privileged,
        optional: !by_systemd
            && options.optional_cgroup.unwrap_or_else(|| !privileged && named(spec).is_none()),
    };
    let settings = compile_settings(layout, &resources, &cgroup_options)?;
    let record = Cgroup::plan(layout, &path)?;
    Ok(Some(CgroupPlan { record, settings, options: cgroup_options, unit }))
}
