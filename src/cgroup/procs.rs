//! Which processes are in a cgroup.

use super::create::Cgroup;
use super::file;
use crate::Result;
use nix::errno::Errno;
use std::path::Path;

/// The processes in the directory and in every one below it, sorted; a directory that vanishes
/// meanwhile has none.
pub(super) fn tree(directory: &Path) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    collect(directory, &mut pids)?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

fn collect(directory: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let gone = |e: &Errno| matches!(e, Errno::ENOENT | Errno::ENODEV);
    let list = match file::read(directory, "cgroup.procs") {
        // A threaded cgroup lists its processes at its domain's root, its threads itself.
        Err(Errno::EOPNOTSUPP) => file::read(directory, "cgroup.threads"),
        other => other,
    };
    match list {
        Ok(list) => pids.extend(String::from_utf8_lossy(&list).lines().filter_map(|l| l.parse::<i32>().ok())),
        Err(e) if gone(&e) => return Ok(()),
        Err(e) => return Err(file::failed("read", directory, "cgroup.procs", e)),
    }
    match file::subdirectories(directory) {
        Ok(names) => names.iter().try_for_each(|name| collect(&directory.join(name), pids)),
        Err(e) if gone(&e) => Ok(()),
        Err(e) => Err(file::failed("read", directory, "", e)),
    }
}

impl Cgroup {
    /// The processes in the cgroup and in those below it, sorted; none where it does not exist.
    ///
    /// # Errors
    /// That a list cannot be read.
    pub fn processes(&self) -> Result<Vec<i32>> {
        self.census().map_or_else(|| Ok(Vec::new()), tree)
    }

    /// The directory whose processes stand for all: a process is in every hierarchy.
    pub(super) fn census(&self) -> Option<&Path> {
        self.record.unified.as_deref().or_else(|| {
            use super::Controller::{Devices, Freezer, Memory, Pids};
            let known = [Pids, Freezer, Devices, Memory].into_iter().find_map(|c| self.record.v1_of(c));
            known.or_else(|| self.record.v1.first().map(|p| p.directory.as_path()))
        })
    }
}
