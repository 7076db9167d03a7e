//! The processes of a cgroup.

use super::controller::Controller;
use super::dir::{Dir, DirRef};
use super::file::is_gone_errno;
use super::record::CgroupRecord;
use super::walk::{self, ChildState, Visitor, walk};
use crate::Result;
use nix::errno::Errno;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The processes of a cgroup and its descendants, sorted; none if the cgroup does not exist.
pub(super) fn processes_in(directory: &Path) -> Result<Vec<i32>> {
    let Some(dir) = Dir::open_if_exists(directory)? else { return Ok(Vec::new()) };
    let mut pids = Vec::new();
    walk(dir.at(), walk::WALK_TIMEOUT, &mut |cgroup: DirRef<'_>| {
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
        // The processes of a threaded cgroup are listed at the root of its domain; it lists only threads.
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
        Err(e) if is_gone_errno(e) => Ok(Vec::new()),
        Err(e) => Err(cgroup.failed("read", "cgroup.procs", e)),
    }
}

/// Searches for the cgroup of a process.
struct Search {
    pid: i32,
    found: Option<PathBuf>,
}

impl Visitor for Search {
    fn before(&mut self, _parent: DirRef<'_>, _name: &CStr) -> Result<ChildState> {
        Ok(if self.found.is_none() { ChildState::Present } else { ChildState::Done })
    }

    fn at(&mut self, cgroup: DirRef<'_>) -> Result<()> {
        if self.found.is_none() && members(cgroup)?.binary_search(&self.pid).is_ok() {
            self.found = Some(cgroup.path().to_owned());
        }
        Ok(())
    }
}

/// The directory that lists the processes of a cgroup. Any hierarchy would do, since a process is in all of them; those of
/// controllers that restrict processes are preferred.
pub(super) fn listing_directory(record: &CgroupRecord) -> Option<&Path> {
    use Controller::{Devices, Freezer, Memory, Pids};
    let preferred = [Pids, Freezer, Devices, Memory].into_iter().find_map(|c| record.v1_of(c));
    let other = record.unified.as_deref().or_else(|| record.v1.first().map(|v1| v1.directory.as_path()));
    preferred.or(other)
}

/// The processes of a cgroup and its descendants, sorted; none if it does not exist.
pub(super) fn processes(record: &CgroupRecord) -> Result<Vec<i32>> {
    listing_directory(record).map_or_else(|| Ok(Vec::new()), processes_in)
}

/// The descendant of a cgroup2 cgroup that has the process; `None` if no descendant has it.
pub(super) fn descendant_of(record: &CgroupRecord, pid: i32) -> Result<Option<CgroupRecord>> {
    let Some(top) = &record.unified else { return Ok(None) };
    let Some(dir) = Dir::open_if_exists(top)? else { return Ok(None) };
    let mut search = Search { pid, found: None };
    walk(dir.at(), walk::WALK_TIMEOUT, &mut search)?;
    let below = search.found.filter(|found| found.as_os_str().as_bytes() != top.as_os_str().as_bytes());
    Ok(below.map(|found| CgroupRecord { unified: Some(found), reused: true, ..record.clone() }))
}

/// The pids for a message: the first twenty, and how many more there are.
pub(super) fn summary(pids: &[i32]) -> String {
    let mut text = pids.iter().take(20).map(i32::to_string).collect::<Vec<_>>().join(", ");
    if pids.len() > 20 {
        let _ = write!(text, " and {} more", pids.len() - 20);
    }
    text
}
