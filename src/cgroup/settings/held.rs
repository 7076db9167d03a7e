//! Does a cgroup's file hold a value? Kernels answer in other words than they are asked in.

use crate::bundle::parse_id_list;
use std::collections::BTreeSet;

/// v1 spells "unlimited" as the largest number of whole pages, whatever the page's size.
const V1_UNLIMITED: u64 = (i64::MAX as u64) & !0xffff;

/// Whether `now`, the text of `file`, says what writing `value` would make it say. `None` where that
/// cannot be told from the text.
pub(super) fn holds(file: &str, value: &str, now: &str) -> Option<bool> {
    let (value, now) = (value.trim(), now.trim());
    if value == now {
        return Some(true);
    }
    match file {
        "memory.oom_control" => Some(line(now, "oom_kill_disable")? == value),
        "cpu.max" => {
            // Without a second word the period stays.
            let mut words = now.split_ascii_whitespace();
            Some(value.split_ascii_whitespace().all(|word| words.next() == Some(word)))
        }
        "cpuset.cpus" | "cpuset.mems" => Some(ids(value)? == ids(now)?),
        _ if is_keyed(file) => {
            let (key, wanted) = keyed(file, value)?;
            Some(line(now, key).map_or_else(|| is_nothing(wanted), |has| same_rates(wanted, has)))
        }
        _ => same_number(file, value, now),
    }
}

/// What to write so that `file`, whose text was `before`, says again what it said before `value` was
/// written to it.
pub(super) fn undoing(file: &str, value: &str, before: &str) -> Option<String> {
    let before = before.trim();
    if file == "memory.oom_control" {
        return line(before, "oom_kill_disable").map(str::to_owned);
    }
    if is_keyed(file) {
        let (key, wanted) = keyed(file, value)?;
        let rest = match (line(before, key), file) {
            (Some(rest), _) => rest.to_owned(),
            (None, "io.weight" | "io.bfq.weight") => "default".to_owned(),
            (None, "io.max" | "rdma.max") => {
                let names = wanted.split_ascii_whitespace().filter_map(|w| w.split_once('='));
                names.map(|(name, _)| format!("{name}=max")).collect::<Vec<_>>().join(" ")
            }
            (None, _) => "0".to_owned(),
        };
        return Some(format!("{key} {rest}"));
    }
    // Files with a line for each of several things are beyond one write.
    (before.lines().count() <= 1).then(|| if before.is_empty() { "\n".into() } else { before.to_owned() })
}

/// Files with a line for each device, or interface.
fn is_keyed(file: &str) -> bool {
    matches!(file, "io.max" | "io.weight" | "io.bfq.weight" | "rdma.max" | "net_prio.ifpriomap")
        || file.starts_with("blkio.throttle.")
        || (file.starts_with("blkio.") && file.ends_with("weight_device"))
}

/// The key of a line that is to be written, and the rest.
fn keyed<'a>(file: &str, value: &'a str) -> Option<(&'a str, &'a str)> {
    match value.split_once(char::is_whitespace) {
        Some((key, rest)) => Some((key, rest.trim())),
        None if file.ends_with("weight") => Some(("default", value)),
        None => None,
    }
}

fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', '\t'])).map(str::trim)
}

/// Whether a line says what no line says too.
fn is_nothing(rest: &str) -> bool {
    rest == "0" || rest.split_ascii_whitespace().all(|word| word.ends_with("=max"))
}

/// `name=number ...` or one number; names which are not asked for do not count.
fn same_rates(wanted: &str, has: &str) -> bool {
    wanted == has
        || (wanted.contains('=')
            && wanted.split_ascii_whitespace().all(|word| has.split_ascii_whitespace().any(|h| h == word)))
}

fn ids(list: &str) -> Option<BTreeSet<u32>> {
    if list.is_empty() {
        return Some(BTreeSet::new());
    }
    Some(parse_id_list(list).ok()?.into_iter().flatten().collect())
}

