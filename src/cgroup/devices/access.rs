//! Devices, and accesses to them.

use std::fmt;

/// A set of accesses to a device: read, write and mknod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceAccess(pub(super) u8);

impl DeviceAccess {
    /// Create a node for it. The bits are the kernel's `BPF_DEVCG_ACC_*`.
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

    /// The union.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The difference.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Self::READ, "r"), (Self::WRITE, "w"), (Self::MKNOD, "m")] {
            if !self.and(bit).is_empty() {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The type of a device.
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

/// Accesses to some devices. The number `None` matches every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceException {
    /// The type.
    pub kind: DeviceKind,
    /// The major number.
    pub major: Option<u32>,
    /// The minor number.
    pub minor: Option<u32>,
    /// The accesses.
    pub access: DeviceAccess,
}

impl DeviceException {
    pub(super) const fn new(
        kind: DeviceKind,
        major: Option<u32>,
        minor: Option<u32>,
        access: DeviceAccess,
    ) -> Self {
        Self { kind, major, minor, access }
    }

    /// Whether this matches every device that `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.major.is_none() || self.major == other.major)
            && (self.minor.is_none() || self.minor == other.minor)
    }

    pub(super) fn same_devices(&self, other: &Self) -> bool {
        (self.kind, self.major, self.minor) == (other.kind, other.major, other.minor)
    }

    /// Whether some device matches both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meet(self.major, other.major) && meet(self.minor, other.minor)
    }
}

impl fmt::Display for DeviceException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let kind = if self.kind == DeviceKind::Char { 'c' } else { 'b' };
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}
