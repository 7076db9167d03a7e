//! The options of checkpoint and restore.

use crate::cgroup::CgroupManager;
use crate::container::options::{Console, Stdio};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The criu program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criu {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its environment. criu runs `ip`, `iptables`, `nft` and `tar`, which it finds with `PATH`.
    pub env: Vec<(String, String)>,
    /// A configuration file of criu, whose options override all others; it need not exist. A container's annotation
    /// `org.criu.config` names another file, or none if it is empty; it is refused unless the caller permits it ([`Runtime::with_allowed_annotation`](crate::container::Runtime::with_allowed_annotation)).
    pub config: Option<PathBuf>,
}

impl Default for Criu {
    /// `/usr/sbin/criu`, and a `PATH` with the standard directories.
    fn default() -> Self {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            program: PathBuf::from("/usr/sbin/criu"),
            env: vec![("PATH".into(), path.into())],
            config: None,
        }
    }
}

/// How criu restores cgroups (criu(8), `--manage-cgroups`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Restore the properties of the cgroups that the restore has created.
    Soft,
    /// Restore the properties of all cgroups.
    Full,
    /// Create all cgroups; it is an error if one exists.
    Strict,
    /// Ignore cgroups: processes stay in the cgroup in which criu runs.
    Ignore,
}

impl CgroupsMode {
    /// The mode with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "soft" => Self::Soft,
            "full" => Self::Full,
            "strict" => Self::Strict,
            "ignore" => Self::Ignore,
            _ => return None,
        })
    }

    /// `criu_cg_mode`; 6 is criu's own default.
    pub(super) fn number(mode: Option<Self>) -> i32 {
        mode.map_or(6, |mode| match mode {
            Self::Ignore => 0,
            Self::Soft => 3,
            Self::Full => 4,
            Self::Strict => 5,
        })
    }
}

/// How criu blocks network traffic during a dump or restore (criu(8), `--network-lock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkLock {
    /// With iptables rules.
    Iptables,
    /// With nftables rules.
    Nftables,
    /// Not at all.
    Skip,
}

impl NetworkLock {
    /// The method with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "iptables" => Self::Iptables,
            "nftables" => Self::Nftables,
            "skip" => Self::Skip,
            _ => return None,
        })
    }

    /// `criu_network_lock_method`.
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Iptables => 1,
            Self::Nftables => 2,
            Self::Skip => 3,
        }
    }
}

/// A `criu page-server` that receives memory pages instead of the image directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageServer {
    /// An IP address.
    pub address: String,
    /// A TCP port.
    pub port: u16,
}

/// How to checkpoint a container. All paths except [`parent_path`](Self::parent_path) are absolute.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of criu's")]
pub struct CheckpointOptions {
    /// The criu program.
    pub criu: Criu,
    /// The directory of the image files; it is created if it is missing.
    pub image_path: PathBuf,
    /// The directory of the log (`dump.log`) and of work files; default: the image directory.
    pub work_path: Option<PathBuf>,
    /// The images of an earlier pre-dump, *relative to the image directory*: only memory that has changed since is
    /// dumped.
    pub parent_path: Option<PathBuf>,
    /// Leave the container running. Otherwise its processes are killed.
    pub leave_running: bool,
    /// Dump memory only, and leave the container running: a later checkpoint with [`parent_path`](Self::parent_path)
    /// dumps the rest.
    pub pre_dump: bool,
    /// Allow established TCP connections, and dump them.
    pub tcp_established: bool,
    /// Skip TCP connections that have not been accepted yet.
    pub tcp_skip_in_flight: bool,
    /// Allow unlinked open files by giving them a temporary name.
    pub link_remap: bool,
    /// Allow Unix sockets that are connected to external processes.
    pub ext_unix_sk: bool,
    /// Allow the container to be a job of an external terminal.
    pub shell_job: bool,
    /// Allow file locks, and dump them.
    pub file_locks: bool,
    /// Leave memory pages where they are, to be fetched when they are used (userfaultfd).
    pub lazy_pages: bool,
    /// A descriptor to which a NUL byte is written when lazy pages can be fetched; then it is closed.
    pub status_fd: Option<OwnedFd>,
    /// The server that receives memory pages.
    pub page_server: Option<PageServer>,
    /// Remove pages that are dumped again from the parent images.
    pub auto_dedup: bool,
    /// How to restore cgroups; default: criu's.
    pub manage_cgroups: Option<CgroupsMode>,
    /// How to block network traffic; default: criu's.
    pub network_lock: Option<NetworkLock>,
    /// Leave a new network namespace empty at the restore. Otherwise `lo` is brought up; other devices are set up by hooks
    /// in any case.
    pub empty_network: bool,
}

/// How to restore a container. All paths are absolute.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of criu's")]
pub struct RestoreOptions {
    /// The criu program.
    pub criu: Criu,
    /// The directory of the image files.
    pub image_path: PathBuf,
    /// The directory of the log (`restore.log`) and of work files; it is created if it is missing. Default: the image
    /// directory.
    pub work_path: Option<PathBuf>,
    /// A file that receives the init process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// What receives the pseudo-terminal master.
    pub console: Console,
    /// Descriptors 0, 1 and 2, which replace the pipes that the container had.
    pub stdio: Stdio,
    /// How the cgroup is created; as [`CreateOptions::cgroup_manager`](crate::container::CreateOptions::cgroup_manager).
    pub cgroup_manager: CgroupManager,
    /// As [`CreateOptions::optional_cgroup`](crate::container::CreateOptions::optional_cgroup).
    pub optional_cgroup: Option<bool>,
    /// Restore TCP connections.
    pub tcp_established: bool,
    /// Restore TCP connections in closed state.
    pub tcp_close: bool,
    /// Allow Unix sockets that were connected to external processes.
    pub ext_unix_sk: bool,
    /// The container becomes a job of the caller's terminal.
    pub shell_job: bool,
    /// Restore file locks.
    pub file_locks: bool,
    /// Fetch memory pages from a `criu lazy-pages` daemon when they are used.
    pub lazy_pages: bool,
    /// Remove memory pages from the images as they are restored.
    pub auto_dedup: bool,
    /// How to restore cgroups; default: criu's.
    pub manage_cgroups: Option<CgroupsMode>,
    /// How to block network traffic; default: criu's.
    pub network_lock: Option<NetworkLock>,
    /// Leave a new network namespace empty at the restore. Otherwise `lo` is brought up; other devices are set up by hooks
    /// in any case.
    pub empty_network: bool,
    /// An LSM profile that replaces the dumped one, as `selinux:LABEL` or `apparmor:PROFILE`.
    pub lsm_profile: Option<String>,
    /// An SELinux context for mounts that replaces the dumped one.
    pub lsm_mount_context: Option<String>,
}
