//! The command line: one table of flags ([`table`]), from which come the parser ([`mod@parse`]), the
//! help text ([`help`]), the man pages and the completions ([`generate`]).

pub(crate) mod generate;
pub(crate) mod help;
mod parse;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use parse::{Request, find, parse};
pub(crate) use table::{COMMANDS, Command, CriuArgs, EventsArgs, Name, UpdateArgs};

use crate::log::{Format, Level};
use orlop::container::CgroupManager;
use std::ffi::OsString;
use std::path::PathBuf;

/// How `list` and `ps` print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListFormat {
    /// Aligned columns under a headline.
    Table,
    /// One JSON array on one line.
    Json,
}

/// What was asked for, by all flags of all commands: a flag which sets nothing here cannot exist.
///
/// Paths are as the user wrote them; the commands make them absolute.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// `--root`
    pub(crate) root: Option<PathBuf>,
    /// `--log`
    pub(crate) log: Option<PathBuf>,
    /// `--log-format`
    pub(crate) log_format: Option<Format>,
    /// `--log-level`, `--debug`
    pub(crate) log_level: Option<Level>,
    /// `--cgroup-manager`, `--systemd-cgroup`
    pub(crate) cgroup_manager: Option<CgroupManager>,
    /// `--allow-annotation`
    pub(crate) allowed_annotations: Vec<String>,
    /// `--rootless`: `None` is `auto`
    pub(crate) rootless: Option<bool>,

    /// `--bundle`
    pub(crate) bundle: Option<PathBuf>,
    /// `--config`
    pub(crate) config: Option<PathBuf>,
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
    /// `--no-subreaper`
    pub(crate) no_subreaper: bool,
    /// `--init`
    pub(crate) init: bool,
    /// `--detach`
    pub(crate) detach: bool,
    /// `--keep`
    pub(crate) keep: bool,

    /// `--process`
    pub(crate) process: Option<PathBuf>,
    /// `--tty`
    pub(crate) tty: bool,
    /// `--user`
    pub(crate) user: Option<(u32, Option<u32>)>,
    /// `--additional-gids`
    pub(crate) additional_gids: Vec<u32>,
    /// `--cwd`
    pub(crate) cwd: Option<String>,
    /// `--env`
    pub(crate) env: Vec<String>,
    /// `--cap`
    pub(crate) caps: Vec<String>,
    /// `--no-new-privs`
    pub(crate) no_new_privs: bool,
    /// `--process-label`
    pub(crate) process_label: Option<String>,
    /// `--apparmor`
    pub(crate) apparmor: Option<String>,
    /// `--ignore-paused`
    pub(crate) ignore_paused: bool,
    /// `--cgroup`
    pub(crate) cgroups: Vec<String>,

    /// `kill --regex`, `delete --regex`
    pub(crate) regex: bool,
    /// `kill --all`
    pub(crate) all: bool,
    /// `delete --force`
    pub(crate) force: bool,
    /// `list --format`, `ps --format`
    pub(crate) list_format: Option<ListFormat>,
    /// `list --quiet`
    pub(crate) quiet: bool,
    /// `spec --rootless`
    pub(crate) spec_rootless: bool,

    /// The flags of `events`
    pub(crate) events: EventsArgs,
    /// The flags of `update`
    pub(crate) update: UpdateArgs,

    /// The flags of `checkpoint` and `restore`
    pub(crate) criu: CriuArgs,

    /// `man --directory`
    pub(crate) man_directory: Option<PathBuf>,

    /// What is not a flag: the container id, a signal, the command of `exec`, the options of `ps`.
    pub(crate) words: Vec<OsString>,
}
