//! Hooks: programs which `config.json` names, run at six points of a container's life.
//!
//! A hook reads the container's state on its standard input, a file in memory: it may read it, or
//! not, and nobody waits or is signalled for it. What it prints is kept for the error's text, up to
//! a bound. It is over when the program itself has ended, whoever else holds its output open, or
//! when its timeout has passed, and then its whole process group is killed.

use super::State;
use super::lock::Lock;
pub(crate) use crate::bundle::HookKind as Kind;
use crate::bundle::spec::Hook;
use crate::cgroup::{Cgroup, Join};
use crate::init::launch::{self, Alone, End, Launch, serve};
use crate::init::presets::{Presets, Sources, Standard};
use crate::plan::{HookPlace, Plan, compile_hook};
use crate::sys::{self, process::Exit};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How much of each of a hook's outputs is kept.
const KEPT: usize = 8 << 10;
/// How long a killed hook may take to be gone.
const GRACE: Duration = Duration::from_secs(10);

/// A hook which has been started: the leader of a process group of its own, and a child of the
/// caller.
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Where hooks are started: on the host, or in the container's namespaces.
pub(crate) trait Spawn {
    /// Starts `hook` with these descriptors 0, 1 and 2 and exactly the environment it names.
    fn spawn(&self, hook: &Hook, stdio: [OwnedFd; 3]) -> Result<Started, String>;
}

/// Starts hooks through the init stub: whatever the caller holds open or has set up stays out of them.
pub(crate) struct Launcher<'a> {
    /// What the compiler must know.
    /// The version of the kernel.
    pub(crate) kernel: (u32, u32),
    /// Where they run.
    pub(crate) place: Place<'a>,
    /// The lock of the operation that they are a part of.
    pub(crate) lock: &'a Lock,
}

/// Where hooks run.
pub(crate) enum Place<'a> {
    /// On the host, in this directory; in `/` if it is gone.
    Host(&'a Path),
    /// In a container in the making.
    Container(Inside<'a>),
    /// In a container, as its program will.
    Program(&'a StartHook<'a>),
}

/// Starts a hook with these descriptors 0, 1 and 2.
pub(crate) type StartHook<'a> = dyn Fn(&Hook, [OwnedFd; 3]) -> Result<Started> + 'a;

/// The namespaces and the cgroup of a container in the making.
pub(crate) struct Inside<'a> {
    /// The process whose namespaces are joined.
    pub(crate) process: BorrowedFd<'a>,
    /// Which of them (`CLONE_NEW*`).
    pub(crate) namespaces: u64,
    /// The file of its pid namespace, if the process is not in that itself.
    pub(crate) pid: Option<&'a str>,
    /// The cgroup, if there is one.
    pub(crate) cgroup: Option<Cgroup>,
    /// The host's root directory, as the process has it.
    pub(crate) root: Option<OwnedFd>,
}

impl Spawn for Launcher<'_> {
    fn spawn(&self, hook: &Hook, stdio: [OwnedFd; 3]) -> Result<Started, String> {
        let started = match &self.place {
            Place::Host(directory) => {
                let directory = directory.to_string_lossy();
                let plan = compile_hook(hook, self.kernel, HookPlace::Host(&directory));
                plan.and_then(|plan| self.start(&plan, None, Sources::default(), &stdio))
            }
            Place::Container(inside) => self.start_inside(hook, inside, &stdio),
            Place::Program(start) => start(hook, stdio),
        };
        started.map_err(|e| e.to_string())
    }
}

impl Launcher<'_> {
    fn start_inside(&self, hook: &Hook, inside: &Inside<'_>, stdio: &[OwnedFd; 3]) -> Result<Started> {
        let mut join = inside.cgroup.as_ref().map(Cgroup::join).transpose()?;
        if let Some(join) = &mut join {
            join.use_files()?;
        }
        let cgroup_files = join.as_ref().map_or(0, |join| join.files().len());
        let (namespaces, pid) = (inside.namespaces, inside.pid);
        let root = inside.root.as_ref().map(AsFd::as_fd);
        let place = HookPlace::Container { namespaces, pid, cgroup_files, root: root.is_some() };
        let sources = Sources { process: Some(inside.process), given: root.as_slice(), ..Sources::default() };
        self.start(&compile_hook(hook, self.kernel, place)?, join.as_ref(), sources, stdio)
    }

    fn start(
        &self,
        plan: &Plan,
        join: Option<&Join>,
        sources: Sources<'_>,
        stdio: &[OwnedFd; 3],
    ) -> Result<Started> {
        let recorder = |pid| self.lock.helping(pid);
        let presets = Presets::open(plan, Sources { recorder: Some(&recorder), ..sources })?;
        let standard = Standard::Given(stdio.each_ref().map(|fd| Some(fd.as_fd())));
        let launch = Launch { plan, presets: &presets, join, standard: &standard, fault: None };
        let mut stub = self.lock.launch(launch)?;
        match serve(&mut Alone { stub: &mut stub, plan, recorder: Some(&recorder) }) {
            Ok(End::Executed) => Ok(Started { pid: stub.pid, pidfd: stub.pidfd }),
            ended => {
                stub.destroy();
                ended?;
                Err(launch::lost())
            }
        }
    }
}

