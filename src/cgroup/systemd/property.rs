//! A container's limits and annotations as properties of its unit (systemd.resource-control(5)).
//!
//! Systemd writes a unit's files whenever it reloads: what it manages must be told to it, or a reload
//! would lift the limit. The files are written by this library besides, exactly: what has no property
//! is left alone by systemd, since the unit is delegated.

use super::text;
use super::value::Value;
use crate::bundle::annotations::{self, AllowedAnnotations, Annotations, SYSTEMD_PROPERTY};
use crate::cgroup::settings::{Rule, Setting, Settings};
use crate::{Error, ErrorKind, Phase, Result};
use std::collections::BTreeMap;

/// What an annotation may always set: it concerns the scope alone, and gives it nothing.
const HARMLESS: [&str; 7] = [
    "After",
    "CollectMode",
    "FinalKillSignal",
    "KillSignal",
    "RuntimeMaxUSec",
    "SendSIGHUP",
    "TimeoutStopUSec",
];
/// What is the runtime's own to set, by its exact name.
const OURS: [&str; 8] = [
    "Controller",
    "DefaultDependencies",
    "Description",
    "DisableControllers",
    "PIDFDs",
    "PIDs",
    "RestrictNetworkInterfaces",
    "Slice",
];
/// Families of limits, accounting, and rules for devices and networks, which are the runtime's too: all names that
/// begin so, whatever later versions of systemd add.
const OUR_FAMILIES: [&str; 19] = [
    "Allowed",
    "BPF",
    "BlockIO",
    "CPU",
    "DefaultMemory",
    "DefaultStartup",
    "Delegate",
    "Device",
    "Effective",
    "IO",
    "IP",
    "ManagedOOM",
    "Memory",
    "NFT",
    "OOM",
    "Restrict",
    "SocketBind",
    "Startup",
    "Tasks",
];
/// What systemd calls no limit.
const INFINITY: u64 = u64::MAX;
/// The kernel's period of `cpu.max` where none was set, in microseconds.
const PERIOD: u64 = 100_000;
/// Systemd keeps a quota as whole percent of a processor: microseconds in a second.
const PERCENT: u64 = 10_000;

/// A property and its value.
pub(super) type Property = (String, Value);

/// What a configuration's annotations ask of its unit, and may.
#[derive(Debug, Default)]
pub struct Asked(Vec<Property>);

impl Asked {
    /// Reads the annotations `org.systemd.property.NAME`. A name that ends with `Sec` means the property that ends with
    /// `USec`, in seconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the annotation's pointer, for a property that is the runtime's to set, for
    /// one that the caller would have to allow, and for a value that is none.
    pub(crate) fn of(annotations: &Annotations, allowed: &AllowedAnnotations) -> Result<Self> {
        of_annotations(annotations, allowed).map(Self)
    }

    pub(super) fn into_properties(self) -> Vec<Property> {
        self.0
    }
}

/// Whether an annotation may set the property of this name.
fn judge(name: &str, allowed: bool) -> Result<(), Refusal> {
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    if OURS.contains(&name) || OUR_FAMILIES.iter().any(|family| name.starts_with(family)) {
        return Err(Refusal::Ours);
    }
    if allowed { Ok(()) } else { Err(Refusal::NotAllowed) }
}

/// Why an annotation may not set a property.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    /// It is the runtime's to set.
    Ours,
    /// The caller would have to allow it.
    NotAllowed,
}

fn of_annotations(annotations: &Annotations, allowed: &AllowedAnnotations) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    for (name, value) in annotations.values(&SYSTEMD_PROPERTY) {
        let key = format!("{}{name}", SYSTEMD_PROPERTY.name());
        let refuse = |why: String| {
            Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid systemd property")
                .on(format!("{name}={value}"))
                .with_detail(why)
                .with_pointer(annotations::pointer(&key))
        };
        if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(refuse("a property's name is made of three letters or more".into()));
        }
        let stem = name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase()));
        let property = stem.map_or_else(|| name.to_owned(), |stem| format!("{stem}USec"));
        match judge(&property, allowed.contains(&SYSTEMD_PROPERTY)) {
            Ok(()) => {}
            Err(Refusal::Ours) => {
                let why = format!("annotation {key} cannot set it: {property} is the runtime's own to set");
                return Err(
                    refuse(why).with_hint("limits are in /linux/resources, the slice in /linux/cgroupsPath")
                );
            }
            Err(Refusal::NotAllowed) => return Err(annotations::refused(&SYSTEMD_PROPERTY, &key)),
        }
        let value = text::parse(value).map_err(refuse)?;
        properties.push(match stem {
            Some(_) => (property, microseconds(&value).map_err(refuse)?),
            None => (property, value),
        });
    }
    Ok(properties)
}

