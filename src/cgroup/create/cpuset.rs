//! A v1 cpuset needs CPUs and memory nodes before it can have processes.

use crate::Result;
use crate::cgroup::dir::{Dir, is_wrong_file_system};
use nix::errno::Errno;
use std::path::Path;

/// The files of a cpuset that may not be empty.
const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Copies the CPUs and memory nodes of the nearest ancestor that has them to the cgroup and to the ancestors in between,
/// top first. Each directory is opened once, for both files.
pub(super) fn inherit(directory: &Path, existed: bool) -> Result<()> {
    let mut lineage = Vec::new();
    let mut searching = [true; 2];
    let mut found: [Option<Vec<u8>>; 2] = [None, None];
    for ancestor in directory.ancestors() {
        let dir = match Dir::open(ancestor) {
            Ok(dir) => dir,
            // Above the root of the hierarchy.
            Err(e) if is_wrong_file_system(&e) && ancestor != directory => break,
            Err(e) => return Err(e),
        };
        let is_new = !existed && ancestor == directory;
        let mut empty = [false; 2];
        for (i, name) in FILES.into_iter().enumerate() {
            if !searching[i] {
                continue;
            }
            match if is_new { Ok(Vec::new()) } else { dir.at().read(name) } {
                Ok(value) if value.trim_ascii().is_empty() => empty[i] = true,
                Ok(value) => (found[i], searching[i]) = (Some(value), false),
                // The parent of the mount point.
                Err(Errno::ENOENT) => searching[i] = false,
                Err(e) => return Err(dir.at().failed("read", name, e)),
            }
        }
        lineage.push((dir, empty));
        if searching == [false; 2] {
            break;
        }
    }
    for (dir, empty) in lineage.into_iter().rev() {
        for (i, name) in FILES.into_iter().enumerate().filter(|(i, _)| empty[*i]) {
            if let Some(value) = &found[i] {
                let done = dir.at().set(name, value.trim_ascii());
                done.map_err(|e| e.with_pointer("/linux/resources/cpu"))?;
            }
        }
    }
    Ok(())
}
