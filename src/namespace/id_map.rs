//! The ID maps of user namespaces; user_namespaces(7).

use crate::sys::fs;
use crate::sys::userns::IdMap;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The number of ranges that the kernel accepts (since Linux 4.15).
const MAX_RANGES: usize = 340;

/// The ID maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User IDs.
    pub uids: Vec<IdMap>,
    /// Group IDs.
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    /// Whether both map every ID alike, however the ranges are divided and ordered.
    pub fn same_as(&self, other: &Self) -> bool {
        normalized(&self.uids) == normalized(&other.uids) && normalized(&self.gids) == normalized(&other.gids)
    }
}

/// The ranges sorted, with adjacent ones merged.
fn normalized(maps: &[IdMap]) -> Vec<IdMap> {
    let mut sorted: Vec<IdMap> = maps.iter().copied().filter(|m| m.size > 0).collect();
    sorted.sort_by_key(|m| m.container);
    let mut result: Vec<IdMap> = Vec::with_capacity(sorted.len());
    for m in sorted {
        match result.last_mut() {
            Some(before)
                if before.container.checked_add(before.size) == Some(m.container)
                    && before.host.checked_add(before.size) == Some(m.host) =>
            {
                before.size = before.size.saturating_add(m.size);
            }
            _ => result.push(m),
        }
    }
    result
}

/// Reads the ID maps of the user namespace of the process whose `/proc/<pid>` directory is `process`, as
/// the caller's user namespace sees them.
pub fn read_id_maps(process: impl AsFd) -> Result<IdMaps> {
    Ok(IdMaps { uids: read_file(&process, c"uid_map")?, gids: read_file(&process, c"gid_map")? })
}

pub(super) fn read_file(process: impl AsFd, name: &CStr) -> Result<Vec<IdMap>> {
    let failed = |e| Error::sys(Phase::Namespace, "read", e).on(name.to_string_lossy());
    let text = fs::read_at(&process, name).map_err(failed)?;
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(container)), Some(Ok(host)), Some(Ok(size))) => Ok(IdMap { container, host, size }),
            _ => Err(failed(Errno::EINVAL)),
        }
    };
    String::from_utf8_lossy(&text).lines().map(line).collect()
}

/// Opens the `/proc` directory of a process. The caller must know that the process still has this PID, for
/// example because it is a child that has not been waited for.
pub fn open_process_dir(pid: i32) -> Result<OwnedFd> {
    let name = format!("/proc/{pid}");
    fs::cstring(&name)
        .and_then(|path| fs::openat(fs::cwd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0))
        .map_err(|e| Error::sys(Phase::Namespace, "open", e).on(name))
}

/// What the kernel would refuse in a map: the index of the range, and why.
pub(super) fn check(maps: &[IdMap]) -> Option<(usize, String)> {
    if maps.len() > MAX_RANGES {
        return Some((MAX_RANGES, format!("{} ranges; the kernel accepts {MAX_RANGES}", maps.len())));
    }
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    let overlap =
        |a: u32, b: u32, m: &IdMap, n: &IdMap| u64::from(a) < end(b, n.size) && u64::from(b) < end(a, m.size);
    for (i, m) in maps.iter().enumerate() {
        if m.size == 0 {
            return Some((i, "the range is empty".into()));
        }
        if end(m.container, m.size).max(end(m.host, m.size)) > u64::from(u32::MAX) {
            return Some((i, "the range exceeds the highest ID".into()));
        }
        let before = maps[..i]
            .iter()
            .position(|n| overlap(m.container, n.container, m, n) || overlap(m.host, n.host, m, n));
        if let Some(other) = before {
            return Some((i, format!("the range overlaps with range {other}")));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn map(container: u32, host: u32, size: u32) -> IdMap {
        IdMap { container, host, size }
    }

    #[test]
    fn ranges_that_the_kernel_refuses_are_found() {
        assert_eq!(check(&[map(0, 1000, 1), map(1, 100_000, 65536)]), None);
        assert_eq!(check(&[map(0, 1000, 0)]).unwrap().0, 0);
        assert_eq!(check(&[map(0, 1000, 2), map(1, 5, 1)]).unwrap().0, 1, "inside");
        assert_eq!(check(&[map(0, 1000, 2), map(7, 1001, 1)]).unwrap().0, 1, "outside");
        assert_eq!(check(&[map(0, u32::MAX - 1, 2)]).unwrap().0, 0);
        assert_eq!(check(&[map(0, 0, u32::MAX)]), None);
        let many: Vec<_> = (0..341).map(|i| map(i * 2, i * 2, 1)).collect();
        assert!(check(&many).unwrap().1.contains("340"));
        assert_eq!(check(&many[..340]), None);
    }

    #[test]
    fn maps_are_equal_however_they_are_divided() {
        let of = |uids: &[IdMap]| IdMaps { uids: uids.to_vec(), gids: Vec::new() };
        let cut = of(&[map(5, 105, 5), map(0, 100, 5), map(20, 7, 1)]);
        assert!(cut.same_as(&of(&[map(0, 100, 10), map(20, 7, 1)])));
        assert!(!cut.same_as(&of(&[map(0, 100, 10)])));
        assert!(!of(&[map(0, 0, 2)]).same_as(&of(&[map(0, 0, 1), map(1, 2, 1)])));
        let own =
            read_id_maps(open_process_dir(i32::try_from(std::process::id()).unwrap()).unwrap()).unwrap();
        assert!(!own.uids.is_empty() && own.same_as(&own));
    }
}
