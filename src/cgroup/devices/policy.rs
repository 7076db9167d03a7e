//! Device rules, and what they mean.

use super::access::{DeviceAccess, DeviceException, DeviceKind};
use crate::bundle::spec::DeviceRule;
use crate::{Error, Phase, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccessRule {
    pub(super) allow: bool,
    pub(super) exception: DeviceException,
    /// Its index in the configuration; `None` for the defaults.
    pub(super) index: Option<usize>,
}

/// Which accesses to devices are allowed. For each of read, write and mknod the last matching rule decides; if there is
/// none, the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    pub(super) allow_by_default: bool,
    pub(super) rules: Vec<AccessRule>,
}

/// What every container may do, whatever the configuration's rules are: create any node, and use null, zero, full,
/// random, urandom, tty, ptmx, pseudo-terminals and network tunnels. Not the console of the host: a container's own is a
/// pseudo-terminal.
pub(super) const DEFAULTS: [DeviceException; 11] = {
    use DeviceKind::{Block, Char};
    const fn char_device(major: u32, minor: u32) -> DeviceException {
        DeviceException::new(Char, Some(major), Some(minor), DeviceAccess::ALL)
    }
    [
        DeviceException::new(Char, None, None, DeviceAccess::MKNOD),
        DeviceException::new(Block, None, None, DeviceAccess::MKNOD),
        char_device(1, 3),
        char_device(1, 5),
        char_device(1, 7),
        char_device(1, 8),
        char_device(1, 9),
        char_device(5, 0),
        char_device(5, 2),
        char_device(10, 200),
        DeviceException::new(Char, Some(136), None, DeviceAccess::ALL),
    ]
};

impl DevicePolicy {
    /// A policy that allows what `rules` (config-linux.md#allowed-device-list) allow, and the standard devices.
    ///
    /// A rule for all accesses to all devices replaces the rules before it. A rule of type `a` with a number, or for some
    /// accesses, is a rule for block devices and one for character devices.
    ///
    /// # Errors
    /// If a type or an access is unknown, or a number is out of range, with the pointer.
    pub fn container(rules: &[DeviceRule]) -> Result<Self> {
        let mut policy =
            Self { allow_by_default: false, rules: Vec::with_capacity(rules.len() + DEFAULTS.len()) };
        for (index, rule) in rules.iter().enumerate() {
            policy.add(index, rule)?;
        }
        for exception in DEFAULTS {
            policy.push(AccessRule { allow: true, exception, index: None });
        }
        Ok(policy)
    }

    fn add(&mut self, index: usize, rule: &DeviceRule) -> Result<()> {
        let invalid = |field: &str, why: String| {
            let pointer = format!("/linux/resources/devices/{index}/{field}");
            Error::new(crate::ErrorKind::InvalidArgument, Phase::Cgroup, "invalid device rule")
                .with_detail(why)
                .with_pointer(pointer)
        };
        let number = |field: &'static str, value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(n) => {
                let number = i32::try_from(n).ok().and_then(|n| u32::try_from(n).ok());
                number.map(Some).ok_or_else(|| invalid(field, format!("{n} is not a device number")))
            }
        };
        let (major, minor) = (number("major", rule.major)?, number("minor", rule.minor)?);
        let access = match rule.access.as_deref() {
            None | Some("") => DeviceAccess::ALL,
            // The type of all devices, among the accesses: configurations that other runtimes run have it.
            Some(letters) => DeviceAccess::parse(&letters.replace('a', ""))
                .ok_or_else(|| invalid("access", format!("{letters:?} does not consist of r, w and m")))?,
        };
        let kinds: &[DeviceKind] = match rule.kind.as_deref() {
            None | Some("a" | "") => &[DeviceKind::Char, DeviceKind::Block],
            Some("c" | "u") => &[DeviceKind::Char],
            Some("b") => &[DeviceKind::Block],
            Some(other) => return Err(invalid("type", format!("{other:?} is not one of a, b, c"))),
        };
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == DeviceAccess::ALL {
            self.rules.clear();
            self.allow_by_default = rule.allow;
            return Ok(());
        }
        for &kind in kinds {
            let exception = DeviceException::new(kind, major, minor, access);
            self.push(AccessRule { allow: rule.allow, exception, index: Some(index) });
        }
        Ok(())
    }

    fn push(&mut self, rule: AccessRule) {
        let redundant = rule.allow == self.allow_by_default
            && !self.rules.iter().any(|r| r.allow != rule.allow && r.exception.overlaps(&rule.exception));
        if !redundant {
            self.rules.push(rule);
        }
    }

    /// What rules allow, though other rules may deny parts of it; `None` if the default is to allow.
    pub(in crate::cgroup) fn allowed(&self) -> Option<impl Iterator<Item = &DeviceException>> {
        let allowed = self.rules.iter().filter(|rule| rule.allow).map(|rule| &rule.exception);
        (!self.allow_by_default).then_some(allowed)
    }

    /// Whether everything is allowed, so that no filter is needed.
    pub fn allows_everything(&self) -> bool {
        self.allow_by_default && self.rules.is_empty()
    }

    /// Which of the wanted accesses to a device are denied.
    pub fn denied(&self, kind: DeviceKind, major: u32, minor: u32, wanted: DeviceAccess) -> DeviceAccess {
        let device = DeviceException::new(kind, Some(major), Some(minor), DeviceAccess::ALL);
        let mut left = wanted;
        let mut denied = DeviceAccess::NONE;
        for rule in self.rules.iter().rev().filter(|r| r.exception.covers(&device)) {
            let decided = left.and(rule.exception.access);
            if !rule.allow {
                denied = denied.or(decided);
            }
            left = left.without(decided);
        }
        if self.allow_by_default { denied } else { denied.or(left) }
    }
}
