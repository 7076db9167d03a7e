//! Which processes are in a cgroup.

use super::create::Cgroup;
use super::dir::{Dir, DirRef, gone};
use super::walk::{self, Found, Visit, walk};
use crate::Result;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The processes in the directory and in every one below it, sorted; a directory that vanishes
/// meanwhile has none.
pub(super) fn tree(directory: &Path) -> Result<Vec<i32>> {
    let Some(dir) = Dir::find(directory)? else { return Ok(Vec::new()) };
    let mut pids = Vec::new();
    walk(dir.at(), walk::LIMIT, &mut |cgroup: DirRef<'_>| {
        pids.extend(members(cgroup)?);
        Ok(())
    })?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The processes of this cgroup alone, sorted; none if it no longer exists.
pub(super) fn members(cgroup: DirRef<'_>) -> Result<Vec<i32>> {
    let list = match cgroup.read("cgroup.procs") {
        // A threaded cgroup lists its processes at its domain's root, its threads itself.
        Err(Errno::EOPNOTSUPP) => cgroup.read("cgroup.threads"),
        other => other,
    };
    match list {
        Ok(list) => {
            let number = |line: &[u8]| std::str::from_utf8(line).ok()?.parse::<i32>().ok();
            let mut pids: Vec<i32> = list.split(|b| *b == b'\n').filter_map(number).collect();
            pids.sort_unstable();
            pids.dedup();
            Ok(pids)
        }
        Err(e) if gone(e) => Ok(Vec::new()),
        Err(e) => Err(cgroup.failed("read", "cgroup.procs", e)),
    }
}

/// Searches for the cgroup of a process.
struct Search {
    pid: i32,
    found: Option<PathBuf>,
}

impl Visit for Search {
    fn before(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<Found> {
        Ok(if self.found.is_none() { Found::There } else { Found::Done })
    }

    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        if self.found.is_none() && members(cgroup)?.binary_search(&self.pid).is_ok() {
            self.found = Some(cgroup.path().to_owned());
        }
        Ok(())
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

    /// The cgroup2 cgroup of a process, if it is below this one.
    ///
    /// This searches the tree, because `/proc/PID/cgroup` truncates paths that are longer than PATH_MAX.
    ///
    /// # Errors
    /// That a list cannot be read.
    pub fn below_with(&self, pid: i32) -> Result<Option<Self>> {
        let Some(top) = &self.record.unified else { return Ok(None) };
        let Some(dir) = Dir::find(top)? else { return Ok(None) };
        let mut search = Search { pid, found: None };
        walk(dir.at(), walk::LIMIT, &mut search)?;
        let below = search.found.filter(|at| at.as_os_str().as_bytes() != top.as_os_str().as_bytes());
        Ok(below.map(|at| {
            let mut record = self.record.clone();
            (record.unified, record.reused) = (Some(at), true);
            Self { record }
        }))
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
