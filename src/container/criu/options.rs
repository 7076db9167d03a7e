//! What the caller of checkpoint and restore may ask for.

use crate::cgroup::CgroupManager;
use crate::container::options::{Console, Stdio};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The criu program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Criu {
    /// Its absolute path.
    pub program: PathBuf,
    /// Its environment. criu runs `ip`, `iptables`, `nft` and `tar`, which it finds by `PATH`.
    pub env: Vec<(String, String)>,
    /// A file of criu's options, in criu's own form, which win over all others; it need not exist. A
    /// container's annotation `org.criu.config` names another one, or none if it is empty: it is refused unless the
    /// caller allows it ([`Runtime::with_allowed_annotation`](crate::container::Runtime::with_allowed_annotation)).
    pub config: Option<PathBuf>,
}

impl Default for Criu {
    /// `/usr/sbin/criu`, and a `PATH` of the usual directories.
    fn default() -> Self {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Self {
            program: PathBuf::from("/usr/sbin/criu"),
            env: vec![("PATH".into(), path.into())],
            config: None,
        }
    }
}

/// What criu does about cgroups (criu(8), `--manage-cgroups`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupsMode {
    /// Properties of the cgroups which restore has made itself are restored.
    Soft,
    /// Properties of all cgroups are restored.
    Full,
    /// All cgroups are made anew: it is an error if one exists.
    Strict,
    /// Cgroups are left alone: processes are in whatever cgroup restore runs in.
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

/// How criu keeps packets off while connections are looked at (criu(8), `--network-lock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkLock {
    /// By rules of iptables.
    Iptables,
    /// By rules of nftables.
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

/// Where memory pages go instead of the image directory: a `criu page-server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageServer {
    /// An IP address.
    pub address: String,
    /// A TCP port.
    pub port: u16,
}

/// How to checkpoint a container. All paths are absolute but [`parent_path`](Self::parent_path).
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of criu's")]
pub struct CheckpointOptions {
    /// The program that does it.
    pub criu: Criu,
    /// The directory of the image files; it is made where it is missing.
    pub image_path: PathBuf,
    /// The directory of the log (`dump.log`) and of working files: the image directory where absent.
    pub work_path: Option<PathBuf>,
    /// The images of an earlier pre-dump, *relative to the image directory*: only memory that has
    /// changed since is written.
    pub parent_path: Option<PathBuf>,
    /// The container goes on afterwards. Otherwise its processes have ended.
    pub leave_running: bool,
    /// Write memory only, and let the container go on: the rest is for a later checkpoint with
    /// [`parent_path`](Self::parent_path).
    pub pre_dump: bool,
    /// Established TCP connections may be there, and are kept.
    pub tcp_established: bool,
    /// TCP connections that are not yet accepted are left out.
    pub tcp_skip_in_flight: bool,
    /// Open files that have been unlinked get a name for the time.
    pub link_remap: bool,
    /// Unix sockets connected to processes outside may be there.
    pub ext_unix_sk: bool,
    /// The container may be a job of a terminal that is not its own.
    pub shell_job: bool,
    /// File locks are kept.
    pub file_locks: bool,
    /// Memory stays behind, to be fetched by pages as it is used (userfaultfd).
    pub lazy_pages: bool,
    /// Where a NUL byte is written once lazy pages may be fetched; it is closed then.
    pub status_fd: Option<OwnedFd>,
    /// Where memory pages go.
    pub page_server: Option<PageServer>,
    /// Pages which the parent images have too are punched out of them.
    pub auto_dedup: bool,
    /// What to do about cgroups; absent: criu's default.
    pub manage_cgroups: Option<CgroupsMode>,
    /// How to keep packets off; absent: criu's default.
    pub network_lock: Option<NetworkLock>,
    /// Nothing is done in the container's own network namespace when it is restored. Otherwise `lo` is
    /// up there; other devices are for hooks in any case.
    pub empty_network: bool,
}

/// How to restore a container. All paths are absolute.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of criu's")]
pub struct RestoreOptions {
    /// The program that does it.
    pub criu: Criu,
    /// The directory of the image files.
    pub image_path: PathBuf,
    /// The directory of the log (`restore.log`) and of working files: the image directory where
    /// absent; it is made where it is missing.
    pub work_path: Option<PathBuf>,
    /// A file that receives the init process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// Who gets the terminal.
    pub console: Console,
    /// Descriptors 0, 1 and 2: they take the place of the pipes that the container had.
    pub stdio: Stdio,
    /// Who makes the cgroup; as [`CreateOptions::cgroup_manager`](crate::container::CreateOptions::cgroup_manager).
    pub cgroup_manager: CgroupManager,
    /// As [`CreateOptions::optional_cgroup`](crate::container::CreateOptions::optional_cgroup).
    pub optional_cgroup: Option<bool>,
    /// TCP connections are restored.
    pub tcp_established: bool,
    /// TCP connections are restored as closed ones.
    pub tcp_close: bool,
    /// Unix sockets were connected to processes outside.
    pub ext_unix_sk: bool,
    /// The container is a job of the caller's terminal.
    pub shell_job: bool,
    /// File locks are restored.
    pub file_locks: bool,
    /// Memory comes from a `criu lazy-pages` daemon, as it is used.
    pub lazy_pages: bool,
    /// Memory images are emptied as they are read.
    pub auto_dedup: bool,
    /// What to do about cgroups; absent: criu's default.
    pub manage_cgroups: Option<CgroupsMode>,
    /// How to keep packets off; absent: criu's default.
    pub network_lock: Option<NetworkLock>,
    /// Nothing is done in the container's own network namespace when it is restored. Otherwise `lo` is
    /// up there; other devices are for hooks in any case.
    pub empty_network: bool,
    /// Another LSM profile than the one that was dumped, as `selinux:LABEL` or `apparmor:PROFILE`.
    pub lsm_profile: Option<String>,
    /// Another SELinux context for the mounts than the one that was dumped.
    pub lsm_mount_context: Option<String>,
}
