//! Checks that several files of the validator share.

use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::id_list::parse_id_list;
use crate::bundle::spec::{IdMapping, Namespace, Spec};

/// Reports `value` unless it is one of `allowed`; returns whether it is.
pub(super) fn one_of(
    value: &str,
    allowed: &[&str],
    at: &Pointer<'_>,
    section: &'static str,
    found: &mut Findings,
) -> bool {
    let good = allowed.contains(&value);
    if !good {
        let message = if value.is_empty() {
            format!("must not be empty; one of {}", allowed.join(", "))
        } else {
            format!("{value:?} is not one of {}", allowed.join(", "))
        };
        found.error(at, section, message);
    }
    good
}

/// Reports a path that is not absolute.
pub(super) fn absolute(path: &str, at: &Pointer<'_>, section: &'static str, found: &mut Findings) {
    if !path.starts_with('/') {
        found.error(at, section, format!("{path:?} must be an absolute path"));
    }
}

/// Reports an invalid list of CPUs or memory nodes.
pub(super) fn id_list(text: Option<&str>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) {
    if let Some(Err(why)) = text.map(parse_id_list) {
        found.error(at, section, why);
    }
}

/// The entry of this type of namespace, new or joined.
pub(super) fn namespace<'s>(spec: &'s Spec, kind: &str) -> Option<&'s Namespace> {
    spec.linux.as_ref().and_then(|linux| linux.namespaces.iter().find(|ns| ns.kind == kind))
}

/// Reports ranges that the kernel refuses: empty ones, ones that exceed 32 bits, overlaps inside or outside.
pub(super) fn id_maps(maps: &[IdMapping], at: &Pointer<'_>, section: &'static str, found: &mut Findings) {
    /// The number of lines that the kernel accepts; user_namespaces(7).
    const LINES: usize = 340;
    if maps.len() > LINES {
        found.error(at, section, format!("must not have more than {LINES} entries"));
        return;
    }
    let overlap = |a: u32, b: u32, a_size: u32, b_size: u32| {
        let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
        u64::from(a) < end(b, b_size) && u64::from(b) < end(a, a_size)
    };
    for (i, map) in maps.iter().enumerate() {
        let at = at.index(i);
        if map.size == 0 {
            found.error(&at.key("size"), section, "must not be zero");
        }
        for (name, first) in [("containerID", map.container_id), ("hostID", map.host_id)] {
            if first.checked_add(map.size).is_none() {
                found.error(&at.key(name), section, "the range must end below 4294967295");
            }
        }
        for earlier in &maps[..i] {
            if overlap(earlier.container_id, map.container_id, earlier.size, map.size) {
                found.error(&at.key("containerID"), section, "overlaps with an earlier range");
                break;
            }
            if overlap(earlier.host_id, map.host_id, earlier.size, map.size) {
                found.error(&at.key("hostID"), section, "overlaps with an earlier range");
                break;
            }
        }
    }
}
