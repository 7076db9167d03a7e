//! `exec`

use super::new::{check_passed, console, join};
use super::{Failure, Outcome};
use crate::args::Args;
use crate::environment::absolute_option;
use crate::foreground::{self, Signals};
use crate::log::Log;
use crate::sys::process::send_signal;
use nix::libc;
use orlop::bundle::spec::{Capabilities, Process};
use orlop::container::{Container, ExecOptions, ExecProcess, Stdio};

use std::os::fd::AsFd;

/// What `exec` ends with where the process has not run.
const FAILED: u8 = 255;

pub(super) fn exec(args: &Args, log: &Log) -> Outcome {
    run(args, log).map_err(|failure| failure.with_code(FAILED))
}

fn run(args: &Args, log: &Log) -> Outcome {
    let container = super::container(args, log)?;
    let mut process = process(args, &container)?;
    if !args.detach {
        foreground::fit_console(&mut process);
    }
    check_passed(0, args.preserve_fds)?;
    let options = ExecOptions {
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: console(args, process.terminal, !args.detach)?,
        pidfd_socket: absolute_option(args.pidfd_socket.as_deref())?,
        preserve_fds: args.preserve_fds,
        cgroups: args.cgroups.clone(),
        ignore_paused: args.ignore_paused,
        stdio: Stdio::Inherit,
    };
    log.debug(|| format!("exec {:?} in {}: {options:?}", process.args, container.id()));
    if args.detach {
        container.exec(&process, &options)?;
        return Ok(0);
    }
    let signals = Signals::take().map_err(|e| Failure::system("hold back signals", e))?;
    let done = run_in_foreground(&container, &process, &options, &signals);
    if done.is_err() {
        // The error may be written to a pipe that is not read: signals must be able to end that.
        signals.let_go();
    }
    done
}

fn run_in_foreground(
    container: &Container,
    process: &Process,
    options: &ExecOptions,
    signals: &Signals,
) -> Outcome {
    let mut child = container.exec(process, options)?;
    serve(&mut child, signals).inspect_err(|_| abandon(&child))
}

/// Serves the process until its end.
fn serve(child: &mut ExecProcess, signals: &Signals) -> Outcome {
    let mut terminal = join(child.take_console())?;
    let reap = || child.try_wait();
    let exit = foreground::serve(child.pidfd().as_fd(), &reap, signals, terminal.as_mut(), None)?;
    Ok(exit.shell_code() as u8)
}

/// Ends a process that is no longer served: it would go on in the container unnoticed.
fn abandon(child: &ExecProcess) {
    // It may have ended, and been reaped.
    if send_signal(child.pidfd().as_fd(), libc::SIGKILL).is_ok() {
        let _ = child.wait();
    }
}

/// The process object: that of `--process`, or the container's own with another command; then what
/// the flags say.
fn process(args: &Args, container: &Container) -> Result<Process, Failure> {
    let command = &args.words[1..];
    let base = match &args.process {
        Some(_) if !command.is_empty() => {
            return Err(Failure::new("exec takes a command or --process, not both", FAILED));
        }
        Some(file) => Process::from_json(&super::read_input("process", file)?)
            .map_err(|e| Failure::new(format!("process file {}: {e}", file.display()), FAILED))?,
        None if command.is_empty() => {
            return Err(Failure::new(
                "exec: process args cannot be empty: give a command, or --process FILE",
                FAILED,
            ));
        }
        // Whether there is a terminal, --tty alone says.
        None => Process { terminal: false, ..container.spec()?.process.unwrap_or_default() },
    };
    let words = command.iter().map(|w| super::text(Some(w), "argument").map(str::to_owned));
    Ok(overridden(base, words.collect::<Result<_, _>>()?, args))
}

fn overridden(mut process: Process, command: Vec<String>, args: &Args) -> Process {
    if !command.is_empty() {
        process.args = command;
    }
    if let Some(cwd) = &args.cwd {
        process.cwd.clone_from(cwd);
    }
    if process.cwd.is_empty() {
        "/".clone_into(&mut process.cwd);
    }
    process.terminal |= args.tty;
    process.no_new_privileges |= args.no_new_privs;
    process.env.extend_from_slice(&args.env);
    process.user.additional_gids.extend_from_slice(&args.additional_gids);
    if let Some((uid, gid)) = args.user {
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    if args.apparmor.is_some() {
        process.apparmor_profile.clone_from(&args.apparmor);
    }
    if args.process_label.is_some() {
        process.selinux_label.clone_from(&args.process_label);
    }
    if !args.caps.is_empty() {
        add_capabilities(process.capabilities.get_or_insert_default(), &args.caps);
    }
    process
}

/// The sets that decide what the process may do; inheritable and ambient ones only pass on.
fn add_capabilities(sets: &mut Capabilities, more: &[String]) {
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.extend(more.iter().filter(|c| !set.contains(c)).cloned().collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_the_process() {
        let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let base = Process {
            args: strings(&["init"]),
            env: strings(&["A=1"]),
            capabilities: Some(Capabilities { bounding: strings(&["CAP_KILL"]), ..Capabilities::default() }),
            ..Process::default()
        };
        let args = Args {
            tty: true,
            no_new_privs: true,
            cwd: Some("/tmp".into()),
            env: strings(&["A=2", "B=3"]),
            user: Some((5, None)),
            additional_gids: vec![7],
            caps: strings(&["CAP_KILL", "CAP_CHOWN"]),
            apparmor: Some("profile".into()),
            process_label: Some("label".into()),
            ..Args::default()
        };
        let process = overridden(base.clone(), strings(&["ls", "-l"]), &args);
        assert_eq!(process.args, ["ls", "-l"]);
        assert_eq!(process.env, ["A=1", "A=2", "B=3"]);
        assert_eq!(process.cwd, "/tmp");
        assert!(process.terminal && process.no_new_privileges);
        assert_eq!((process.user.uid, process.user.gid), (5, 0));
        assert_eq!(process.user.additional_gids, [7]);
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.bounding, ["CAP_KILL", "CAP_CHOWN"]);
        assert_eq!(sets.effective, ["CAP_KILL", "CAP_CHOWN"]);
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
        assert_eq!(process.apparmor_profile.as_deref(), Some("profile"));
        assert_eq!(process.selinux_label.as_deref(), Some("label"));
        let same = overridden(base.clone(), Vec::new(), &Args::default());
        assert_eq!((same.args, same.env, same.cwd.as_str()), (base.args, base.env, "/"));
    }
}
