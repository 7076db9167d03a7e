//! The descriptors that the host side opens for a plan.

use crate::mount::options::MountOptions;
use crate::namespace::{IdMaps, Kind};

/// The map of an idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idmap {
    /// Whose files appear as whose.
    pub owners: Owners,
    /// For all mounts below it too.
    pub recursive: bool,
}

/// What the owners of an idmapped mount's files are mapped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owners {
    /// From the file system's ids to the ids of the first user namespace.
    Maps(IdMaps),
    /// As the user namespace behind this file maps its ids.
    Namespace(String),
}

/// A descriptor which the host side opens before the launch, preset in a register of the stub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The cgroup v1 `tasks` file with this number among the container's hierarchies.
    Tasks(usize),
    /// A namespace to be joined.
    Namespace {
        /// Its kind.
        kind: Kind,
        /// Where its file is, in words if it has no path.
        path: String,
    },
    /// The `tasks` file of a resctrl group.
    Resctrl(String),
    /// The namespaces of the process behind this pidfd.
    Process,
    /// A detached copy of the mount tree at this host path, for user namespaces whose root cannot
    /// reach it.
    Tree {
        /// The path.
        path: String,
        /// With all mounts below it.
        recursive: bool,
        /// The owners of its files, mapped.
        idmap: Option<Box<Idmap>>,
    },
    /// A new file system of the first user namespace, detached, the owners of its files mapped.
    FileSystem {
        /// Its type.
        kind: String,
        /// Its `source` string.
        source: String,
        /// Its options.
        options: Box<MountOptions>,
        /// The owners of its files, mapped.
        idmap: Box<Idmap>,
    },
    /// A descriptor of the caller's.
    Given,
    /// The socket that takes the terminal's master.
    Console,
    /// The listening socket on which `start` calls.
    Start,
}
