//! The state of a container as callers see it: that of the runtime-spec's `runtime.md#state`, and further keys that callers
//! of OCI runtimes read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The version of the runtime-spec that this library implements.
pub const OCI_VERSION: &str = "1.3.0";

/// The status of a container (runtime-spec `runtime.md#state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is under way.
    Creating,
    /// Everything is set up; the program waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// The program is frozen.
    Paused,
    /// The program has exited (even if it is a zombie), or `create` was interrupted.
    Stopped,
}

impl Status {
    /// The word in the output of `state`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the container has a live process.
    pub const fn is_alive(self) -> bool {
        !matches!(self, Self::Stopped)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The state of a container, as `state` prints it and hooks read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The runtime-spec's version, [`OCI_VERSION`].
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The pid of the init process in the caller's pid namespace; 0 if the container is stopped.
    pub pid: i32,
    /// The status.
    pub status: Status,
    /// The absolute path of the bundle.
    pub bundle: PathBuf,
    /// The absolute path of the root file system.
    pub rootfs: PathBuf,
    /// When it was created, in RFC 3339 format in UTC.
    pub created: String,
    /// The annotations of the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user that created it, or the uid if the user has no name.
    pub owner: String,
}
