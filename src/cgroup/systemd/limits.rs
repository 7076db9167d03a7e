//! Limits as properties of a unit: systemd.resource-control(5).
//!
//! When systemd reloads, it writes the files of a unit again. A limit that it manages must therefore be a property, or
//! reloading would remove it. This library also writes the files with the exact values. Systemd does not change files
//! without a property, because the unit is delegated.

use super::property::Property;
use super::value::Value;
use crate::cgroup::settings::{Setting, Settings};
use std::collections::BTreeMap;

/// Systemd's value for "unlimited".
const INFINITY: u64 = u64::MAX;
/// The kernel's default period of `cpu.max`, in microseconds.
const PERIOD: u64 = 100_000;
/// One percent of a processor, in microseconds per second.
const PERCENT: u64 = 10_000;

/// The limits as properties that this version of systemd supports.
pub(super) fn limit_properties(settings: &Settings, version: u32) -> Vec<Property> {
    let mut found: BTreeMap<&'static str, Value> = BTreeMap::new();
    let mut put = |name: &'static str, value: Value| {
        match (found.get_mut(name), value) {
            // The file has one line for each device.
            (Some(Value::Array(_, all)), Value::Array(_, more)) => all.extend(more),
            (_, value) => drop(found.insert(name, value)),
        }
    };
    for setting in settings.entries() {
        add_limit(setting, version, &mut put);
    }
    found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Adds the property for a setting, if there is one.
fn add_limit(setting: &Setting, version: u32, put: &mut dyn FnMut(&'static str, Value)) {
    let value = setting.value.trim();
    let limit = || if matches!(value, "max" | "-1") { Some(INFINITY) } else { value.parse::<u64>().ok() };
    let number = |name, value: Option<u64>| value.map(|n| (name, Value::U64(n)));
    let mut since = 0;
    let found = match setting.file.as_ref() {
        "memory.max" => number("MemoryMax", limit()),
        "memory.high" => number("MemoryHigh", limit()),
        "memory.low" => number("MemoryLow", limit()),
        "memory.min" => number("MemoryMin", limit()),
        "memory.swap.max" => number("MemorySwapMax", limit()),
        "memory.limit_in_bytes" => number("MemoryLimit", limit()),
        // Systemd does not support a limit of zero, which is only written to the file.
        "pids.max" => number("TasksMax", limit().map(|n| n.max(1))),
        "cpu.weight" => number("CPUWeight", limit()),
        "cpu.idle" if value == "1" => {
            since = 252;
            Some(("CPUWeight", Value::U64(0)))
        }
        "cpu.shares" => number("CPUShares", limit()),
        "cpu.max" => {
            if let Some((quota, period)) = quota(value, setting.keeps_quota()) {
                if let Some(period) = period.filter(|_| version >= 242) {
                    put("CPUQuotaPeriodUSec", Value::U64(period));
                }
                if let Some(quota) = quota {
                    put("CPUQuotaPerSecUSec", Value::U64(per_second(quota, period.unwrap_or(PERIOD))));
                }
            }
            None
        }
        "cpuset.cpus" => {
            since = 244;
            bits(value).map(|bits| ("AllowedCPUs", bits))
        }
        "cpuset.mems" => {
            since = 244;
            bits(value).map(|bits| ("AllowedMemoryNodes", bits))
        }
        "memory.zswap.max" => {
            since = 253;
            number("MemoryZSwapMax", limit())
        }
        "io.weight" => io_weight(value),
        "io.bfq.weight" => setting.substitute().and_then(|(_, value)| io_weight(value)),
        "io.max" => {
            for (name, line) in io_limits(value) {
                put(name, line);
            }
            None
        }
        _ => None,
    };
    if let Some((name, value)) = found.filter(|_| version >= since) {
        put(name, value);
    }
}

/// What `memory.oom.group` is called, which versions before 253 leave alone. It cannot be changed later.
pub(super) fn oom_policy(settings: &Settings, version: u32) -> Option<Property> {
    let found = settings.entries().iter().rfind(|setting| setting.file == "memory.oom.group")?;
    let policy = if found.value.trim() == "0" { "continue" } else { "kill" };
    (version >= 253).then(|| ("OOMPolicy".to_owned(), Value::Str(policy.to_owned())))
}

/// The property for a line of `io.weight`: a weight, `default WEIGHT`, or `MAJOR:MINOR WEIGHT`.
fn io_weight(line: &str) -> Option<(&'static str, Value)> {
    match line.split_once(char::is_whitespace) {
        Some((device, weight)) if device != "default" => {
            Some(("IODeviceWeight", for_device(device, weight.trim().parse().ok()?)))
        }
        Some((_, weight)) => Some(("IOWeight", Value::U64(weight.trim().parse().ok()?))),
        None => Some(("IOWeight", Value::U64(line.parse().ok()?))),
    }
}

/// A list with the number for one device.
fn for_device(device: &str, number: u64) -> Value {
    let pair = Value::Struct(vec![Value::Str(format!("/dev/block/{device}")), Value::U64(number)]);
    Value::Array("(st)".into(), vec![pair])
}

/// The quota and period in a value of `cpu.max`, which may be only a period.
fn quota(value: &str, only_period: bool) -> Option<(Option<u64>, Option<u64>)> {
    if only_period {
        return Some((None, value.parse().ok()));
    }
    let mut words = value.split_ascii_whitespace();
    let first = words.next()?;
    let quota = if first == "max" { INFINITY } else { first.parse().ok()? };
    Some((Some(quota), words.next().and_then(|word| word.parse().ok())))
}

/// The quota as CPU time per second, rounded up to whole percent, as systemd does when it reloads.
fn per_second(quota: u64, period: u64) -> u64 {
    if quota == INFINITY || period == 0 {
        return INFINITY;
    }
    let time = u128::from(quota) * 1_000_000 / u128::from(period);
    u64::try_from(time).map_or(INFINITY, |time| time.next_multiple_of(PERCENT))
}

/// A list such as `0-3,7` as a bit mask, the lowest byte first.
fn bits(list: &str) -> Option<Value> {
    const MOST: usize = 1 << 13;
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= MOST {
            return None;
        }
        bytes.resize(bytes.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|n| bytes[n / 8] |= 1 << (n % 8));
    }
    (!bytes.is_empty()).then(|| Value::bytes(bytes))
}

