//! Which devices a cgroup may use: the rules, their meaning, and the two ways to enforce them.

mod attach;
mod program;
#[cfg(test)]
mod tests;
mod v1;

pub(super) use attach::{attach, replace};
pub(super) use v1::apply as apply_v1;

use crate::bundle::spec::DeviceRule;
use crate::{Error, Phase, Result};
use std::fmt;

/// What may be done with a device: a set of read, write and mknod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access(u8);

impl Access {
    /// Make a node for it. The bits are the kernel's `BPF_DEVCG_ACC_*`.
    pub const MKNOD: Self = Self(1);
    /// Read from it.
    pub const READ: Self = Self(2);
    /// Write to it.
    pub const WRITE: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Parses letters of `rwm` in any order.
    pub fn parse(letters: &str) -> Option<Self> {
        letters.chars().try_fold(Self::NONE, |set, c| {
            Some(set.or(match c {
                'r' => Self::READ,
                'w' => Self::WRITE,
                'm' => Self::MKNOD,
                _ => return None,
            }))
        })
    }

    /// The kernel's bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of `self` which `other` lacks.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if !self.and(bit).is_empty() {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// Block or character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// A block device.
    Block,
    /// A character device.
    Char,
}

impl DeviceKind {
    /// The kernel's `BPF_DEVCG_DEV_*`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Block => 1,
            Self::Char => 2,
        }
    }
}

/// Devices and an access to them; `None` as a number is every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Exception {
    /// Block or character.
    pub kind: DeviceKind,
    /// The major number.
    pub major: Option<u32>,
    /// The minor number.
    pub minor: Option<u32>,
    /// The access.
    pub access: Access,
}

impl Exception {
    const fn new(kind: DeviceKind, major: Option<u32>, minor: Option<u32>, access: Access) -> Self {
        Self { kind, major, minor, access }
    }

    /// Whether every device of `other` is one of `self`.
    fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.major.is_none() || self.major == other.major)
            && (self.minor.is_none() || self.minor == other.minor)
    }

    fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Whether some device is one of both.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let kind = if self.kind == DeviceKind::Char { 'c' } else { 'b' };
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    on: Exception,
    /// Where in the configuration's list it stands; `None` for the defaults.
    index: Option<usize>,
}

/// Rules of access to devices: of each of read, write and mknod the last matching rule decides, and
/// without one the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePolicy {
    allow_by_default: bool,
    rules: Vec<Rule>,
}

/// Devices which every container may use, after the configuration's own rules: mknod of anything,
/// null, zero, full, random, urandom, tty, console, ptmx and pseudo terminals.
const DEFAULTS: [Exception; 11] = {
    use DeviceKind::{Block, Char};
    const fn one(major: u32, minor: u32) -> Exception {
        Exception::new(Char, Some(major), Some(minor), Access::ALL)
    }
    [
        Exception::new(Char, None, None, Access::MKNOD),
        Exception::new(Block, None, None, Access::MKNOD),
        one(1, 3),
        one(1, 5),
        one(1, 7),
        one(1, 8),
        one(1, 9),
        one(5, 0),
        one(5, 1),
        one(5, 2),
        Exception::new(Char, Some(136), None, Access::ALL),
    ]
};

impl DevicePolicy {
    /// Nothing allowed but by `rules` (config-linux.md#allowed-device-list), then the standard
    /// devices allowed.
    ///
    /// A rule on all devices and accesses resets what stood before it. A rule of type `a` with
    /// numbers or a partial access is one on block and one on character devices.
    ///
    /// # Errors
    /// An unknown type or access letter, or a number out of range, with its pointer.
    pub fn container(rules: &[DeviceRule]) -> Result<Self> {
        let mut policy =
            Self { allow_by_default: false, rules: Vec::with_capacity(rules.len() + DEFAULTS.len()) };
        for (index, rule) in rules.iter().enumerate() {
            policy.add(index, rule)?;
        }
        for on in DEFAULTS {
            policy.push(Rule { allow: true, on, index: None });
        }
        Ok(policy)
    }

    fn add(&mut self, index: usize, rule: &DeviceRule) -> Result<()> {
        let refuse = |field: &str, why: String| {
            let pointer = format!("/linux/resources/devices/{index}/{field}");
            Error::new(crate::ErrorKind::InvalidArgument, Phase::Cgroup, "invalid device rule")
                .with_detail(why)
                .with_pointer(pointer)
        };
        let number = |field: &'static str, value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(n) => {
                let number = i32::try_from(n).ok().and_then(|n| u32::try_from(n).ok());
                number.map(Some).ok_or_else(|| refuse(field, format!("{n} is not a device number")))
            }
        };
        let (major, minor) = (number("major", rule.major)?, number("minor", rule.minor)?);
        let access = match rule.access.as_deref() {
            None | Some("") => Access::ALL,
            Some(letters) => Access::parse(letters)
                .ok_or_else(|| refuse("access", format!("{letters:?} is not made of r, w and m")))?,
        };
        let kinds: &[DeviceKind] = match rule.kind.as_deref() {
            None | Some("a" | "") => &[DeviceKind::Char, DeviceKind::Block],
            Some("c" | "u") => &[DeviceKind::Char],
            Some("b") => &[DeviceKind::Block],
            Some(other) => return Err(refuse("type", format!("{other:?} is not one of a, b, c"))),
        };
        if kinds.len() == 2 && major.is_none() && minor.is_none() && access == Access::ALL {
            self.rules.clear();
            self.allow_by_default = rule.allow;
            return Ok(());
        }
        for &kind in kinds {
            let on = Exception::new(kind, major, minor, access);
            self.push(Rule { allow: rule.allow, on, index: Some(index) });
        }
        Ok(())
    }

    fn push(&mut self, rule: Rule) {
        let redundant = rule.allow == self.allow_by_default
            && !self.rules.iter().any(|r| r.allow != rule.allow && r.on.overlaps(&rule.on));
        if !redundant {
            self.rules.push(rule);
        }
    }

    /// Whether everything is allowed: no filter is needed.
    pub fn allows_everything(&self) -> bool {
        self.allow_by_default && self.rules.is_empty()
    }

    /// Which of the wanted accesses to a device would be refused.
    pub fn refused(&self, kind: DeviceKind, major: u32, minor: u32, wanted: Access) -> Access {
        let device = Exception::new(kind, Some(major), Some(minor), Access::ALL);
        let mut left = wanted;
        let mut refused = Access::NONE;
        for rule in self.rules.iter().rev().filter(|r| r.on.covers(&device)) {
            let decided = left.and(rule.on.access);
            if !rule.allow {
                refused = refused.or(decided);
            }
            left = left.without(decided);
        }
        if self.allow_by_default { refused } else { refused.or(left) }
    }
}
