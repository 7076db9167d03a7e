//! `exec`

use super::{console, descriptors, input, open};
use crate::args::{EXEC_FAILED, ExecArgs, ProcessOverrides, ProcessSource};
use crate::environment::absolute_option;
use crate::failure::{Failure, Outcome};
use crate::foreground::{self, BlockedSignals};
use crate::log::Log;
use crate::sys::process::send_signal;
use nix::libc;
use orlop::bundle::spec::{Capabilities, Process};
use orlop::container::{Container, ExecOptions, ExecProcess, Stdio};
use std::os::fd::AsFd;

pub(super) fn exec(args: &ExecArgs, log: &Log) -> Outcome {
    run(args, log).map_err(|failure| failure.with_code(EXEC_FAILED))
}

fn run(args: &ExecArgs, log: &Log) -> Outcome {
    let container = open::container(&args.container, log)?;
    let mut process = override_process(process(&args.process, &container)?, &args.overrides);
    if !args.detach {
        foreground::set_console_size(&mut process);
    }
    descriptors::check_inherited(0, args.preserve_fds)?;
    let options = ExecOptions {
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: console::console(args.console_socket.as_deref(), process.terminal, !args.detach)?,
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
    let signals = BlockedSignals::block().map_err(|e| Failure::system("hold back signals", e))?;
    let done = run_in_foreground(&container, &process, &options, &signals);
    if done.is_err() {
        // The error may be written to a pipe that is not read: signals must be able to interrupt that.
        signals.unblock();
    }
    done
}

fn run_in_foreground(
    container: &Container,
    process: &Process,
    options: &ExecOptions,
    signals: &BlockedSignals,
) -> Outcome {
    let mut child = container.exec(process, options)?;
    serve(&mut child, signals).inspect_err(|_| kill(&child))
}

/// Serves the process until it exits.
fn serve(child: &mut ExecProcess, signals: &BlockedSignals) -> Outcome {
    let mut terminal = console::relay(child.take_console())?;
    let reap = || child.try_wait();
    let exit = foreground::serve(child.pidfd().as_fd(), &reap, signals, terminal.as_mut(), None)?;
    Ok(exit.shell_code() as u8)
}

/// Kills a process that can no longer be served: it would go on in the container unnoticed.
fn kill(child: &ExecProcess) {
    // It may have exited already, and been reaped.
    if send_signal(child.pidfd().as_fd(), libc::SIGKILL).is_ok() {
        let _ = child.wait();
    }
}

/// The process object: that of `--process`, or the container's own with another command.
fn process(source: &ProcessSource, container: &Container) -> Result<Process, Failure> {
    match source {
        ProcessSource::File(file) => Process::from_json(&input::read_input("process", file)?)
            .map_err(|e| Failure::new(format!("process file {}: {e}", file.display()))),
        ProcessSource::Command(command) => {
            Ok(with_command(container.spec()?.process.unwrap_or_default(), command))
        }
    }
}

/// The container's own process with another command. It has no terminal unless `--tty` is given.
fn with_command(own: Process, command: &[String]) -> Process {
    Process { args: command.to_vec(), terminal: false, ..own }
}

/// The process with what the flags change.
fn override_process(mut process: Process, flags: &ProcessOverrides) -> Process {
    if let Some(cwd) = &flags.cwd {
        process.cwd.clone_from(cwd);
    }
    if process.cwd.is_empty() {
        "/".clone_into(&mut process.cwd);
    }
    process.terminal |= flags.tty;
    process.no_new_privileges |= flags.no_new_privs;
    process.env.extend_from_slice(&flags.env);
    process.user.additional_gids.extend_from_slice(&flags.additional_gids);
    if let Some((uid, gid)) = flags.user {
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    if flags.apparmor.is_some() {
        process.apparmor_profile.clone_from(&flags.apparmor);
    }
    if flags.process_label.is_some() {
        process.selinux_label.clone_from(&flags.process_label);
    }
    if !flags.caps.is_empty() {
        add_capabilities(process.capabilities.get_or_insert_default(), &flags.caps);
    }
    process
}

/// Adds to the sets that decide what the process may do. The ambient set gets them only if there is an inheritable set: an
/// ambient capability must be inheritable, and this adds none to that set.
fn add_capabilities(sets: &mut Capabilities, more: &[String]) {
    let add = |set: &mut Vec<String>| {
        set.extend(more.iter().filter(|c| !set.contains(c)).cloned().collect::<Vec<_>>());
    };
    add(&mut sets.bounding);
    add(&mut sets.effective);
    add(&mut sets.permitted);
    if !sets.inheritable.is_empty() {
        add(&mut sets.ambient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_and_the_flags_change_the_process() {
        let strings = |all: &[&str]| all.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let base = Process {
            args: strings(&["init"]),
            env: strings(&["A=1"]),
            capabilities: Some(Capabilities { bounding: strings(&["CAP_KILL"]), ..Capabilities::default() }),
            ..Process::default()
        };
        let flags = ProcessOverrides {
            tty: true,
            no_new_privs: true,
            cwd: Some("/tmp".into()),
            env: strings(&["A=2", "B=3"]),
            user: Some((5, None)),
            additional_gids: vec![7],
            caps: strings(&["CAP_KILL", "CAP_CHOWN"]),
            apparmor: Some("profile".into()),
            process_label: Some("label".into()),
        };
        let own = Process { terminal: true, ..base.clone() };
        let process = with_command(own, &strings(&["ls", "-l"]));
        assert!(!process.terminal);
        let process = override_process(process, &flags);
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
        let mut sets = Capabilities { inheritable: strings(&["CAP_CHOWN"]), ..Capabilities::default() };
        add_capabilities(&mut sets, &strings(&["CAP_CHOWN"]));
        assert_eq!((sets.ambient, sets.inheritable), (strings(&["CAP_CHOWN"]), strings(&["CAP_CHOWN"])));
        assert_eq!(process.apparmor_profile.as_deref(), Some("profile"));
        assert_eq!(process.selinux_label.as_deref(), Some("label"));
        let same = override_process(base.clone(), &ProcessOverrides::default());
        assert_eq!((same.args, same.env, same.cwd.as_str()), (base.args, base.env, "/"));
    }
}
