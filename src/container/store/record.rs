//! A record of a container: an entry of the journal.

use crate::bundle::annotations::Annotations;
use crate::cgroup::Cgroup;
use crate::container::process::identity::{ProcessIdentity, ProcessState, boot_id};
use crate::init::launch::ControlPageId;
use crate::plan;
use crate::{Error, ErrorKind, Phase, Result};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The version of the record's format. A record of another version is refused.
pub(super) const FORMAT: u32 = 2;

/// How far a container has come in its life cycle. Whether its processes are alive or frozen is not stored: the kernel
/// tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    /// Resources are being created.
    #[default]
    Creating,
    /// The init process waits for `start`.
    Created,
    /// `start` has let the program run.
    Started,
    /// The poststop hooks have run; the rest only has to be removed.
    Deleting,
}

/// What later commands must know of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateRecord {
    pub(crate) format: u32,
    pub(crate) stage: Stage,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// The device of the root file system, read before the container could change anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<u64>,
    pub(crate) created: String,
    /// The id of the user that created it.
    pub(crate) owner: u32,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub(crate) annotations: Annotations,
    /// The init process; its pid is 0 before the process exists.
    #[serde(default)]
    pub(crate) init: ProcessIdentity,
    /// The id of the boot in which the init process was started; empty before that.
    #[serde(default)]
    pub(crate) boot: String,
    /// Whether it was read from a file system in memory, which does not survive a reboot: the boot id need not be compared.
    #[serde(skip)]
    pub(crate) in_memory: bool,
    /// Whether there are `startContainer` hooks. This and the next two fields save reading the configuration.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) start_container: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) poststart: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) poststop: bool,
    /// Whether the seccomp filter notifies an agent, which receives the listener at `start`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) notifies: bool,
    /// Whether the seccomp filter kills the process at execve(2) of its program.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) kills_program: bool,
    /// Whether hooks may have run, so that the poststop hooks have to undo their effects.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) hooked: bool,
    /// The cgroup's directories.
    #[serde(default)]
    pub(crate) cgroup: crate::cgroup::CgroupRecord,
    /// The resctrl groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resctrl: Option<crate::cgroup::resctrl::ResctrlGroup>,
    /// The scope that systemd has created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<crate::cgroup::systemd::Scope>,
    /// The control page of the process that waits for `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) page: Option<ControlPageId>,
    /// Whether the container has a pid namespace of its own, so that its processes die with its init process.
    #[serde(default)]
    pub(crate) own_pid_namespace: bool,
    /// Whether its processes were restored from a checkpoint: they are in a time namespace that the configuration does not
    /// name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) restored: bool,
    /// The options that the plan was compiled with.
    #[serde(default, skip_serializing_if = "plan::Options::serializes_nothing")]
    pub(crate) options: plan::Options,
}

/// Default values are not written, because every command reads the record.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl StateRecord {
    /// A record of a container that is about to be created.
    pub(crate) fn new(id: &str) -> Self {
        Self { format: FORMAT, id: id.to_owned(), ..Self::default() }
    }

    /// The state character of the init process, as `/proc/PID/stat` shows it, if the process is alive.
    pub(crate) fn init_state_if_alive(&self) -> Result<Option<u8>> {
        if self.is_of_this_boot()? { self.init.state_if_alive() } else { Ok(None) }
    }

    /// What has become of the init process.
    pub(crate) fn open_init(&self) -> Result<ProcessState> {
        if self.is_of_this_boot()? { self.init.open() } else { Ok(ProcessState::Gone) }
    }

    /// A pidfd of the init process and its state character, if the process is alive.
    pub(crate) fn open_init_if_alive(&self) -> Result<Option<(OwnedFd, u8)>> {
        if self.is_of_this_boot()? { self.init.open_if_alive() } else { Ok(None) }
    }

    /// The container's cgroup, unless it was created without one.
    pub(crate) fn open_cgroup(&self) -> Option<Cgroup> {
        (!self.cgroup.is_empty()).then(|| Cgroup::open(self.cgroup.clone()))
    }

    /// The container's cgroup, for an operation that needs one.
    pub(crate) fn require_cgroup(&self, consequence: &'static str) -> Result<Cgroup> {
        self.open_cgroup().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, Phase::Cgroup, format!("container {consequence}"))
                .with_detail("it is in no cgroup")
                .with_hint("it was created without one, or by a user to whom none was delegated")
        })
    }

    /// Whether an init process was recorded that may still exist.
    fn is_of_this_boot(&self) -> Result<bool> {
        Ok(self.init.pid != 0 && (self.in_memory || self.boot == boot_id()?))
    }
}
