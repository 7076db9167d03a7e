//! Propagation of mounts between peers; mount_namespaces(7).

use crate::sys::mount::MountPropagationFlags;
use std::fmt;

/// The type of propagation of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    /// Mount events propagate neither from it nor to it.
    Private,
    /// Mount events propagate to it from its master.
    Slave,
    /// Mount events propagate between it and its peers.
    Shared,
    /// Private, and cannot be bind mounted.
    Unbindable,
}

impl PropagationKind {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Private, Self::Slave, Self::Shared, Self::Unbindable];

    /// The name of the mount option.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Slave => "slave",
            Self::Shared => "shared",
            Self::Unbindable => "unbindable",
        }
    }

    /// The flag of mount_setattr(2).
    pub const fn flag(self) -> MountPropagationFlags {
        match self {
            Self::Private => MountPropagationFlags::PRIVATE,
            Self::Slave => MountPropagationFlags::SLAVE,
            Self::Shared => MountPropagationFlags::SHARED,
            Self::Unbindable => MountPropagationFlags::UNBINDABLE,
        }
    }
}

/// A change of propagation. It is displayed as the mount option, such as `rslave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// The new type.
    pub kind: PropagationKind,
    /// For all mounts below it too.
    pub recursive: bool,
}

impl Propagation {
    /// For one mount.
    pub const fn single(kind: PropagationKind) -> Self {
        Self { kind, recursive: false }
    }

    /// For a mount and all mounts below it.
    pub const fn recursive(kind: PropagationKind) -> Self {
        Self { kind, recursive: true }
    }

    /// The change of the mount option of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let find = |name: &str| PropagationKind::ALL.into_iter().find(|kind| kind.name() == name);
        find(name).map(Self::single).or_else(|| name.strip_prefix('r').and_then(find).map(Self::recursive))
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.recursive { "r" } else { "" }, self.kind.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::names::PROPAGATIONS;

    #[test]
    fn names_are_those_of_the_spec() {
        for name in PROPAGATIONS {
            assert_eq!(Propagation::from_name(name).unwrap().to_string(), name);
        }
        for name in ["", "r", "rrslave", "Slave", "slaver"] {
            assert_eq!(Propagation::from_name(name), None, "{name}");
        }
    }
}
