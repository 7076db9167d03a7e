//! Arguments of `checkpoint` and `restore`.

use super::super::low::LowArgs;
use super::launch::LaunchMode;
use super::shared::{BundleArgs, CgroupArgs, ContainerArgs};
use crate::failure::Failure;
use orlop::container::{CgroupsMode, NetworkLock, PageServer};
use std::path::PathBuf;

const DEFAULT_IMAGE_PATH: &str = "checkpoint";

/// What `checkpoint` and `restore` have in common.
#[derive(Debug, PartialEq)]
pub(crate) struct CriuArgs {
    /// `--image-path`
    pub(crate) image_path: PathBuf,
    /// `--work-path`
    pub(crate) work_path: Option<PathBuf>,
    /// `--tcp-established`
    pub(crate) tcp_established: bool,
    /// `--ext-unix-sk`
    pub(crate) ext_unix_sk: bool,
    /// `--shell-job`
    pub(crate) shell_job: bool,
    /// `--file-locks`
    pub(crate) file_locks: bool,
    /// `--lazy-pages`
    pub(crate) lazy_pages: bool,
    /// `--auto-dedup`
    pub(crate) auto_dedup: bool,
    /// `--manage-cgroups-mode`
    pub(crate) manage_cgroups: Option<CgroupsMode>,
    /// `--network-lock`
    pub(crate) network_lock: Option<NetworkLock>,
    /// `--empty-ns network`
    pub(crate) empty_network: bool,
}

impl CriuArgs {
    fn take(low: &mut LowArgs) -> Self {
        let criu = &mut low.criu;
        Self {
            image_path: criu.image_path.take().unwrap_or_else(|| DEFAULT_IMAGE_PATH.into()),
            work_path: criu.work_path.take(),
            tcp_established: criu.tcp_established,
            ext_unix_sk: criu.ext_unix_sk,
            shell_job: criu.shell_job,
            file_locks: criu.file_locks,
            lazy_pages: criu.lazy_pages,
            auto_dedup: criu.auto_dedup,
            manage_cgroups: criu.manage_cgroups,
            network_lock: criu.network_lock,
            empty_network: !criu.empty_namespaces.is_empty(),
        }
    }
}

/// `checkpoint`
#[derive(Debug, PartialEq)]
pub(crate) struct CheckpointArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) criu: CriuArgs,
    /// `--parent-path`
    pub(crate) parent_path: Option<PathBuf>,
    /// `--leave-running`
    pub(crate) leave_running: bool,
    /// `--pre-dump`
    pub(crate) pre_dump: bool,
    /// `--tcp-skip-in-flight`
    pub(crate) tcp_skip_in_flight: bool,
    /// `--link-remap`
    pub(crate) link_remap: bool,
    /// `--status-fd`
    pub(crate) status_fd: Option<u32>,
    /// `--page-server`
    pub(crate) page_server: Option<PageServer>,
}

impl CheckpointArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        Ok(Self {
            container: ContainerArgs::take(&mut low, 0)?,
            criu: CriuArgs::take(&mut low),
            parent_path: low.criu.parent_path,
            leave_running: low.criu.leave_running,
            pre_dump: low.criu.pre_dump,
            tcp_skip_in_flight: low.criu.tcp_skip_in_flight,
            link_remap: low.criu.link_remap,
            status_fd: low.criu.status_fd,
            page_server: low.criu.page_server,
        })
    }
}

/// `restore`
#[derive(Debug, PartialEq)]
pub(crate) struct RestoreArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) bundle: BundleArgs,
    pub(crate) cgroup: CgroupArgs,
    pub(crate) criu: CriuArgs,
    /// `--detach`, `--no-subreaper`
    pub(crate) mode: LaunchMode,
    /// `--console-socket`
    pub(crate) console_socket: Option<PathBuf>,
    /// `--pid-file`
    pub(crate) pid_file: Option<PathBuf>,
    /// `--tcp-close`
    pub(crate) tcp_close: bool,
    /// `--lsm-profile`
    pub(crate) lsm_profile: Option<String>,
    /// `--lsm-mount-context`
    pub(crate) lsm_mount_context: Option<String>,
}

impl RestoreArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        if low.no_pivot {
            return Err(Failure::new(
                "--no-pivot: criu changes the root of a restored container by pivot_root only",
            ));
        }
        Ok(Self {
            container: ContainerArgs::take(&mut low, 0)?,
            bundle: BundleArgs { directory: low.bundle.take(), config: None },
            cgroup: CgroupArgs::take(&low),
            criu: CriuArgs::take(&mut low),
            mode: LaunchMode::of(&low),
            console_socket: low.console_socket,
            pid_file: low.pid_file,
            tcp_close: low.criu.tcp_close,
            lsm_profile: low.criu.lsm_profile,
            lsm_mount_context: low.criu.lsm_mount_context,
        })
    }
}
