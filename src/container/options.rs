//! What the caller of `create` and `exec` may ask for beside the configuration.

use crate::Result;
use crate::cgroup::Manager as CgroupManager;
use crate::cgroup::systemd::Bus;
use crate::init::presets::StandardStreams;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// What becomes of the container process's descriptors 0, 1 and 2 where it has no terminal.
#[derive(Debug, Default)]
pub enum Stdio {
    /// They are the caller's own.
    #[default]
    Inherit,
    /// They are `/dev/null`.
    Null,
    /// They are these: standard input, output, error.
    Fds([OwnedFd; 3]),
}

impl Stdio {
    /// As a launch takes them.
    pub(super) fn standard(&self) -> Result<StandardStreams<'_>> {
        match self {
            Self::Inherit => Ok(StandardStreams::Given([None; 3])),
            Self::Null => StandardStreams::null(),
            Self::Fds(fds) => Ok(StandardStreams::Given(fds.each_ref().map(|fd| Some(fd.as_fd())))),
        }
    }
}

/// Where the master of the container's terminal goes, if `process.terminal` asks for one.
#[derive(Debug, Default)]
pub enum Console {
    /// Nowhere: a configuration with `terminal: true` is refused.
    #[default]
    None,
    /// To whoever listens on the AF_UNIX stream socket at this absolute path.
    Socket(PathBuf),
    /// To the caller, who relays it to a terminal of his own (it adds no carriage return to a line's
    /// end; its size is what `process.consoleSize` says), by [`Container::take_console`](super::Container::take_console) or
    /// [`ExecProcess::take_console`](super::ExecProcess::take_console).
    Keep,
}

/// How to create a container. All paths are absolute.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// A file that receives the init process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// Who gets the terminal.
    pub console: Console,
    /// An AF_UNIX stream socket that receives a pidfd of the init process.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors of the caller, from 3 on, the container's process keeps.
    pub preserve_fds: u32,
    /// How many descriptors from 3 on were passed by socket activation: kept before the others,
    /// and `LISTEN_FDS` is set for the container's process. So is `LISTEN_PID=1` if that process is the first one of a new pid
    /// namespace. Otherwise (`init`, a pid namespace that is joined or the host's) its number is not known before it runs, and
    /// `LISTEN_PID` is left out.
    pub listen_fds: u32,
    /// Use `MS_MOVE` and `chroot` where the root file system cannot be pivoted (an initramfs).
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Stay as PID 1: reap, forward signals, end as the container's program did.
    pub init: bool,
    /// Who makes the cgroup; recorded, so that nothing which is done to the container later needs to
    /// be told.
    pub cgroup_manager: CgroupManager,
    /// The systemd that is to make the cgroup, where [`CreateOptions::cgroup_manager`] says so.
    pub systemd: Bus,
    /// Whether to go on without the cgroups which the caller is not permitted to make; a limit that
    /// needs one still fails. Absent: yes for an unprivileged caller without a `cgroupsPath`.
    pub optional_cgroup: Option<bool>,
    /// Give the program a socket for the service manager (`NOTIFY_SOCKET`, sd_notify(3)), of which
    /// [`Container::listen_for_notifications`](super::Container::listen_for_notifications) has the other end. A
    /// configuration that sets the variable itself keeps its own; without a new mount namespace there is none.
    pub notify: bool,
    /// Descriptors 0, 1 and 2 of the container's program.
    pub stdio: Stdio,
}

/// How to run one more process in a container. All paths are absolute.
#[derive(Debug, Default)]
pub struct ExecOptions {
    /// A file that receives the process's pid, in decimal, replaced atomically.
    pub pid_file: Option<PathBuf>,
    /// Who gets the terminal.
    pub console: Console,
    /// An AF_UNIX stream socket that receives a pidfd of the process.
    pub pidfd_socket: Option<PathBuf>,
    /// How many descriptors of the caller, from 3 on, the process keeps.
    pub preserve_fds: u32,
    /// Cgroups below the container's to join: `path`, or `controller[,controller]:path` on v1.
    pub cgroups: Vec<String>,
    /// Do it also in a paused container (the process runs once it is resumed).
    pub ignore_paused: bool,
    /// Descriptors 0, 1 and 2 of the process.
    pub stdio: Stdio,
}
