//! Propagation of mounts between peers; mount_namespaces(7).

use crate::sys::mount::MountPropagationFlags;
use std::fmt;

/// What a mount does with what is mounted below it, and below its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropagationKind {
    /// Passes nothing on, and takes nothing.
    Private,
    /// Takes from its master, and passes nothing on.
    Slave,
    /// Passes on to its peers, and takes from them.
    Shared,
    /// Private, and cannot be bound elsewhere.
    Unbindable,
}

impl PropagationKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Private, Self::Slave, Self::Shared, Self::Unbindable];

    /// The mount option of this name.
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

/// A change of propagation. Its text is the mount option: `rslave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Propagation {
    /// What the mount becomes.
    pub kind: PropagationKind,
    /// With all mounts below it.
    pub recursive: bool,
}

impl Propagation {
    /// Of one mount.
    pub const fn single(kind: PropagationKind) -> Self {
        Self { kind, recursive: false }
    }

    /// Of a mount and all mounts below it.
    pub const fn recursive(kind: PropagationKind) -> Self {
        Self { kind, recursive: true }
    }

    /// What the mount option of this name asks for.
    pub fn from_name(name: &str) -> Option<Self> {
        let of = |name: &str| PropagationKind::ALL.into_iter().find(|kind| kind.name() == name);
        of(name).map(Self::single).or_else(|| name.strip_prefix('r').and_then(of).map(Self::recursive))
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
