//! The options that a bundle is compiled with, in addition to its configuration.

use crate::cgroup::CgroupManager;
use crate::cgroup::systemd::SystemdInstance;
use serde::{Deserialize, Serialize};

/// What the caller of `create` chooses in addition to the configuration.
///
/// The serialized form lacks the fields that differ between two compilations for one container: the id, which is the
/// container's, [`wait_for_start`](Self::wait_for_start) and [`program`](Self::program).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of its own.
pub struct Options {
    /// The container's id.
    #[serde(skip)]
    pub id: String,
    /// Wait for `start` after the setup.
    #[serde(skip)]
    pub wait_for_start: bool,
    /// The program, if it is not the first argument of the process.
    #[serde(skip)]
    pub program: Option<String>,
    /// The stub gets a socket to which it sends the terminal's master.
    pub console: bool,
    /// The caller relays the terminal to one of its own, which adds the carriage returns.
    pub keep_console: bool,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
    /// Environment variables to add, `NAME=value`.
    pub extra_env: Vec<String>,
    /// `HOME` of the user, from the container's passwd file.
    pub home: Option<String>,
    /// Use a move mount and chroot(2) instead of `pivot_root(2)`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Stay as PID 1, which reaps and forwards signals.
    pub init: bool,
    /// Whether to go on without the cgroups that the caller is not permitted to create. `None`: yes for an
    /// unprivileged caller without a `cgroupsPath`.
    pub optional_cgroup: Option<bool>,
    /// How the cgroup is created.
    pub cgroup_manager: CgroupManager,
    /// Where systemd's units are, if it manages the cgroups.
    pub systemd: SystemdInstance,
    /// A directory of the host with a socket for the service manager. The container sees it as `/run/notify`.
    pub notify: Option<String>,
}

impl Options {
    /// Whether every serialized field has its default.
    pub(crate) fn serializes_nothing(&self) -> bool {
        let skipped = Self {
            id: self.id.clone(),
            wait_for_start: self.wait_for_start,
            program: self.program.clone(),
            ..Self::default()
        };
        *self == skipped
    }
}
