//! The directories of a cgroup, before they are created.

use crate::Result;
use crate::cgroup::hierarchy::Hierarchy;
use crate::cgroup::layout::Layout;
use crate::cgroup::path::CgroupPath;
use crate::cgroup::record::{CgroupRecord, V1Directory};
use crate::cgroup::version::CgroupMode;

/// The directories of the cgroup at `path`: one in each hierarchy, also in a cgroup2 hierarchy that has no controllers, so
/// that a process is in one cgroup everywhere.
///
/// # Errors
/// As [`Layout::directories`].
pub(in crate::cgroup) fn plan(layout: &Layout, path: &CgroupPath) -> Result<CgroupRecord> {
    let is_v2 = layout.mode() == CgroupMode::V2;
    let v1 = if is_v2 {
        Vec::new()
    } else {
        let directories = layout.directories(path)?;
        let hierarchies = layout.v1().iter().map(Hierarchy::controller_list);
        let pairs = hierarchies.zip(directories);
        pairs.map(|(hierarchy, directory)| V1Directory { hierarchy, directory }).collect()
    };
    Ok(CgroupRecord { v1, unified: layout.unified_directory(path)?, reused: false })
}
