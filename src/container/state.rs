//! What a container's state looks like to others: the runtime-spec's `state.md` with the further
//! keys that callers of OCI runtimes read.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The version of the runtime-spec which this library follows.
pub const OCI_VERSION: &str = "1.3.0";

/// Where a container is in its life (runtime-spec `runtime.md#lifecycle`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is under way.
    Creating,
    /// Everything is made; the program waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// The program is frozen.
    Paused,
    /// The program has ended (a zombie counts), or `create` was cut short.
    Stopped,
}

impl Status {
    /// The word used in `state`'s output.
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
    /// The init process as this pid namespace numbers it; 0 where the container is stopped.
    pub pid: i32,
    /// Where the container is in its life.
    pub status: Status,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was created: RFC 3339 in UTC.
    pub created: String,
    /// The configuration's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the user who created it (the number where the user has none).
    pub owner: String,
}
