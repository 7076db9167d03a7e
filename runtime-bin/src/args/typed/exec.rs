//! Arguments of `exec`.

use super::super::low::LowArgs;
use super::shared::{ContainerArgs, text};
use crate::failure::Failure;
use std::path::PathBuf;

/// The exit code of `exec` if the process could not be run.
pub(crate) const EXEC_FAILED: u8 = 255;

/// `exec`
#[derive(Debug, PartialEq)]
pub(crate) struct ExecArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) process: ProcessSource,
    pub(crate) overrides: ProcessOverrides,
    /// `--detach`
    pub(crate) detach: bool,
    /// `--console-socket`
    pub(crate) console_socket: Option<PathBuf>,
    /// `--pid-file`
    pub(crate) pid_file: Option<PathBuf>,
    /// `--pidfd-socket`
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// `--preserve-fds`
    pub(crate) preserve_fds: u32,
    /// `--cgroup`
    pub(crate) cgroups: Vec<String>,
    /// `--ignore-paused`
    pub(crate) ignore_paused: bool,
}

/// Which process to run.
#[derive(Debug, PartialEq)]
pub(crate) enum ProcessSource {
    /// The container's own process, but with this command, which is not empty.
    Command(Vec<String>),
    /// The process object in a file; `-` is standard input. `--process`
    File(PathBuf),
}

/// Flags that change the process.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ProcessOverrides {
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
}

impl ExecArgs {
    pub(super) fn take(low: LowArgs) -> Result<Self, Failure> {
        Self::checked(low).map_err(|failure| failure.with_code(EXEC_FAILED))
    }

    fn checked(mut low: LowArgs) -> Result<Self, Failure> {
        Ok(Self {
            container: ContainerArgs::take(&mut low, 0)?,
            process: ProcessSource::take(&mut low)?,
            overrides: ProcessOverrides {
                tty: low.tty,
                user: low.user,
                additional_gids: low.additional_gids,
                cwd: low.cwd,
                env: low.env,
                caps: low.caps,
                no_new_privs: low.no_new_privs,
                process_label: low.process_label,
                apparmor: low.apparmor,
            },
            detach: low.detach,
            console_socket: low.console_socket,
            pid_file: low.pid_file,
            pidfd_socket: low.pidfd_socket,
            preserve_fds: low.preserve_fds,
            cgroups: low.cgroups,
            ignore_paused: low.ignore_paused,
        })
    }
}

impl ProcessSource {
    fn take(low: &mut LowArgs) -> Result<Self, Failure> {
        let command = low.operands.get(1..).unwrap_or_default();
        match low.process.take() {
            Some(_) if !command.is_empty() => {
                Err(Failure::new("exec takes a command or --process, not both"))
            }
            Some(file) => Ok(Self::File(file)),
            None if command.is_empty() => {
                Err(Failure::new("exec: process args cannot be empty: give a command, or --process FILE"))
            }
            None => {
                let words = command.iter().map(|word| text(Some(word), "argument"));
                Ok(Self::Command(words.collect::<Result<_, _>>()?))
            }
        }
    }
}
