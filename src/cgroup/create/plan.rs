//! The directories of a cgroup, before they are created.

use crate::Result;
use crate::cgroup::hierarchy::Hierarchy;
use crate::cgroup::layout::Layout;
use crate::cgroup::path::CgroupPath;
use crate::cgroup::record::{CgroupRecord, V1Directory};
use crate::cgroup::settings::Settings;
use crate::cgroup::version::CgroupMode;

/// The directories of the cgroup at `path`. On a hybrid host there is one in the cgroup2 hierarchy only if `settings`
/// need it.
///
/// # Errors
/// As [`Layout::directories`].
pub(in crate::cgroup) fn plan(
    layout: &Layout,
    path: &CgroupPath,
    settings: &Settings,
) -> Result<CgroupRecord> {
    let is_v2 = layout.mode() == CgroupMode::V2;
    let v1 = if is_v2 {
        Vec::new()
    } else {
        let directories = layout.directories(path)?;
        let hierarchies = layout.v1().iter().map(Hierarchy::controller_list);
        let pairs = hierarchies.zip(directories);
        pairs.map(|(hierarchy, directory)| V1Directory { hierarchy, directory }).collect()
    };
    let unified = if is_v2 || settings.needs_unified() { layout.unified_directory(path)? } else { None };
    Ok(CgroupRecord { v1, unified, reused: false })
}
