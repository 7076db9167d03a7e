//! `create` and `run`: what makes a container.

use super::{Failure, Outcome};
use crate::args::Args;
use crate::environment::{absolute, absolute_option, listen_fds, notify_socket, systemd};
use crate::foreground::{self, Notify, Signals, Terminal};
use crate::log::Log;
use crate::sys::stdio::is_inherited;
use orlop::bundle::Bundle;
use orlop::container::{Console, Container, CreateOptions, Runtime, Status, Stdio};
use std::path::Path;

/// `create`
pub(super) fn create(args: &Args, log: &Log) -> Outcome {
    make(args, log, Watch::Nobody, Runtime::create)?;
    Ok(0)
}

/// `run`
pub(super) fn run(args: &Args, log: &Log) -> Outcome {
    let watch = if args.detach { Watch::Nobody } else { Watch::Us };
    keep(args, log, watch, || make(args, log, watch, Runtime::run))
}

/// Makes a container, and is there while it runs.
pub(super) fn keep(
    args: &Args,
    log: &Log,
    watch: Watch,
    make: impl FnOnce() -> Result<Container, Failure>,
) -> Outcome {
    if watch == Watch::Nobody {
        let container = make()?;
        if let Some(notify) = Notify::open(&container, notify_socket())? {
            notify.until_ready(&container, log)?;
        }
        return Ok(0);
    }
    let signals = Signals::take().map_err(|e| Failure::system("hold back signals", e))?;
    if !args.no_subreaper {
        Signals::adopt_orphans().map_err(|e| Failure::system("become a subreaper", e))?;
    }
    let done = make().and_then(|container| serve_to_the_end(&container, &signals, args, log));
    if done.is_err() {
        // The error may be written to a pipe that is not read: signals must be able to end that.
        signals.let_go();
    }
    done
}

/// Serves a container, and deletes it.
fn serve_to_the_end(container: &Container, signals: &Signals, args: &Args, log: &Log) -> Outcome {
    match serve(container, signals) {
        Ok((code, trouble)) => {
            if !args.keep {
                container.delete(true)?;
            }
            if let Some(trouble) = trouble {
                signals.let_go();
                log.warning(&trouble);
            }
            Ok(code)
        }
        Err(failure) => Err(abandon(container, args, signals, log, failure)),
    }
}

/// Who is there while the container runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// This program.
    Us,
    /// Whoever called it.
    Nobody,
}

/// [`Runtime::create`] or [`Runtime::run`].
type Make = fn(&Runtime, &str, &Bundle, &CreateOptions) -> orlop::Result<Container>;

fn make(args: &Args, log: &Log, watch: Watch, how: Make) -> Result<Container, Failure> {
    let id = super::id(args)?;
    let runtime = super::runtime(args, log)?;
    let mut bundle = bundle(args.bundle.as_deref(), args.config.as_deref())?;
    if watch == Watch::Us
        && let Some(process) = &mut bundle.spec.process
    {
        foreground::fit_console(process);
    }
    let terminal = bundle.spec.process.as_ref().is_some_and(|p| p.terminal);
    check_passed(listen_fds(), args.preserve_fds)?;
    let options = CreateOptions {
        pid_file: absolute_option(args.pid_file.as_deref())?,
        console: console(args, terminal, watch == Watch::Us)?,
        pidfd_socket: absolute_option(args.pidfd_socket.as_deref())?,
        preserve_fds: args.preserve_fds,
        listen_fds: listen_fds(),
        no_pivot: args.no_pivot,
        no_new_keyring: args.no_new_keyring,
        init: args.init,
        cgroup_manager: args.cgroup_manager.unwrap_or_default(),
        systemd: systemd(args.rootless)?,
        optional_cgroup: args.rootless,
        notify: notify_socket().is_some(),
        stdio: Stdio::Inherit,
    };
    log.debug(|| format!("create {id} from bundle {}: {options:?}", bundle.path.display()));
    // A terminal of ours is made ready, size and mode, before the program sees it.
    let how = if matches!(options.console, Console::Keep) { Runtime::create } else { how };
    Ok(how(&runtime, id, &bundle, &options)?)
}

