//! Annotations that set properties of the container's unit.

use super::devices;
use super::property::Property;
use super::text;
use super::value::Value;
use crate::bundle::annotations::{self, AllowedAnnotations, Annotations, SYSTEMD_PROPERTY};
use crate::{Error, ErrorKind, Phase, Result};

/// Properties that an annotation may always set: they affect only the scope, and grant it nothing.
const HARMLESS: [&str; 7] = [
    "After",
    "CollectMode",
    "FinalKillSignal",
    "KillSignal",
    "RuntimeMaxUSec",
    "SendSIGHUP",
    "TimeoutStopUSec",
];
/// Properties that only the runtime may set.
const RUNTIME_PROPERTIES: [&str; 8] = [
    "Controller",
    "DefaultDependencies",
    "Description",
    "DisableControllers",
    "PIDFDs",
    "PIDs",
    "RestrictNetworkInterfaces",
    "Slice",
];
/// Prefixes of further properties that only the runtime may set: limits, accounting, and rules for devices and networks.
/// They include properties that later versions of systemd may add.
const RUNTIME_PREFIXES: [&str; 19] = [
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

/// The properties that a configuration's annotations request, and may set.
#[derive(Debug, Default)]
pub struct RequestedProperties(Vec<Property>);

impl RequestedProperties {
    /// Parses the annotations `org.systemd.property.NAME`. A name that ends with `Sec` means the property that ends with
    /// `USec`, in seconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the annotation's pointer, if only the runtime may set the property, if the
    /// caller has not allowed it, or if the value is invalid.
    pub(crate) fn from_annotations(annotations: &Annotations, allowed: &AllowedAnnotations) -> Result<Self> {
        requested_properties(annotations, allowed).map(Self)
    }

    pub(super) fn into_properties(self) -> Vec<Property> {
        self.0
    }
}

/// Checks whether an annotation may set the property with this name. The rules for devices stay the runtime's own: a strict
/// policy is as they are, or adds the filter of systemd to that of the runtime.
fn check_name(name: &str, value: &str, allowed: bool) -> Result<(), NameError> {
    let is_strict = || text::parse(value).is_ok_and(|value| value.text() == Some(devices::STRICT));
    if name == "AddRef" {
        return Err(NameError::WithoutEffect);
    }
    if name == devices::POLICY && is_strict() {
        return Ok(());
    }
    if HARMLESS.contains(&name) {
        return Ok(());
    }
    if RUNTIME_PROPERTIES.contains(&name) || RUNTIME_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(NameError::SetByRuntime);
    }
    if allowed { Ok(()) } else { Err(NameError::NotAllowed) }
}

/// Why an annotation may not set a property.
#[derive(Debug, PartialEq, Eq)]
enum NameError {
    /// Only the runtime may set it.
    SetByRuntime,
    /// The caller has not allowed it.
    NotAllowed,
    /// It would have no effect.
    WithoutEffect,
}

fn requested_properties(annotations: &Annotations, allowed: &AllowedAnnotations) -> Result<Vec<Property>> {
    let mut properties = Vec::new();
    for (name, value) in annotations.values(&SYSTEMD_PROPERTY) {
        let key = format!("{}{name}", SYSTEMD_PROPERTY.name());
        let invalid = |why: String| {
            Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid systemd property")
                .on(format!("{name}={value}"))
                .with_detail(why)
                .with_pointer(annotations::pointer(&key))
        };
        if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(invalid("a property's name consists of three letters or more".into()));
        }
        let stem = name.strip_suffix("Sec").filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase()));
        let property = stem.map_or_else(|| name.to_owned(), |stem| format!("{stem}USec"));
        match check_name(&property, value, allowed.contains(&SYSTEMD_PROPERTY)) {
            Ok(()) => {}
            Err(NameError::SetByRuntime) => {
                let why = format!("annotation {key} cannot set it: {property} is the runtime's own to set");
                return Err(
                    invalid(why).with_hint("limits are in /linux/resources, the slice in /linux/cgroupsPath")
                );
            }
            Err(NameError::WithoutEffect) => {
                let why = format!(
                    "annotation {key} cannot set it: the reference to the unit ends with the connection to systemd, which \
                     the runtime closes when the container is created"
                );
                return Err(invalid(why));
            }
            Err(NameError::NotAllowed) => return Err(annotations::refused(&SYSTEMD_PROPERTY, &key)),
        }
        let value = text::parse(value).map_err(invalid)?;
        properties.push(match stem {
            Some(_) => (property, microseconds(&value).map_err(invalid)?),
            None => (property, value),
        });
    }
    Ok(properties)
}

