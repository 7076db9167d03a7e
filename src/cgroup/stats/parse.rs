//! The formats of cgroup statistics files.

use super::types::{IoDevice, IoEntry, Pressure, Stall};
use crate::cgroup::file::parse_number;
use std::collections::BTreeMap;

/// Lines of `name number`.
pub(super) fn flat(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), parse_number(value.trim())?))
    };
    text.lines().filter_map(pair).collect()
}

/// Lines of `name key=number key=number`.
pub(super) fn nested(text: &str) -> Vec<(&str, BTreeMap<&str, u64>)> {
    text.lines().filter_map(split_line).collect()
}

fn split_line(line: &str) -> Option<(&str, BTreeMap<&str, u64>)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?, words.filter_map(split_pair).collect()))
}

fn split_pair(word: &str) -> Option<(&str, u64)> {
    let (key, value) = word.split_once('=')?;
    Some((key, parse_number(value)?))
}

/// Lines of `major:minor Operation number` or `major:minor number`; totals of all devices are left out.
pub(super) fn blkio(text: &str) -> Vec<IoEntry> {
    let entry = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = numbers(words.next()?)?;
        let (operation, value) = match (words.next()?, words.next()) {
            (operation, Some(value)) => (operation, value),
            (value, None) => ("", value),
        };
        Some(IoEntry { major, minor, operation: operation.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// The fields of the devices in tables of bytes and of operations.
pub(super) fn devices(bytes: &[IoEntry], operations: &[IoEntry]) -> Vec<IoDevice> {
    let mut devices: BTreeMap<(u32, u32), IoDevice> = BTreeMap::new();
    let entries = bytes.iter().map(|e| (e, true)).chain(operations.iter().map(|e| (e, false)));
    for (entry, bytes) in entries {
        let (major, minor) = (entry.major, entry.minor);
        let device =
            devices.entry((major, minor)).or_insert(IoDevice { major, minor, ..IoDevice::default() });
        let field = match (entry.operation.as_str(), bytes) {
            ("Read", true) => &mut device.read_bytes,
            ("Write", true) => &mut device.write_bytes,
            ("Discard", true) => &mut device.discard_bytes,
            ("Read", false) => &mut device.reads,
            ("Write", false) => &mut device.writes,
            ("Discard", false) => &mut device.discards,
            _ => continue,
        };
        *field = entry.value;
    }
    devices.into_values().collect()
}

/// `cpuacct.usage_all`: user and system time by processor, below a header line.
pub(super) fn usage_all(text: &str) -> (Vec<u64>, Vec<u64>) {
    let pair = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        Some((words.next()?.parse::<u64>().ok()?, words.next()?.parse::<u64>().ok()?))
    };
    text.lines().filter_map(pair).unzip()
}

/// `io.stat`.
pub(super) fn io_stat(text: &str) -> Vec<IoDevice> {
    let device = |(name, values): (&str, BTreeMap<&str, u64>)| {
        let (major, minor) = numbers(name)?;
        let get = |key| values.get(key).copied().unwrap_or(0);
        Some(IoDevice {
            major,
            minor,
            read_bytes: get("rbytes"),
            write_bytes: get("wbytes"),
            discard_bytes: get("dbytes"),
            reads: get("rios"),
            writes: get("wios"),
            discards: get("dios"),
        })
    };
    let mut devices: Vec<IoDevice> = nested(text).into_iter().filter_map(device).collect();
    devices.sort_unstable_by_key(|d| (d.major, d.minor));
    devices
}

fn numbers(device: &str) -> Option<(u32, u32)> {
    let (major, minor) = device.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A pressure file; `None` if it has no `some` line.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let stall = |kind: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(kind)?.strip_prefix(' '))?;
        let mut stall = Stall::default();
        for (key, value) in line.split_ascii_whitespace().filter_map(|w| w.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = value.parse().ok()?,
                "avg60" => stall.avg60 = value.parse().ok()?,
                "avg300" => stall.avg300 = value.parse().ok()?,
                "total" => stall.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(stall)
    };
    Some(Pressure { some: stall("some")?, full: stall("full") })
}
