//! Device rules as properties of a unit.
//!
//! Systemd attaches a filter of its own beside that of this library, and the kernel asks both. Systemd knows no rule that denies, so
//! its filter may allow more than the rules do, but never less.

use super::property::Property;
use super::value::Value;
use crate::cgroup::devices::{DeviceException, DeviceKind};
use crate::cgroup::settings::Settings;

/// The property that decides what `DeviceAllow` means.
pub(super) const POLICY: &str = "DevicePolicy";
/// Only what `DeviceAllow` lists is allowed.
pub(super) const STRICT: &str = "strict";

/// The properties for a new unit. If `strict` is requested, everything is listed even if the rules allow everything by default.
pub(super) fn device_properties(settings: &Settings, strict: bool) -> Vec<Property> {
    let Some(policy) = settings.v2_devices() else { return Vec::new() };
    let (name, list) = match policy.allowed() {
        Some(allowed) => (STRICT, allowed.map(entry).collect()),
        None if strict => {
            (STRICT, ["char-*", "block-*"].map(|all| pair(all.to_owned(), "rwm".to_owned())).into())
        }
        None => ("auto", Vec::new()),
    };
    let allow = Value::Array("(ss)".into(), list);
    vec![(POLICY.to_owned(), Value::Str(name.to_owned())), ("DeviceAllow".to_owned(), allow)]
}

/// The properties that replace those of an existing unit, to whose list systemd appends: an empty one comes first.
pub(super) fn new_device_properties(settings: &Settings) -> Vec<Property> {
    let mut properties = device_properties(settings, false);
    if !properties.is_empty() {
        properties.insert(0, ("DeviceAllow".to_owned(), Value::Array("(ss)".into(), Vec::new())));
    }
    properties
}

/// An entry of `DeviceAllow`: a device, or `char-MAJOR` for all of a major number.
fn entry(allowed: &DeviceException) -> Value {
    let kind = match allowed.kind {
        DeviceKind::Char => "char",
        DeviceKind::Block => "block",
    };
    let devices = match (allowed.major, allowed.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{major}"),
        (None, _) => format!("{kind}-*"),
    };
    pair(devices, allowed.access.to_string())
}

fn pair(devices: String, access: String) -> Value {
    Value::Struct(vec![Value::Str(devices), Value::Str(access)])
}

#[cfg(test)]
mod tests {
    use super::super::limits::tests::settings_of;
    use super::*;

    fn properties(rules: &str, strict: bool) -> (String, Vec<String>) {
        let settings = settings_of(&format!(r#"{{"devices": {rules}}}"#), true);
        let all = device_properties(&settings, strict);
        let [(policy, Value::Str(name)), (allow, Value::Array(_, list))] = &all[..] else {
            panic!("{all:?}")
        };
        assert_eq!((policy.as_str(), allow.as_str()), ("DevicePolicy", "DeviceAllow"));
        let line = |pair: &Value| match pair {
            Value::Struct(words) => words.iter().filter_map(Value::text).collect::<Vec<_>>().join(" "),
            other => panic!("{other:?}"),
        };
        (name.clone(), list.iter().map(line).collect())
    }

    #[test]
    fn allowed_devices_are_listed() {
        let (policy, list) = properties(
            r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"},
                {"allow": true, "type": "c", "minor": 7, "access": "w"}, {"allow": false, "type": "b", "major": 8}]"#,
            false,
        );
        assert_eq!(policy, "strict");
        // The rules that every container has follow, in their order.
        assert_eq!(list[..3], ["/dev/block/8:1 r", "char-* w", "char-* m"]);
        assert_eq!(list.last().map(String::as_str), Some("char-136 rwm"));
        assert_eq!(list.len(), 2 + 11);
    }

    #[test]
    fn what_is_denied_is_left_to_the_other_filter() {
        let rules = r#"[{"allow": true, "access": "rwm"}, {"allow": false, "type": "b", "access": "rwm"}]"#;
        assert_eq!(properties(rules, false), ("auto".into(), Vec::new()));
        let all = vec!["char-* rwm".to_owned(), "block-* rwm".to_owned()];
        assert_eq!(properties(rules, true), ("strict".into(), all));
    }

    #[test]
    fn without_a_filter_of_ours_systemd_gets_no_rules() {
        assert_eq!(device_properties(&settings_of(r#"{"devices": []}"#, false), true), []);
        assert_eq!(new_device_properties(&settings_of(r#"{"devices": []}"#, false)), []);
        let new = new_device_properties(&settings_of(r#"{"devices": []}"#, true));
        assert_eq!(
            new.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["DeviceAllow", "DevicePolicy", "DeviceAllow"]
        );
    }
}
