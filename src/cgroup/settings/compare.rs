//! Whether a cgroup's file contains a value. The kernel often prints a value differently from how it was written.

use crate::bundle::parse_id_list;
use crate::cgroup::file::V1_UNLIMITED;
use std::collections::BTreeSet;

/// Whether writing `value` to `file`, whose text is `now`, would change nothing. `None` if the text does not tell.
pub(super) fn has_value(file: &str, value: &str, now: &str) -> Option<bool> {
    let (value, now) = (value.trim(), now.trim());
    if value == now {
        return Some(true);
    }
    match file {
        "memory.oom_control" => Some(line(now, "oom_kill_disable")? == value),
        "cpu.max" => {
            // The kernel keeps the period if there is no second word.
            let mut words = now.split_ascii_whitespace();
            Some(value.split_ascii_whitespace().all(|word| words.next() == Some(word)))
        }
        "cpuset.cpus" | "cpuset.mems" => Some(ids(value)? == ids(now)?),
        _ if is_keyed(file) => {
            let (key, wanted) = split_key(file, value)?;
            Some(line(now, key).map_or_else(|| is_default(wanted), |has| same_rates(wanted, has)))
        }
        _ => same_number(file, value, now),
    }
}

/// What to write to `file` after `value`, so that its text is `before` again. `None` if one write cannot restore it.
pub(super) fn restoring_value(file: &str, value: &str, before: &str) -> Option<String> {
    let before = before.trim();
    if file == "memory.oom_control" {
        return line(before, "oom_kill_disable").map(str::to_owned);
    }
    if is_keyed(file) {
        let (key, wanted) = split_key(file, value)?;
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
    // One write cannot restore several lines.
    (before.lines().count() <= 1).then(|| if before.is_empty() { "\n".into() } else { before.to_owned() })
}

/// Whether the file has a line for each device or interface.
fn is_keyed(file: &str) -> bool {
    matches!(file, "io.max" | "io.weight" | "io.bfq.weight" | "rdma.max" | "net_prio.ifpriomap")
        || file.starts_with("blkio.throttle.")
        || (file.starts_with("blkio.") && file.ends_with("weight_device"))
}

/// Splits a line to be written into its key and the rest.
fn split_key<'a>(file: &str, value: &'a str) -> Option<(&'a str, &'a str)> {
    match value.split_once(char::is_whitespace) {
        Some((key, rest)) => Some((key, rest.trim())),
        None if file.ends_with("weight") => Some(("default", value)),
        None => None,
    }
}

/// The rest of the line with this key.
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', '\t'])).map(str::trim)
}

/// Whether a line with this rest means the same as no line.
fn is_default(rest: &str) -> bool {
    rest == "0" || rest.split_ascii_whitespace().all(|word| word.ends_with("=max"))
}

/// Compares `name=number ...` or one number; names that are not in `wanted` are ignored.
fn same_rates(wanted: &str, has: &str) -> bool {
    wanted == has
        || (wanted.contains('=')
            && wanted.split_ascii_whitespace().all(|word| has.split_ascii_whitespace().any(|h| h == word)))
}

/// The numbers in a list such as `0-3,7`.
fn ids(list: &str) -> Option<BTreeSet<u32>> {
    if list.is_empty() {
        return Some(BTreeSet::new());
    }
    Some(parse_id_list(list).ok()?.into_iter().flatten().collect())
}

/// Compares single numbers. The kernel rounds amounts of memory down to whole pages.
fn same_number(file: &str, value: &str, now: &str) -> Option<bool> {
    let number = |text: &str| match text {
        "max" | "-1" => Some(u64::MAX),
        _ => text.parse::<u64>().ok(),
    };
    let (mut wanted, mut has) = (number(value)?, number(now)?);
    if let Some(page) = page_size(file) {
        wanted -= wanted % page;
        for amount in [&mut wanted, &mut has] {
            if *amount >= V1_UNLIMITED {
                *amount = u64::MAX;
            }
        }
    }
    Some(wanted == has)
}

/// The page size to which the kernel rounds the values of a file.
fn page_size(file: &str) -> Option<u64> {
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
    fn values_are_compared_in_the_kernels_format() {
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
            assert_eq!(has_value(file, value, now), Some(true), "{file} {value}");
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
            assert_eq!(has_value(file, value, now), Some(false), "{file} {value}");
        }
        for (file, value, now) in [("memory.high", "50M", "max\n"), ("cgroup.subtree_control", "+cpu", "")] {
            assert_eq!(has_value(file, value, now), None, "{file} {value}");
        }
    }

    #[test]
    fn previous_values_are_restored() {
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
            assert_eq!(restoring_value(file, value, before).as_deref(), Some(back), "{file} {value}");
        }
        assert_eq!(restoring_value("misc.max", "a 1", "a max\nb max\n"), None);
    }
}
