//! Runs hooks and waits for them.
//!
//! A hook reads the container's state from its standard input, which is a file in memory: whether it reads it or not,
//! no process waits for it or gets SIGPIPE. Its output is part of the error message, up to a limit. The hook is done when
//! its program has exited, even if another process has its output open, or when its timeout has passed; then its whole
//! process group is killed.

use crate::bundle::HookKind;
use crate::bundle::spec::Hook;
use crate::container::state::State;
use crate::sys::{self, process::Exit};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How many bytes of each output are part of an error message.
const OUTPUT_LIMIT: usize = 8 << 10;
/// How long to wait for a killed hook to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A hook that was started: a child of the caller, and the leader of its own process group.
pub(crate) struct StartedHook {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// How hooks are started.
pub(crate) trait SpawnHook {
    /// Starts `hook` with these descriptors 0, 1 and 2 and exactly the environment that it names.
    fn spawn(&self, hook: &Hook, stdio: [OwnedFd; 3]) -> Result<StartedHook, String>;
}

/// Runs the hooks in order, and stops at the first that fails.
///
/// # Errors
/// [`ErrorKind::Hook`], with what the hook printed and its place in `config.json`.
pub(crate) fn run(kind: HookKind, hooks: &[Hook], state: &State, spawner: &dyn SpawnHook) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = encode(state)?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| run_one(kind, index, hook, &state, spawner))
}

/// Runs all of the hooks; failures are reported, and the next hook runs.
pub(crate) fn run_all(
    kind: HookKind,
    hooks: &[Hook],
    state: &State,
    spawner: &dyn SpawnHook,
    mut report: impl FnMut(&Error),
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = encode(state)?;
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(e) = run_one(kind, index, hook, &state, spawner) {
            report(&e);
        }
    }
    Ok(())
}

fn encode(state: &State) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|e| Error::new(ErrorKind::Hook, Phase::Hook, "encode state").with_detail(e.to_string()))
}

fn run_one(kind: HookKind, index: usize, hook: &Hook, state: &[u8], spawner: &dyn SpawnHook) -> Result<()> {
    let fail = |detail: String| {
        let operation = format!("error running {} hook #{index}", kind.name());
        Error::new(ErrorKind::Hook, Phase::Hook, operation)
            .with_detail(detail)
            .with_pointer(format!("/hooks/{}/{index}", kind.name()))
    };
    let system = |what: &'static str| move |e: Errno| fail(format!("{what}: {}", error_text(e)));
    let stdin = state_file(state).map_err(system("create its standard input"))?;
    let (out, out_end) = pipe().map_err(system("pipe"))?;
    let (err, err_end) = pipe().map_err(system("pipe"))?;
    let started = spawner.spawn(hook, [stdin, out_end, err_end]).map_err(&fail)?;

    let limit = hook.timeout.and_then(|t| u64::try_from(t).ok()).map(Duration::from_secs);
    let mut outputs = [HookOutput::new(out), HookOutput::new(err)];
    let exited = wait_with_output(&started.pidfd, &mut outputs, limit.map(|l| Instant::now() + l));
    let exit = if matches!(exited, Ok(true)) { reap(&started.pidfd) } else { kill(&started) };
    let [stdout, stderr] = outputs.map(|mut output| {
        output.drain();
        output.text()
    });
    let why = match (exited, limit, exit) {
        (Ok(true), _, Ok(Exit::Code(0))) => return Ok(()),
        (Ok(true), _, Ok(Exit::Code(code))) => format!("exit status {code}"),
        (Ok(true), _, Ok(Exit::Signal(n))) => signal_text(n),
        (Ok(true), _, Err(e)) => format!("its exit status is unknown: {}", error_text(e)),
        (Ok(false), Some(limit), _) => format!("hook ran past specified timeout of {}s", limit.as_secs()),
        (Ok(false), None, _) => "hook was not waited for".to_owned(),
        (Err(e), ..) => format!("poll: {}", error_text(e)),
    };
    Err(fail(format!("{why}, stdout: {stdout}, stderr: {stderr}")))
}

/// A signal in words, if they say more than its number: the filter of the container has killed the hook.
fn signal_text(number: i32) -> String {
    if number == libc::SIGSYS {
        format!("signal {number}: bad system call")
    } else {
        format!("signal {number}")
    }
}

/// Reads what a hook prints until it has exited (`true`) or the deadline has passed.
fn wait_with_output(
    pidfd: &OwnedFd,
    outputs: &mut [HookOutput; 2],
    deadline: Option<Instant>,
) -> Result<bool, Errno> {
    loop {
        let timeout = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return Ok(false),
            // Rounded up, so that the last iterations do not poll without waiting.
            Some(left) => PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        let ready = {
            let mut set = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            set.extend(
                outputs
                    .iter()
                    .filter_map(|o| o.pipe.as_ref())
                    .map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN)),
            );
            match nix::poll::poll(&mut set, timeout) {
                Ok(_) | Err(Errno::EINTR) => set[0].any().unwrap_or(false),
                Err(e) => return Err(e),
            }
        };
        outputs.iter_mut().for_each(HookOutput::drain);
        if ready {
            return Ok(true);
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<Exit, Errno> {
    sys::process::wait(pidfd, true)?.ok_or(Errno::ECHILD)
}

/// Kills the hook's whole process group, and reaps the hook. The process group id cannot be reused before that.
fn kill(started: &StartedHook) -> Result<Exit, Errno> {
    let group = nix::unistd::Pid::from_raw(started.pid);
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    let _ = sys::process::pidfd_send_signal(&started.pidfd, libc::SIGKILL);
    let timeout = i32::try_from(EXIT_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
    if sys::process::poll_in(&started.pidfd, timeout)? { reap(&started.pidfd) } else { Err(Errno::ETIMEDOUT) }
}

/// One of a hook's outputs: the read end of its pipe, and the beginning of what it has printed.
struct HookOutput {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl HookOutput {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), text: Vec::new() }
    }

    /// Reads what is available without waiting; what exceeds the limit is discarded.
    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &self.pipe {
            if !sys::process::poll_in(pipe, 0).unwrap_or(false) {
                return;
            }
            match nix::unistd::read(pipe, &mut buffer) {
                Ok(n) if n > 0 => {
                    let room = OUTPUT_LIMIT.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&buffer[..n.min(room)]);
                    if n > room {
                        // Only one read for each call, so that a hook that prints for ever still reaches its deadline.
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                _ => self.pipe = None,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.text.trim_ascii_end()).into_owned()
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
}

/// A file in memory with the state, positioned at its beginning.
fn state_file(state: &[u8]) -> Result<OwnedFd, Errno> {
    let fd = sys::memfd::data(c"state.json")?;
    sys::fs::write_all(&fd, state)?;
    nix::unistd::lseek(&fd, 0, nix::unistd::Whence::SeekSet)?;
    Ok(fd)
}

fn error_text(errno: Errno) -> String {
    crate::error::errno_text(errno)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
