//! `/proc/PID/cgroup`: cgroups(7), "/proc files".

use super::controller::Controllers;
use super::hierarchy::Hierarchy;
use super::version::CgroupVersion;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The kernel truncates longer paths to this length.
pub(super) const TRUNCATED: usize = libc::PATH_MAX as usize - 1;

/// A line of the file: the cgroup of a process in one hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    /// The controllers of a v1 hierarchy, or `name=NAME`; empty for cgroup2.
    pub(super) controller_list: String,
    /// The cgroup's path; arbitrary bytes except newlines.
    pub(super) path: PathBuf,
}

impl Membership {
    /// Whether this line is about the hierarchy, which is of this version.
    pub(super) fn is_in(&self, hierarchy: &Hierarchy, version: CgroupVersion) -> bool {
        match (&hierarchy.name, version) {
            (_, CgroupVersion::V2) => self.controller_list.is_empty(),
            (Some(name), CgroupVersion::V1) => self.controller_list.strip_prefix("name=") == Some(name),
            (None, CgroupVersion::V1) => {
                !self.controller_list.is_empty()
                    && Controllers::parse(&self.controller_list) == hierarchy.controllers
            }
        }
    }
}

/// Parses the file.
pub(super) fn parse(text: &[u8]) -> Vec<Membership> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':').skip(1);
            let controller_list = String::from_utf8_lossy(fields.next()?).into_owned();
            Some(Membership { controller_list, path: OsStr::from_bytes(fields.next()?).into() })
        })
        .collect()
}

/// [`parse`], for a file whose paths are followed.
///
/// # Errors
/// `ENAMETOOLONG` if the kernel has truncated a path.
pub(super) fn parse_whole(text: &[u8]) -> Result<Vec<Membership>> {
    let memberships = parse(text);
    match memberships.iter().find(|m| m.path.as_os_str().len() >= TRUNCATED) {
        None => Ok(memberships),
        Some(Membership { controller_list, path }) => {
            let head: String = path.display().to_string().chars().take(100).collect();
            Err(Error::sys(Phase::Cgroup, "locate cgroup", Errno::ENAMETOOLONG)
                .on(format!("{controller_list}:{head}...")))
        }
    }
}