/// A number of seconds in microseconds.
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

#[cfg(test)]
mod tests {
    use super::super::limits::tests::{number, of_resources};
    use super::*;
    use std::collections::BTreeMap;

    fn requested(key: &str, value: &str, allowed: &AllowedAnnotations) -> Result<Vec<Property>> {
        let annotations = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        requested_properties(&annotations.into(), allowed)
    }

    #[test]
    fn annotations_become_properties() {
        let one = |key, value| requested(key, value, &AllowedAnnotations::default()).unwrap().pop();
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
            let e = requested(&key, value, &AllowedAnnotations::default()).unwrap_err();
            assert_eq!(e.pointer(), Some(format!("/annotations/{key}").as_str()), "{e}");
        }
    }

    #[test]
    fn properties_of_the_runtime_are_rejected_whatever_the_caller_allows() {
        let mut all = AllowedAnnotations::default();
        all.allow(SYSTEMD_PROPERTY.name()).unwrap();
        let set = limit_property_names().chain(
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
                let e = requested(&key, "uint64 1", allowed).unwrap_err();
                assert!(e.to_string().contains("the runtime's own to set"), "{e}");
                assert_eq!(e.pointer(), Some(format!("/annotations/{key}").as_str()));
            }
        }
    }

    /// The names of all properties for limits.
    fn limit_property_names() -> impl Iterator<Item = String> {
        let all = r#"{"memory": {"limit": 1000, "reservation": 500, "swap": 3000}, "pids": {"limit": 1},
            "cpu": {"shares": 1024, "quota": 12345, "period": 100000, "cpus": "0", "mems": "0"},
            "unified": {"io.max": "8:0 rbps=1 wbps=1 riops=1 wiops=1", "memory.high": "1", "memory.min": "1",
            "io.weight": "1"}}"#;
        let names: Vec<String> = of_resources(all).into_iter().map(|(name, _)| name).collect();
        assert!(names.len() > 12, "{names:?}");
        names.into_iter().chain(["MemoryLimit".to_owned(), "CPUShares".to_owned()])
    }

    #[test]
    fn a_strict_device_policy_can_be_requested_and_a_reference_cannot() {
        let none = AllowedAnnotations::default();
        let strict = requested("org.systemd.property.DevicePolicy", "'strict'", &none).unwrap();
        assert_eq!(strict, [("DevicePolicy".to_owned(), Value::Str("strict".into()))]);
        for other in ["'auto'", "'closed'", "strict"] {
            let e = requested("org.systemd.property.DevicePolicy", other, &none).unwrap_err().to_string();
            assert!(e.contains("the runtime's own to set"), "{other}: {e}");
        }
        let mut all = AllowedAnnotations::default();
        all.allow(SYSTEMD_PROPERTY.name()).unwrap();
        for allowed in [&none, &all] {
            let e = requested("org.systemd.property.AddRef", "true", allowed).unwrap_err();
            assert!(e.to_string().contains("the reference to the unit ends"), "{e}");
            assert_eq!(e.pointer(), Some("/annotations/org.systemd.property.AddRef"));
        }
    }

    #[test]
    fn properties_that_affect_more_than_the_scope_need_permission() {
        let mut all = AllowedAnnotations::default();
        all.allow(SYSTEMD_PROPERTY.name()).unwrap();
        // Names are case-sensitive.
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
            let e = requested(&key, "'x'", &AllowedAnnotations::default()).unwrap_err();
            let text = e.to_string();
            assert!(text.contains("annotation is not allowed") && text.contains(&key), "{text}");
            assert_eq!(e.hint(), Some("--allow-annotation org.systemd.property."));
            assert_eq!(requested(&key, "'x'", &all).unwrap(), [(name.to_owned(), Value::Str("x".into()))]);
        }
    }

    #[test]
    fn the_annotation_table_lists_the_harmless_properties() {
        let text = SYSTEMD_PROPERTY.needs_permission().unwrap();
        let named: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        assert_eq!(named, HARMLESS);
    }
}