/// Runs the hooks in turn and stops at the first that fails.
///
/// # Errors
/// [`ErrorKind::Hook`], with what the hook printed and its place in `config.json`.
pub(crate) fn run(kind: Kind, hooks: &[Hook], state: &State, place: &dyn Spawn) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = encode(state)?;
    hooks.iter().enumerate().try_for_each(|(index, hook)| run_one(kind, index, hook, &state, place))
}

/// Runs all of the hooks; each that fails is reported and passed over.
pub(crate) fn run_all(
    kind: Kind,
    hooks: &[Hook],
    state: &State,
    place: &dyn Spawn,
    mut report: impl FnMut(&Error),
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = encode(state)?;
    for (index, hook) in hooks.iter().enumerate() {
        if let Err(e) = run_one(kind, index, hook, &state, place) {
            report(&e);
        }
    }
    Ok(())
}

fn encode(state: &State) -> Result<Vec<u8>> {
    serde_json::to_vec(state)
        .map_err(|e| Error::new(ErrorKind::Hook, Phase::Hook, "encode state").with_detail(e.to_string()))
}

fn run_one(kind: Kind, index: usize, hook: &Hook, state: &[u8], place: &dyn Spawn) -> Result<()> {
    let fail = |detail: String| {
        let operation = format!("error running {} hook #{index}", kind.name());
        Error::new(ErrorKind::Hook, Phase::Hook, operation)
            .with_detail(detail)
            .with_pointer(format!("/hooks/{}/{index}", kind.name()))
    };
    let system = |what: &'static str| move |e: Errno| fail(format!("{what}: {}", error_text(e)));
    let stdin = state_file(state).map_err(system("make its standard input"))?;
    let (out, out_end) = pipe().map_err(system("pipe"))?;
    let (err, err_end) = pipe().map_err(system("pipe"))?;
    let started = place.spawn(hook, [stdin, out_end, err_end]).map_err(&fail)?;

    let limit = hook.timeout.and_then(|t| u64::try_from(t).ok()).map(Duration::from_secs);
    let mut outputs = [Output::new(out), Output::new(err)];
    let watched = follow(&started.pidfd, &mut outputs, limit.map(|l| Instant::now() + l));
    let ended = matches!(watched, Ok(true));
    let exit = if ended { reap(&started.pidfd) } else { kill(&started) };
    let [stdout, stderr] = outputs.map(|mut output| {
        output.drain();
        output.text()
    });
    let why = match (watched, limit, exit) {
        (Ok(true), _, Ok(Exit::Code(0))) => return Ok(()),
        (Ok(true), _, Ok(Exit::Code(code))) => format!("exit status {code}"),
        (Ok(true), _, Ok(Exit::Signal(n))) => format!("signal {n}"),
        (Ok(true), _, Err(e)) => format!("its exit status is unknown: {}", error_text(e)),
        (Ok(false), Some(limit), _) => format!("hook ran past specified timeout of {}s", limit.as_secs()),
        (Ok(false), None, _) => "hook was not waited for".to_owned(),
        (Err(e), ..) => format!("poll: {}", error_text(e)),
    };
    Err(fail(format!("{why}, stdout: {stdout}, stderr: {stderr}")))
}

/// Follows a hook until it has ended (`true`) or the deadline has passed, reading what it prints.
fn follow(pidfd: &OwnedFd, outputs: &mut [Output; 2], deadline: Option<Instant>) -> Result<bool, Errno> {
    loop {
        let timeout = match deadline.map(|d| d.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return Ok(false),
            // Rounded up, so that the last turn does not spin.
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
        outputs.iter_mut().for_each(Output::drain);
        if ready {
            return Ok(true);
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<Exit, Errno> {
    sys::process::wait(pidfd, true)?.ok_or(Errno::ECHILD)
}

/// Kills the hook's whole process group, and reaps the hook. Until it is reaped nobody else can
/// have its number.
fn kill(started: &Started) -> Result<Exit, Errno> {
    let group = nix::unistd::Pid::from_raw(started.pid);
    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
    let _ = sys::process::pidfd_send_signal(&started.pidfd, libc::SIGKILL);
    let grace = i32::try_from(GRACE.as_millis()).unwrap_or(i32::MAX);
    if sys::process::poll_in(&started.pidfd, grace)? { reap(&started.pidfd) } else { Err(Errno::ETIMEDOUT) }
}

/// One of a hook's outputs: the reading end of its pipe, and the beginning of what came.
struct Output {
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Output {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), text: Vec::new() }
    }

    /// Reads what is there now, never waiting; what exceeds the bound is read and dropped.
    fn drain(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &self.pipe {
            if !sys::process::poll_in(pipe, 0).unwrap_or(false) {
                return;
            }
            match nix::unistd::read(pipe, &mut buffer) {
                Ok(n) if n > 0 => {
                    let room = KEPT.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&buffer[..n.min(room)]);
                    if n > room {
                        // One read a turn, so that a hook which prints for ever meets its deadline.
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

/// The state as a file, at its beginning.
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
#[path = "hooks_tests.rs"]
mod tests;