#[allow(clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "in the range that was checked")]
fn microseconds(seconds: &Value) -> Result<Value, String> {
    let whole = match *seconds {
        Value::Byte(n) => Some(n.into()),
        Value::U16(n) => Some(n.into()),
        Value::U32(n) => Some(n.into()),
        Value::U64(n) => Some(n),
        Value::I16(n) => u64::try_from(n).ok(),
        Value::I32(n) => u64::try_from(n).ok(),
        Value::I64(n) => u64::try_from(n).ok(),
        Value::F64(n) if n >= 0.0 && n < u64::MAX as f64 / 1e6 => return Ok(Value::U64((n * 1e6) as u64)),
        _ => None,
    };
    let micro = whole.and_then(|n| n.checked_mul(1_000_000));
    micro.map(Value::U64).ok_or_else(|| "it is not a number of seconds".into())
}

/// What systemd of this version is told of the limits.
pub(super) fn of_settings(settings: &Settings, version: u32) -> Vec<Property> {
    let mut found: BTreeMap<&'static str, Value> = BTreeMap::new();
    let mut put = |name: &'static str, value: Value| {
        match (found.get_mut(name), value) {
            // One line of a file for each device.
            (Some(Value::Array(_, all)), Value::Array(_, more)) => all.extend(more),
            (_, value) => drop(found.insert(name, value)),
        }
    };
    for setting in settings.entries() {
        one(setting, version, &mut put);
    }
    found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn one(setting: &Setting, version: u32, put: &mut dyn FnMut(&'static str, Value)) {
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
        // Systemd has no limit of zero; the file gets it.
        "pids.max" => number("TasksMax", limit().map(|n| n.max(1))),
        "cpu.weight" => number("CPUWeight", limit()),
        "cpu.idle" if value == "1" => {
            since = 252;
            Some(("CPUWeight", Value::U64(0)))
        }
        "cpu.shares" => number("CPUShares", limit()),
        "cpu.max" => {
            if let Some((quota, period)) = quota(value, setting.rule == Rule::KeepQuota) {
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
        "io.weight" => number("IOWeight", value.strip_prefix("default ").unwrap_or(value).parse().ok()),
        "io.max" => {
            for (name, line) in io(value) {
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

/// Quota and period of a line of `cpu.max`; the quota is absent where only the period is set.
fn quota(value: &str, only_period: bool) -> Option<(Option<u64>, Option<u64>)> {
    if only_period {
        return Some((None, value.parse().ok()));
    }
    let mut words = value.split_ascii_whitespace();
    let first = words.next()?;
    let quota = if first == "max" { INFINITY } else { first.parse().ok()? };
    Some((Some(quota), words.next().and_then(|word| word.parse().ok())))
}

/// A quota as time in each second, no less: reloading, systemd rounds it to whole percent.
fn per_second(quota: u64, period: u64) -> u64 {
    if quota == INFINITY || period == 0 {
        return INFINITY;
    }
    let time = u128::from(quota) * 1_000_000 / u128::from(period);
    u64::try_from(time).map_or(INFINITY, |time| time.next_multiple_of(PERCENT))
}

/// A list such as `0-3,7` as a bit for each number, the lowest byte first.
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

/// A line of `io.max`, `8:0 rbps=1 wiops=max`.
fn io(line: &str) -> Vec<(&'static str, Value)> {
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
        let pair = Value::Struct(vec![Value::Str(format!("/dev/block/{device}")), Value::U64(limit)]);
        Some((name, Value::Array("(st)".into(), vec![pair])))
    });
    limits.collect()
}

/// As the D-Bus methods take them: `a(sv)`.
pub(super) fn encode(properties: impl IntoIterator<Item = Property>) -> Value {
    let pair =
        |(name, value): Property| Value::Struct(vec![Value::Str(name), Value::Variant(Box::new(value))]);
    Value::Array("(sv)".into(), properties.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::spec::Resources;
    use crate::cgroup::{Layout, Options};
    use std::path::Path;

    fn of_resources(json: &str) -> Vec<Property> {
        let spec = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"resources": {json}}}}}"#);
        let spec = crate::bundle::Spec::from_json(spec.as_bytes()).unwrap();
        let resources: Resources = spec.linux.unwrap().resources.unwrap();
        let directory = crate::cgroup::testing::TempDir::new("properties");
        let mount = directory.path().join("cg");
        std::fs::create_dir_all(&mount).unwrap();
        std::fs::write(mount.join("cgroup.controllers"), "cpuset cpu io memory hugetlb pids").unwrap();
        std::fs::write(directory.path().join("mountinfo"), "1 0 0:1 / /cg rw - cgroup2 x rw\n").unwrap();
        let layout = Layout::detect_in(directory.path(), Path::new(directory.path())).unwrap().unwrap();
        let options = Options { device_filter: false, optional: false };
        of_settings(&Settings::compile(&layout, &resources, &options).unwrap(), 252)
    }

    fn number(name: &str, value: u64) -> Property {
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
    fn quotas() {
        assert_eq!(per_second(50_000, 100_000), 500_000);
        assert_eq!(per_second(INFINITY, 100_000), INFINITY);
        assert_eq!(per_second(1, 3), 340_000);
        assert_eq!(quota("max 5", false), Some((Some(INFINITY), Some(5))));
        assert_eq!(quota("5", true), Some((None, Some(5))));
    }

    fn of(key: &str, value: &str, allowed: &AllowedAnnotations) -> Result<Vec<Property>> {
        let annotations = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        of_annotations(&annotations.into(), allowed)
    }

    #[test]
    fn annotations_become_properties() {
        let one = |key, value| of(key, value, &AllowedAnnotations::default()).unwrap().pop();
        assert_eq!(
            one("org.systemd.property.TimeoutStopUSec", "uint64 10000000"),
            Some(number("TimeoutStopUSec", 10_000_000))
        );
        assert_eq!(
            one("org.systemd.property.TimeoutStopSec", "uint64 10"),
            Some(number("TimeoutStopUSec", 10_000_000))
        );
        assert_eq!(
            one("org.systemd.property.TimeoutStopSec", "1.5"),
            Some(number("TimeoutStopUSec", 1_500_000))
        );
        assert_eq!(
            one("org.systemd.property.CollectMode", "'inactive-or-failed'").unwrap().1.text(),
            Some("inactive-or-failed")
        );
        assert_eq!(one("io.podman.x", "y"), None);
        for (key, value) in [
            ("A", "1"),
            ("Nice_", "1"),
            ("KillSignal", "mixed"),
            ("TimeoutStopSec", "'x'"),
            ("TimeoutStopSec", "-1"),
        ] {
            let key = format!("org.systemd.property.{key}");
            let e = of(&key, value, &AllowedAnnotations::default()).unwrap_err();
            assert_eq!(e.pointer(), Some(format!("/annotations/{key}").as_str()), "{e}");
        }
    }

    /// Whatever the caller allows.
    #[test]
    fn what_the_runtime_sets_no_annotation_sets() {
        let mut all = AllowedAnnotations::default();
        all.allow(SYSTEMD_PROPERTY.name()).unwrap();
        let set = of_settings_names().chain(
            [
                "PIDs",
                "Slice",
                "Delegate",
                "DefaultDependencies",
                "Description",
                "MemoryAccounting",
                "CPUAccounting",
                "TasksAccounting",
                "IOAccounting",
                "CPUQuota",
                "MemoryMaxScale",
                "StartupMemoryMax",
                "DeviceAllow",
                "DevicePolicy",
                "DelegateSubgroup",
                "BPFProgram",
                "IPAddressAllow",
                "ManagedOOMPreference",
                "CPUQuotaPerSecSec",
                "PIDFDs",
                "OOMPolicy",
            ]
            .map(str::to_owned),
        );
        for name in set {
            let key = format!("org.systemd.property.{name}");
            for allowed in [&AllowedAnnotations::default(), &all] {
                let e = of(&key, "uint64 1", allowed).unwrap_err();
                assert!(e.to_string().contains("the runtime's own to set"), "{e}");
                assert_eq!(e.pointer(), Some(format!("/annotations/{key}").as_str()));
            }
        }
    }

    /// Every name that limits are told to systemd by.
    fn of_settings_names() -> impl Iterator<Item = String> {
        let all = r#"{"memory": {"limit": 1000, "reservation": 500, "swap": 3000}, "pids": {"limit": 1},
            "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0", "mems": "0"},
            "unified": {"io.max": "8:0 rbps=1 wbps=1 riops=1 wiops=1", "memory.high": "1", "memory.min": "1",
            "io.weight": "1"}}"#;
        let names: Vec<String> = of_resources(all).into_iter().map(|(name, _)| name).collect();
        assert!(names.len() > 12, "{names:?}");
        names.into_iter().chain(["MemoryLimit".to_owned(), "CPUShares".to_owned()])
    }

    #[test]
    fn what_reaches_beyond_the_scope_is_for_the_caller_to_allow() {
        let mut all = AllowedAnnotations::default();
        all.allow(SYSTEMD_PROPERTY.name()).unwrap();
        // Compared exactly: another spelling is another property.
        for name in [
            "Conflicts",
            "OnFailure",
            "SuccessAction",
            "Before",
            "KillMode",
            "collectMode",
            "AFTER",
            "NoSuch",
        ] {
            let key = format!("org.systemd.property.{name}");
            let e = of(&key, "'x'", &AllowedAnnotations::default()).unwrap_err();
            let text = e.to_string();
            assert!(text.contains("annotation is not allowed") && text.contains(&key), "{text}");
            assert_eq!(e.hint(), Some("--allow-annotation org.systemd.property."));
            assert_eq!(of(&key, "'x'", &all).unwrap(), [(name.to_owned(), Value::Str("x".into()))]);
        }
    }

    #[test]
    fn the_table_names_what_is_harmless() {
        let text = SYSTEMD_PROPERTY.needs_permission().unwrap();
        let named: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, HARMLESS);
    }
}
