//! A container from its creation to its exit: `run` and `restore`.

use super::console;
use crate::args::LaunchMode;
use crate::environment::notify_socket;
use crate::failure::{Failure, Outcome};
use crate::foreground::{self, BlockedSignals, NotifyForwarder, become_subreaper};
use crate::log::Log;
use orlop::container::{Container, Status};

/// Launches a container. In the foreground, serves it until it exits; otherwise returns once it is ready.
pub(super) fn supervise(
    mode: LaunchMode,
    log: &Log,
    launch: impl FnOnce() -> Result<Container, Failure>,
) -> Outcome {
    match mode {
        LaunchMode::Detached => detach(log, launch),
        LaunchMode::Foreground { adopt_orphans, keep } => {
            let signals = BlockedSignals::block().map_err(|e| Failure::system("hold back signals", e))?;
            if adopt_orphans {
                become_subreaper().map_err(|e| Failure::system("become a subreaper", e))?;
            }
            let done = launch().and_then(|container| serve_and_delete(&container, &signals, keep, log));
            if done.is_err() {
                // The error may be written to a pipe that is not read: signals must be able to interrupt that.
                signals.unblock();
            }
            done
        }
    }
}

fn detach(log: &Log, launch: impl FnOnce() -> Result<Container, Failure>) -> Outcome {
    let container = launch()?;
    if let Some(notify) = NotifyForwarder::open(&container, notify_socket())? {
        notify.until_ready(&container, log)?;
    }
    Ok(0)
}

/// Serves a container until it exits, and deletes it unless `keep` is set.
fn serve_and_delete(container: &Container, signals: &BlockedSignals, keep: bool, log: &Log) -> Outcome {
    match serve(container, signals) {
        Ok((code, warning)) => {
            if !keep {
                container.delete(true)?;
            }
            if let Some(warning) = warning {
                signals.unblock();
                log.warning(&warning);
            }
            Ok(code)
        }
        Err(failure) => {
            if !keep {
                clean_up(container, signals, log);
            }
            Err(failure)
        }
    }
}

/// Serves a container until it exits, after starting it if it was only created. Returns the exit code and a warning.
fn serve(container: &Container, signals: &BlockedSignals) -> Result<(u8, Option<String>), Failure> {
    let pidfd = container.init_pidfd()?;
    let mut notify = NotifyForwarder::open(container, notify_socket())?;
    let mut terminal = console::relay(container.take_console())?;
    if terminal.is_some() && container.state()?.status == Status::Created {
        container.start()?;
    }
    let reap = || container.try_wait();
    let exit = foreground::serve(pidfd, &reap, signals, terminal.as_mut(), notify.as_mut())?;
    Ok((exit.shell_code() as u8, notify.and_then(NotifyForwarder::failure)))
}

/// Deletes a container that could not be served. The command fails with the earlier failure, so this one is a warning.
fn clean_up(container: &Container, signals: &BlockedSignals, log: &Log) {
    if let Err(e) = container.delete(true) {
        signals.unblock();
        log.warning(&format!("delete the container which did not start: {e}"));
    }
}
