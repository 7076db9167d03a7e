//! The map of the mount options `idmap=` and `ridmap=`.

use crate::sys::userns::IdMap;

/// A range of an `idmap=` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdmapRange {
    /// First id of the file system.
    pub from: u32,
    /// First id that it appears as.
    pub to: u32,
    /// Number of ids.
    pub size: u32,
    /// `to` is an id of the container's user namespace (`@`), not of the host.
    pub inside: bool,
}

/// The map of an `idmap=` option: `uids=0-1000-10#10-2000-5;gids=@0-0-10`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdmapRanges {
    /// User ids.
    pub uids: Vec<IdmapRange>,
    /// Group ids.
    pub gids: Vec<IdmapRange>,
}

/// Parses the map of an `idmap=` option: `uids=` and `gids=`, separated by `;`, each with a list of `[@]FROM-TO-SIZE`,
/// separated by `#`.
///
/// # Errors
/// The mistake, in words.
pub(super) fn parse(text: &str) -> Result<IdmapRanges, String> {
    let mut ranges = IdmapRanges::default();
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let list = match part.split_once('=') {
            Some(("uids", list)) => (&mut ranges.uids, list),
            Some(("gids", list)) => (&mut ranges.gids, list),
            _ => return Err(format!("{part:?} is neither uids= nor gids=")),
        };
        for range in list.1.split('#').filter(|range| !range.is_empty()) {
            list.0.push(parse_range(range).ok_or_else(|| format!("{range:?} is not FROM-TO-SIZE"))?);
        }
    }
    if ranges.uids.is_empty() || ranges.gids.is_empty() {
        return Err("a map needs both uids= and gids=".to_owned());
    }
    Ok(ranges)
}

fn parse_range(text: &str) -> Option<IdmapRange> {
    let (inside, numbers) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
    let mut numbers = numbers.split('-').map(|n| n.parse::<u32>().ok());
    let (from, to, size) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && size > 0).then_some(IdmapRange { from, to, size, inside })
}

impl IdmapRange {
    /// The range in ids of the host, if `maps` are those of the container's user namespace; `None` unless one of them covers
    /// the whole range.
    pub fn on_host(&self, maps: &[IdMap]) -> Option<IdMap> {
        let map = |host| IdMap { container: self.from, host, size: self.size };
        if !self.inside {
            return Some(map(self.to));
        }
        let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
        let around = maps
            .iter()
            .find(|m| m.container <= self.to && end(self.to, self.size) <= end(m.container, m.size))?;
        around.host.checked_add(self.to - around.container).map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_has_a_map() {
        let ranges = parse("uids=0-1000-10#10-2000-5;gids=@0-3-2").unwrap();
        let range = |from, to, size, inside| IdmapRange { from, to, size, inside };
        assert_eq!(ranges.uids, [range(0, 1000, 10, false), range(10, 2000, 5, false)]);
        assert_eq!(ranges.gids, [range(0, 3, 2, true)]);
        let maps = [IdMap { container: 0, host: 100_000, size: 5 }];
        assert_eq!(ranges.uids[0].on_host(&[]), Some(IdMap { container: 0, host: 1000, size: 10 }));
        assert_eq!(ranges.gids[0].on_host(&maps), Some(IdMap { container: 0, host: 100_003, size: 2 }));
        assert_eq!(range(0, 4, 2, true).on_host(&maps), None, "half of it is outside");
        for bad in [
            "",
            "uids=0-0-1",
            "uids=0-0;gids=0-0-1",
            "uids=0-0-1-1;gids=0-0-1",
            "users=0-0-1",
            "uids=0-0-0;gids=0-0-1",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
