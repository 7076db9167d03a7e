//! Creates directories, and removes them if a later step fails.

use super::existing::POINTER;
use crate::cgroup::dir::{failed, mkdir, rmdir};
use crate::{Error, Result};
use nix::errno::Errno;
use std::path::{Path, PathBuf};

/// The directories that were created.
#[derive(Debug, Default)]
pub(super) struct CreatedDirectories(Vec<PathBuf>);

impl CreatedDirectories {
    /// Creates a directory, with missing parents. Returns false if it existed.
    pub(super) fn create(&mut self, directory: &Path) -> Result<bool> {
        let mut missing = vec![directory];
        let mut created = false;
        // A bound, in case another process keeps removing them.
        let mut attempts = 2 * directory.components().count();
        while let Some(&next) = missing.last() {
            match mkdir(next) {
                Ok(()) => {
                    self.0.push(next.to_owned());
                    created = true;
                    missing.pop();
                }
                Err(Errno::EEXIST) => {
                    created = false;
                    missing.pop();
                }
                Err(Errno::ENOENT) if attempts > 0 => {
                    attempts -= 1;
                    match next.parent().filter(|parent| parent.parent().is_some()) {
                        Some(parent) => missing.push(parent),
                        None => return Err(mkdir_failed(next, Errno::ENOENT)),
                    }
                }
                Err(e) => return Err(mkdir_failed(next, e)),
            }
        }
        Ok(created)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Removes all but the first `count` directories; whether none of them is left.
    pub(super) fn remove_after(&mut self, count: usize) -> bool {
        while self.0.len() > count {
            match self.0.last().map(|directory| rmdir(directory)) {
                None | Some(Ok(()) | Err(Errno::ENOENT | Errno::ENODEV)) => drop(self.0.pop()),
                Some(Err(_)) => return false,
            }
        }
        true
    }

    /// Removes the directories, the last one first. Returns `error`, with those that could not be removed.
    pub(super) fn undo(self, error: Error) -> Error {
        let mut left = Vec::new();
        for directory in self.0.into_iter().rev() {
            match rmdir(&directory) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENODEV) => {}
                Err(e) => left.push(format!("{} ({})", directory.display(), e.desc())),
            }
        }
        if left.is_empty() { error } else { error.with_hint(format!("left behind: {}", left.join(", "))) }
    }
}

fn mkdir_failed(directory: &Path, errno: Errno) -> Error {
    let error = failed("mkdir", directory, "", errno).with_pointer(POINTER);
    match errno {
        Errno::EACCES | Errno::EPERM => error.with_hint("this user may not create cgroups there"),
        Errno::EROFS => error.with_hint("the cgroup file system is mounted read-only"),
        Errno::EAGAIN => error.with_hint("cgroup.max.descendants or cgroup.max.depth of a parent is reached"),
        Errno::ENOSPC => error.with_hint("a cgroup id or a parent's cpuset is used up"),
        _ => error,
    }
}
