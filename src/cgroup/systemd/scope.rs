//! The scope of a container, and the instance of systemd that has it.

use super::bus::SystemdBus;
use super::unit::Unit;
use serde::{Deserialize, Serialize};

/// An instance of systemd: the system's, or a user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdInstance {
    /// The cgroup that has its units; empty for the root.
    pub root: String,
    /// Whether it is the instance of a user.
    pub user: bool,
}

/// A scope, and how to reach the instance of systemd that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The unit.
    pub unit: Unit,
    /// The addresses.
    pub bus: SystemdBus,
}
