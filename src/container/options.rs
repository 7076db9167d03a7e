//! The options of `create` and `exec` that are not part of the configuration.

use crate::cgroup::CgroupManager;
use crate::cgroup::systemd::SystemdBus;
use crate::init::presets::StandardStreams;
use crate::{Error, ErrorKind, Phase, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Descriptors 0, 1 and 2 of the container's process if it has no terminal.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// `/dev/null`.
    Null,
    /// These: standard input, output and error.
    Fds([OwnedFd; 3]),
}

impl Stdio {
    /// The form that a launch needs.
    pub(super) fn standard(&self) -> Result<StandardStreams<'_>> {
        match self {
            Self::Inherit => Ok(StandardStreams::Given([None; 3])),
            Self::Null => StandardStreams::null(),
            Self::Fds(fds) => Ok(StandardStreams::Given(fds.each_ref().map(|fd| Some(fd.as_fd())))),
        }
    }
}

/// What receives the pseudo-terminal master of the container if `process.terminal` is true.
#[derive(Debug, Default)]
pub enum Console {
    /// Nothing: a configuration with `terminal: true` is refused.
    #[default]
    None,
    /// The process that listens on the AF_UNIX stream socket at this absolute path.
    Socket(PathBuf),
    /// The caller, by [`Container::take_console`](super::Container::take_console) or
    /// [`ExecProcess::take_console`](super::ExecProcess::take_console), to relay it to the caller's own terminal. It does not
    /// translate newlines, and its size is that of `process.consoleSize`.
    Keep,
}

impl Console {
    /// The path of the console socket.
    pub(super) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Socket(path) => Some(path),
            Self::None | Self::Keep => None,
        }
    }
}

/// Refuses relative paths in the options that name files and sockets.
pub(super) fn require_absolute_paths(
    pid_file: Option<&Path>,
    pidfd_socket: Option<&Path>,
    console: &Console,
) -> Result<()> {
    [(pid_file, "pid file"), (pidfd_socket, "pidfd socket"), (console.socket(), "console socket")]
        .into_iter()
        .try_for_each(|(path, what)| path.map_or(Ok(()), |path| require_absolute(path, what)))
}

/// Refuses a relative path.
pub(super) fn require_absolute(path: &Path, what: &'static str) -> Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, Phase::Lifecycle, format!("{what} must be an absolute path"))
        .on(path.display().to_string()))
}

/// How to create a container. All paths are absolute.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// A file that receives the init process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// What receives the pseudo-terminal master.
    pub console: Console,
    /// An AF_UNIX stream socket that receives a pidfd of the init process.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors of the caller, from 3 on, the container's process keeps.
    pub preserve_fds: u32,
    /// How many descriptors from 3 on were passed by socket activation. They come before the others, and `LISTEN_FDS` is
    /// set for the container's process. If that process is the first one of a new pid namespace, `LISTEN_PID=1` is set too.
    /// Otherwise (`init`, or a pid namespace that is joined or the host's) its pid is not known before it runs, and
    /// `LISTEN_PID` is not set.
    pub listen_fds: u32,
    /// Use `MS_MOVE` and `chroot` instead of `pivot_root`, for hosts that run from an initramfs.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Run a minimal init as PID 1: it reaps zombies, forwards signals, and exits with the program's status.
    pub init: bool,
    /// How the cgroup is created. It is recorded, so later operations on the container need no such option.
    pub cgroup_manager: CgroupManager,
    /// The systemd that creates the cgroup, if [`CreateOptions::cgroup_manager`] says so.
    pub systemd: SystemdBus,
    /// Whether to continue without the cgroups that the caller has no permission to create; a limit that needs one is still
    /// an error. Default: yes for an unprivileged caller without a `cgroupsPath`.
    pub optional_cgroup: Option<bool>,
    /// Give the program a socket for messages to the service manager (`NOTIFY_SOCKET`, sd_notify(3)), which
    /// [`Container::listen_for_notifications`](super::Container::listen_for_notifications) receives. It is not created if
    /// the configuration sets the variable itself, or has no new mount namespace.
    pub notify: bool,
    /// Descriptors 0, 1 and 2 of the container's program.
    pub stdio: Stdio,
}

/// How to run one more process in a container. All paths are absolute.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// A file that receives the process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// What receives the pseudo-terminal master.
    pub console: Console,
    /// An AF_UNIX stream socket that receives a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors of the caller, from 3 on, the process keeps.
    pub preserve_fds: u32,
    /// The cgroups below the container's to join: `path`, or `controller[,controller]:path` on v1.
    pub cgroups: Vec<String>,
    /// Also exec in a paused container: the process runs once the container is resumed.
    pub ignore_paused: bool,
    /// Descriptors 0, 1 and 2 of the process.
    pub stdio: Stdio,
}