/// Reads the bundle.
pub(super) fn bundle(directory: Option<&Path>, config: Option<&Path>) -> Result<Bundle, Failure> {
    let directory = absolute(directory.unwrap_or(Path::new(".")))?;
    Ok(match config {
        Some(config) => Bundle::load_config(directory, absolute(config)?)?,
        None => Bundle::load(directory)?,
    })
}

/// That the descriptors which the container is to keep were passed to this program: one of its own
/// with the same number must not get there.
pub(super) fn check_passed(listen: u32, preserve: u32) -> Result<(), Failure> {
    for n in 0..listen.saturating_add(preserve) {
        let fd = i32::try_from(n).unwrap_or(i32::MAX).saturating_add(3);
        if !is_inherited(fd) {
            let why = if n < listen {
                format!("LISTEN_FDS={listen}")
            } else {
                format!("--preserve-fds {preserve}")
            };
            return Err(Failure::new(format!("{why}: descriptor {fd} was not passed to this program"), 1));
        }
    }
    Ok(())
}

/// Where the master of the process's terminal goes, if it has one.
pub(super) fn console(args: &Args, terminal: bool, foreground: bool) -> Result<Console, Failure> {
    match &args.console_socket {
        Some(_) if foreground || !terminal => Err(Failure::new(
            "cannot use --console-socket: it is for a process with a terminal which is not waited for \
             (create, --detach)",
            1,
        )),
        Some(socket) => Ok(Console::Socket(absolute(socket)?)),
        None if terminal && !foreground => Err(Failure::new(
            "cannot allocate tty if it is detached without setting console socket: give --console-socket, or set \
             process.terminal to false",
            1,
        )),
        None if terminal => Ok(Console::Keep),
        None => Ok(Console::None),
    }
}

/// Serves the container until its end, and starts it first if it was only created. Returns the exit code and a warning.
fn serve(container: &Container, signals: &Signals) -> Result<(u8, Option<String>), Failure> {
    let pidfd = container.init_pidfd()?;
    let mut notify = Notify::open(container, notify_socket())?;
    let mut terminal = join(container.take_console())?;
    if terminal.is_some() && container.state()?.status == Status::Created {
        container.start()?;
    }
    let reap = || container.try_wait();
    let exit = foreground::serve(pidfd, &reap, signals, terminal.as_mut(), notify.as_mut())?;
    Ok((exit.shell_code() as u8, notify.and_then(Notify::trouble)))
}

/// Joins the master of a terminal, if there is one, to stdin and stdout.
pub(super) fn join(master: Option<std::os::fd::OwnedFd>) -> Result<Option<Terminal>, Failure> {
    master.map(Terminal::join).transpose().map_err(|e| Failure::system("set up the terminal", e))
}

/// Removes what a failed `run` has made; its failure stays the one that is reported.
fn abandon(container: &Container, args: &Args, signals: &Signals, log: &Log, failure: Failure) -> Failure {
    if !args.keep
        && let Err(e) = container.delete(true)
    {
        signals.let_go();
        log.warning(&format!("delete the container which did not start: {e}"));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_goes_where_it_can() {
        let plain = Args::default();
        let socket = Args { console_socket: Some("/s".into()), ..Args::default() };
        assert!(matches!(console(&plain, false, true), Ok(Console::None)));
        assert!(matches!(console(&plain, false, false), Ok(Console::None)));
        assert!(matches!(console(&plain, true, true), Ok(Console::Keep)));
        assert!(
            matches!(console(&socket, true, false), Ok(Console::Socket(path)) if path == Path::new("/s"))
        );
        for (args, terminal, foreground) in
            [(&plain, true, false), (&socket, true, true), (&socket, false, false), (&socket, false, true)]
        {
            assert!(console(args, terminal, foreground).unwrap_err().message.contains("console"));
        }
    }
}
