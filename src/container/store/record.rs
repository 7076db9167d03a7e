//! A record of a container: what `state.json` holds.

use super::super::liveness::{self, Identity, Presence};
use crate::Result;
use crate::bundle::annotations::Annotations;
use crate::init::launch::Page;
use crate::plan::Options;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The format of `state.json`; another number is refused, naming it.
pub(super) const FORMAT: u32 = 2;

/// How far a container has come. What lives and what is frozen is asked of the kernel, not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Resources are being made.
    #[default]
    Creating,
    /// The init process waits for `start`.
    Created,
    /// `start` has let it go.
    Started,
    /// The poststop hooks have run: what is left is to remove.
    Deleting,
}

/// `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) format: u32,
    pub(crate) stage: Stage,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// The device of the root file system, before the container could change anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<u64>,
    pub(crate) created: String,
    /// Who created it: a user id.
    pub(crate) owner: u32,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub(crate) annotations: Annotations,
    /// The init process; pid 0 before it exists.
    #[serde(default)]
    pub(crate) init: Identity,
    /// The boot in which the init process was started; empty before that.
    #[serde(default)]
    pub(crate) boot: String,
    /// Whether it was read from a file system in memory, which no boot outlives: nobody needs to ask which boot this is.
    #[serde(skip)]
    pub(crate) in_memory: bool,
    /// Which hooks there are yet to run, so that `config.json` is read only where it must be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) start_container: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) poststart: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) poststop: bool,
    /// Whether the filter asks an agent, who gets its listener at `start`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) notifies: bool,
    /// Whether hooks may have run, whose effect those of poststop undo.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) hooked: bool,
    /// The cgroup's directories.
    #[serde(default)]
    pub(crate) cgroup: crate::cgroup::Record,
    /// The resctrl groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<crate::cgroup::resctrl::Group>,
    /// The scope which systemd has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<crate::cgroup::systemd::Scope>,
    /// The control page of a process that waits for `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<Page>,
    /// Whether the container has a pid namespace of its own: its processes die with its init.
    #[serde(default)]
    pub(crate) own_pid_namespace: bool,
    /// Whether its processes were restored from a checkpoint: they are in a time namespace which no
    /// configuration names.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) restored: bool,
    /// What the plan was compiled with.
    #[serde(default, skip_serializing_if = "Options::serializes_nothing")]
    pub(crate) options: Options,
}

/// What has its usual value is not written: every command reads it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Record {
    /// A record of a container about to be made.
    pub(crate) fn new(id: &str) -> Self {
        Self { format: FORMAT, id: id.to_owned(), ..Self::default() }
    }

    /// Whether the init process lives, and then the letter of its state in `/proc/PID/stat`.
    pub(crate) fn look(&self) -> Result<Option<u8>> {
        if self.is_of_this_boot()? { self.init.look() } else { Ok(None) }
    }

    /// What became of the init process.
    pub(crate) fn presence(&self) -> Result<Presence> {
        if self.is_of_this_boot()? { self.init.find() } else { Ok(Presence::Gone) }
    }

    /// The init process and the letter of its state, if it lives.
    pub(crate) fn alive(&self) -> Result<Option<(OwnedFd, u8)>> {
        if self.is_of_this_boot()? { self.init.find_alive() } else { Ok(None) }
    }

    /// Whether there is an init process that can be there still.
    fn is_of_this_boot(&self) -> Result<bool> {
        Ok(self.init.pid != 0 && (self.in_memory || self.boot == liveness::boot_id()?))
    }
}