/// The properties for a line of `io.max`, such as `8:0 rbps=1 wiops=max`.
fn io_limits(line: &str) -> Vec<(&'static str, Value)> {
    let mut words = line.split_ascii_whitespace();
    let Some(device) = words.next() else { return Vec::new() };
    let limits = words.filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => return None,
        };
        let limit = if value == "max" { INFINITY } else { value.parse().ok()? };
        Some((name, for_device(device, limit)))
    });
    limits.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bundle::spec::Resources;
    use crate::cgroup::settings::compile_settings;
    use crate::cgroup::{CgroupOptions, Layout};
    use std::path::Path;

    pub(in crate::cgroup::systemd) fn of_resources(json: &str) -> Vec<Property> {
        let settings = settings_of(json, false);
        limit_properties(&settings, 257).into_iter().chain(oom_policy(&settings, 257)).collect()
    }

    pub(in crate::cgroup::systemd) fn settings_of(json: &str, device_filter: bool) -> Settings {
        let spec = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"resources": {json}}}}}"#);
        let spec = crate::bundle::Spec::from_json(spec.as_bytes()).unwrap();
        let resources: Resources = spec.linux.unwrap().resources.unwrap();
        let directory = crate::cgroup::testing::TempDir::new("properties");
        let mount = directory.path().join("cg");
        std::fs::create_dir_all(&mount).unwrap();
        std::fs::write(mount.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids").unwrap();
        std::fs::write(directory.path().join("mountinfo"), "1 0 0:1 / /cg rw - cgroup2 x rw\n").unwrap();
        let layout = Layout::detect_in(directory.path(), Path::new(directory.path())).unwrap().unwrap();
        compile_settings(&layout, &resources, &CgroupOptions { device_filter, optional: false }).unwrap()
    }

    pub(in crate::cgroup::systemd) fn number(name: &str, value: u64) -> Property {
        (name.to_owned(), Value::U64(value))
    }

    #[test]
    fn limits_become_properties() {
        let memory = r#"{"memory": {"limit": 1000, "reservation": 500, "swap": 3000}, "pids": {"limit": 0}}"#;
        assert_eq!(
            of_resources(memory),
            [
                number("MemoryLow", 500),
                number("MemoryMax", 1000),
                number("MemorySwapMax", 2000),
                number("TasksMax", 1)
            ]
        );
        let cpu =
            r#"{"cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0-2,9", "mems": "0"}}"#;
        assert_eq!(
            of_resources(cpu),
            [
                ("AllowedCPUs".into(), Value::bytes([7, 2])),
                ("AllowedMemoryNodes".into(), Value::bytes([1])),
                number("CPUQuotaPerSecUSec", 130_000),
                number("CPUQuotaPeriodUSec", 100_000),
                number("CPUWeight", 100),
            ]
        );
        let io = r#"{"unified": {"io.max": "8:0 rbps=1 wiops=max\n8:16 rbps=2", "memory.high": "max"}}"#;
        let all = of_resources(io);
        let Value::Array(_, lines) = &all[0].1 else { panic!("{all:?}") };
        assert_eq!((all[0].0.as_str(), lines.len(), all.len()), ("IOReadBandwidthMax", 2, 3));
        assert_eq!(all[2], number("MemoryHigh", u64::MAX));
    }

    #[test]
    fn weights_of_block_devices_are_known_to_systemd() {
        let io = r#"{"blockIO": {"weight": 500, "weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}"#;
        let pair = Value::Struct(vec![Value::Str("/dev/block/8:0".into()), Value::U64(1)]);
        let device = ("IODeviceWeight".to_owned(), Value::Array("(st)".into(), vec![pair]));
        assert_eq!(of_resources(io), [device, number("IOWeight", 4950)]);
        let default = r#"{"unified": {"io.weight": "default 70"}}"#;
        assert_eq!(of_resources(default), [number("IOWeight", 70)]);
    }

    #[test]
    fn limits_of_recent_versions_are_told_to_them_alone() {
        let all = r#"{"unified": {"memory.oom.group": "1", "memory.zswap.max": "4096"}}"#;
        let kill = ("OOMPolicy".to_owned(), Value::Str("kill".into()));
        assert_eq!(of_resources(all), [number("MemoryZSwapMax", 4096), kill]);
        let settings = settings_of(all, false);
        assert!(limit_properties(&settings, 252).is_empty() && oom_policy(&settings, 252).is_none());
    }

    #[test]
    fn quotas_are_converted_to_time_per_second() {
        assert_eq!(per_second(50_000, 100_000), 500_000);
        assert_eq!(per_second(INFINITY, 100_000), INFINITY);
        assert_eq!(per_second(1, 3), 340_000);
        assert_eq!(quota("max 5", false), Some((Some(INFINITY), Some(5))));
        assert_eq!(quota("5", true), Some((None, Some(5))));
    }
}