/// One number each; amounts of memory are rounded down to whole pages.
fn same_number(file: &str, value: &str, now: &str) -> Option<bool> {
    let number = |text: &str| match text {
        "max" | "-1" => Some(u64::MAX),
        _ => text.parse::<u64>().ok(),
    };
    let (mut wanted, mut has) = (number(value)?, number(now)?);
    if let Some(page) = page_of(file) {
        wanted -= wanted % page;
        for amount in [&mut wanted, &mut has] {
            if *amount >= V1_UNLIMITED {
                *amount = u64::MAX;
            }
        }
    }
    Some(wanted == has)
}

/// The size of the pages in which a file counts.
fn page_of(file: &str) -> Option<u64> {
    if file.starts_with("memory.") {
        let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        return Some(size.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(4096));
    }
    let size = file.strip_prefix("hugetlb.")?.split('.').next()?;
    let digits = size.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &size[digits..] {
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    size[..digits].parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words() {
        for (file, value, now) in [
            ("pids.max", "max", "max\n"),
            ("memory.max", "1000000", "999424\n"),
            ("memory.limit_in_bytes", "-1", "9223372036854771712\n"),
            ("memory.oom_control", "1", "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n"),
            ("cpu.max", "50000", "50000 100000\n"),
            ("cpu.max", "max 20000", "max 20000\n"),
            ("cpuset.cpus", "0,1,2", "0-2\n"),
            ("cpuset.mems", "", "\n"),
            ("io.max", "8:0 wbps=77", "8:0 rbps=1 wbps=77 riops=max wiops=max\n"),
            ("io.max", "8:0 rbps=max", ""),
            ("io.weight", "50", "default 50\n8:0 10\n"),
            ("io.bfq.weight", "8:0 10", "default 50\n8:0 10\n"),
            ("blkio.throttle.read_bps_device", "8:0 5", "8:16 6\n8:0 5\n"),
            ("blkio.throttle.read_bps_device", "8:0 0", "8:16 6\n"),
            ("rdma.max", "mlx hca_object=3", "mlx hca_handle=max hca_object=3\n"),
            ("hugetlb.2MB.max", "3000000", "2097152\n"),
            ("cpu.shares", "300", "300\n"),
        ] {
            assert_eq!(holds(file, value, now), Some(true), "{file} {value}");
        }
        for (file, value, now) in [
            ("pids.max", "5", "max\n"),
            ("memory.max", "33558528", "33554432\n"),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n"),
            ("cpu.max", "50000 20000", "50000 100000\n"),
            ("cpuset.cpus", "0-1", "0\n"),
            ("io.max", "8:0 wbps=77", "8:0 rbps=1 wbps=7 riops=max wiops=max\n"),
            ("io.weight", "8:0 50", "default 50\n"),
            ("hugetlb.2MB.max", "2097152", "4194304\n"),
            ("cpu.shares", "1", "2\n"),
        ] {
            assert_eq!(holds(file, value, now), Some(false), "{file} {value}");
        }
        for (file, value, now) in [("memory.high", "50M", "max\n"), ("cgroup.subtree_control", "+cpu", "")] {
            assert_eq!(holds(file, value, now), None, "{file} {value}");
        }
    }

    #[test]
    fn the_way_back() {
        for (file, value, before, back) in [
            ("pids.max", "5", "max\n", "max"),
            ("cpuset.cpus", "0", "\n", "\n"),
            ("cpu.max", "5000", "max 100000\n", "max 100000"),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\n", "0"),
            ("io.max", "8:0 rbps=5", "8:16 rbps=7 wbps=max\n", "8:0 rbps=max"),
            ("io.max", "8:0 rbps=5", "8:0 rbps=7 wbps=max\n", "8:0 rbps=7 wbps=max"),
            ("io.weight", "50", "default 100\n8:0 3\n", "default 100"),
            ("io.weight", "8:0 50", "default 100\n", "8:0 default"),
            ("blkio.throttle.write_iops_device", "8:0 50", "", "8:0 0"),
        ] {
            assert_eq!(undoing(file, value, before).as_deref(), Some(back), "{file} {value}");
        }
        assert_eq!(undoing("misc.max", "a 1", "a max\nb max\n"), None);
    }
}
