//! Arguments about a bundle: `create`, `run`, `plan`, `spec`.

use super::super::low::LowArgs;
use super::shared::{BundleArgs, CgroupArgs, ContainerArgs};
use crate::failure::Failure;
use orlop::container::CgroupManager;
use std::path::PathBuf;

/// Whether this program stays while a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchMode {
    /// It returns once the container runs.
    Detached,
    /// It serves the container until it exits.
    Foreground {
        /// Whether it becomes a subreaper, for the container's orphans. `--no-subreaper`
        adopt_orphans: bool,
        /// Whether the exited container is kept. `--keep`
        keep: bool,
    },
}

impl LaunchMode {
    pub(super) fn of(low: &LowArgs) -> Self {
        if low.detach {
            return Self::Detached;
        }
        Self::Foreground { adopt_orphans: !low.no_subreaper, keep: low.keep }
    }

    /// Whether this program serves the container.
    pub(crate) fn is_foreground(self) -> bool {
        self != Self::Detached
    }
}

/// What `create` and `run` need for a new container.
#[derive(Debug, PartialEq)]
pub(crate) struct LaunchArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) bundle: BundleArgs,
    pub(crate) cgroup: CgroupArgs,
    /// `--console-socket`
    pub(crate) console_socket: Option<PathBuf>,
    /// `--pid-file`
    pub(crate) pid_file: Option<PathBuf>,
    /// `--pidfd-socket`
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// `--no-pivot`
    pub(crate) no_pivot: bool,
    /// `--no-new-keyring`
    pub(crate) no_new_keyring: bool,
    /// `--preserve-fds`
    pub(crate) preserve_fds: u32,
    /// `--init`
    pub(crate) init: bool,
}

impl LaunchArgs {
    fn take(low: &mut LowArgs) -> Result<Self, Failure> {
        Ok(Self {
            container: ContainerArgs::take(low, 0)?,
            bundle: BundleArgs { directory: low.bundle.take(), config: low.config.take() },
            cgroup: CgroupArgs::take(low),
            console_socket: low.console_socket.take(),
            pid_file: low.pid_file.take(),
            pidfd_socket: low.pidfd_socket.take(),
            no_pivot: low.no_pivot,
            no_new_keyring: low.no_new_keyring,
            preserve_fds: low.preserve_fds,
            init: low.init,
        })
    }
}

/// `create`. It never adopts orphans, so `--no-subreaper` changes nothing.
#[derive(Debug, PartialEq)]
pub(crate) struct CreateArgs {
    pub(crate) launch: LaunchArgs,
}

impl CreateArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        Ok(Self { launch: LaunchArgs::take(&mut low)? })
    }
}

/// `run`
#[derive(Debug, PartialEq)]
pub(crate) struct RunArgs {
    pub(crate) launch: LaunchArgs,
    /// `--detach`, `--no-subreaper`, `--keep`
    pub(crate) mode: LaunchMode,
}

impl RunArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        Ok(Self { mode: LaunchMode::of(&low), launch: LaunchArgs::take(&mut low)? })
    }
}

/// `plan`
#[derive(Debug, PartialEq)]
pub(crate) struct PlanArgs {
    pub(crate) bundle: BundleArgs,
    /// `--cgroup-manager`, `--systemd-cgroup`
    pub(crate) cgroup_manager: CgroupManager,
}

impl PlanArgs {
    pub(super) fn take(low: LowArgs) -> Self {
        Self {
            bundle: BundleArgs {
                directory: low.operands.into_iter().next().map(PathBuf::from),
                config: low.config,
            },
            cgroup_manager: low.cgroup_manager.unwrap_or_default(),
        }
    }
}

/// `spec`
#[derive(Debug, PartialEq)]
pub(crate) struct SpecArgs {
    /// `--bundle`; `None` is the current directory.
    pub(crate) directory: Option<PathBuf>,
    /// `--rootless`
    pub(crate) rootless: bool,
}

impl SpecArgs {
    pub(super) fn take(low: LowArgs) -> Self {
        Self { directory: low.bundle, rootless: low.spec_rootless }
    }
}
