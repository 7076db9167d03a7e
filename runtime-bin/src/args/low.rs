//! What the command line says: the flags of all commands, before a command's own struct is made of them.

use super::limits::LimitOverrides;
use crate::log::{LogFormat, LogLevel};
use orlop::container::{CgroupManager, CgroupsMode, NetworkLock, PageServer};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How `list` and `ps` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    /// Aligned columns below a header.
    Table,
    /// One JSON array on one line.
    Json,
}

/// The values of all flags, and the operands.
///
/// Paths are as the user wrote them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LowArgs {
    /// `--root`
    pub(super) root: Option<PathBuf>,
    /// `--log`
    pub(super) log: Option<PathBuf>,
    /// `--log-format`
    pub(super) log_format: Option<LogFormat>,
    /// `--log-level`, `--debug`
    pub(super) log_level: Option<LogLevel>,
    /// `--cgroup-manager`, `--systemd-cgroup`
    pub(super) cgroup_manager: Option<CgroupManager>,
    /// `--allow-annotation`
    pub(super) allowed_annotations: Vec<String>,
    /// `--rootless`; `None` is `auto`
    pub(super) rootless: Option<bool>,

    /// `--bundle`
    pub(super) bundle: Option<PathBuf>,
    /// `--config`
    pub(super) config: Option<PathBuf>,
    /// `--console-socket`
    pub(super) console_socket: Option<PathBuf>,
    /// `--pid-file`
    pub(super) pid_file: Option<PathBuf>,
    /// `--pidfd-socket`
    pub(super) pidfd_socket: Option<PathBuf>,
    /// `--no-pivot`
    pub(super) no_pivot: bool,
    /// `--no-new-keyring`
    pub(super) no_new_keyring: bool,
    /// `--preserve-fds`
    pub(super) preserve_fds: u32,
    /// `--no-subreaper`
    pub(super) no_subreaper: bool,
    /// `--init`
    pub(super) init: bool,
    /// `--detach`
    pub(super) detach: bool,
    /// `--keep`
    pub(super) keep: bool,

    /// `--process`
    pub(super) process: Option<PathBuf>,
    /// `--tty`
    pub(super) tty: bool,
    /// `--user`
    pub(super) user: Option<(u32, Option<u32>)>,
    /// `--additional-gids`
    pub(super) additional_gids: Vec<u32>,
    /// `--cwd`
    pub(super) cwd: Option<String>,
    /// `--env`
    pub(super) env: Vec<String>,
    /// `--cap`
    pub(super) caps: Vec<String>,
    /// `--no-new-privs`
    pub(super) no_new_privs: bool,
    /// `--process-label`
    pub(super) process_label: Option<String>,
    /// `--apparmor`
    pub(super) apparmor: Option<String>,
    /// `--ignore-paused`
    pub(super) ignore_paused: bool,
    /// `--cgroup`
    pub(super) cgroups: Vec<String>,

    /// `kill --regex`, `delete --regex`
    pub(super) regex: bool,
    /// `kill --all`
    pub(super) all: bool,
    /// `delete --force`
    pub(super) force: bool,
    /// `list --format`, `ps --format`
    pub(super) list_format: Option<ListFormat>,
    /// `list --quiet`
    pub(super) quiet: bool,
    /// `spec --rootless`
    pub(super) spec_rootless: bool,

    /// `events --interval`
    pub(super) interval: Option<Duration>,
    /// `events --stats`
    pub(super) stats: bool,

    /// `update --resources`
    pub(super) resources: Option<PathBuf>,
    /// The flags of `update` that set one limit each
    pub(super) limits: LimitOverrides,
    /// `update --l3-cache-schema`
    pub(super) l3_cache_schema: Option<String>,
    /// `update --mem-bw-schema`
    pub(super) mem_bw_schema: Option<String>,

    /// The flags of `checkpoint` and `restore`
    pub(super) criu: CriuLowArgs,

    /// `man --directory`
    pub(super) man_directory: Option<PathBuf>,

    /// The arguments that are not flags: a container id, a signal, the command of `exec`, the options of `ps`.
    pub(super) operands: Vec<OsString>,
}

/// The flags of `checkpoint` and `restore`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CriuLowArgs {
    /// `--image-path`
    pub(super) image_path: Option<PathBuf>,
    /// `--work-path`
    pub(super) work_path: Option<PathBuf>,
    /// `--parent-path`
    pub(super) parent_path: Option<PathBuf>,
    /// `--leave-running`
    pub(super) leave_running: bool,
    /// `--pre-dump`
    pub(super) pre_dump: bool,
    /// `--tcp-established`
    pub(super) tcp_established: bool,
    /// `--tcp-skip-in-flight`
    pub(super) tcp_skip_in_flight: bool,
    /// `--tcp-close`
    pub(super) tcp_close: bool,
    /// `--link-remap`
    pub(super) link_remap: bool,
    /// `--ext-unix-sk`
    pub(super) ext_unix_sk: bool,
    /// `--shell-job`
    pub(super) shell_job: bool,
    /// `--file-locks`
    pub(super) file_locks: bool,
    /// `--lazy-pages`
    pub(super) lazy_pages: bool,
    /// `--status-fd`
    pub(super) status_fd: Option<u32>,
    /// `--page-server`
    pub(super) page_server: Option<PageServer>,
    /// `--auto-dedup`
    pub(super) auto_dedup: bool,
    /// `--manage-cgroups-mode`
    pub(super) manage_cgroups: Option<CgroupsMode>,
    /// `--network-lock`
    pub(super) network_lock: Option<NetworkLock>,
    /// `--empty-ns`
    pub(super) empty_namespaces: Vec<String>,
    /// `--lsm-profile`
    pub(super) lsm_profile: Option<String>,
    /// `--lsm-mount-context`
    pub(super) lsm_mount_context: Option<String>,
}
