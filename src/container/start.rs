//! Letting a created container's program run.

use super::create::pid_inside;
use super::exec::{HookOf, start_hook};
use super::hooks::{self, Kind, Launcher, Place, Started};
use super::listener::Agent;
use super::lock::Lock;
use super::store::{Record, Stage};
use super::{Container, Status, alive_status_by, liveness};
use crate::bundle::spec::Hook;
use crate::bundle::{Bundle, Spec};
use crate::init::launch::{Memory, Verdict};
use crate::plan::{Host, Options, Plan, Policy, compile, kernel_version};
use crate::sys;
use crate::sys::unix::{Heard, listen_to, receive_now};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the waiting process may take to answer, and for how long it may be stopped on its way to execve(2).
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take from its answer to its execve(2): the file system that holds the program may be slow.
const EXECUTION: Duration = Duration::from_secs(60);
/// How often the process is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);

impl Container {
    /// Lets the program of a created container run; returns once its execve(2) has happened, and
    /// the poststart hooks have run.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`]; [`ErrorKind::Exec`] with the program's name and the errno;
    /// [`ErrorKind::Hook`], after which the container is stopped.
    pub fn start(&self) -> Result<()> {
        let lock = self.directory.lock()?;
        let Some(mut record) = self.directory.read()? else { return Err(cannot(Status::Creating)) };
        let Some((pidfd, letter)) = record.alive()? else { return Err(cannot(Status::Stopped)) };
        match alive_status_by(&record, letter)? {
            Status::Created => {}
            other => return Err(cannot(other)),
        }
        let needed = record.start_container || record.poststart || record.notifies;
        let spec = if needed { Some(self.spec()?) } else { None };
        // While it can still be started another time.
        let agent = match spec.as_ref().filter(|_| record.notifies) {
            Some(spec) => Agent::connect(spec)?,
            None => None,
        };
        if let Some(spec) = spec.as_ref().filter(|_| record.start_container) {
            let kept =
                self.directory.read_kept()?.and_then(|(_, kept)| kept.policy().and_then(Policy::decode));
            let policy = kept.unwrap_or_else(|| Policy::of(spec, None));
            // A failing hook stops the container.
            let done = self.start_container_hooks(&record, spec, pidfd.as_fd(), &policy, &lock);
            done.inspect_err(|_| self.stop(&pidfd))?;
        }
        if !self.release(&record, agent, &pidfd)? {
            // Another `start` was cut short after it had let the program go.
            record.stage = Stage::Started;
            self.directory.write(&record)?;
            return Err(cannot(Status::Running));
        }
        record.stage = Stage::Started;
        self.directory.write(&record)?;
        match spec.filter(|_| record.poststart) {
            Some(spec) => self.poststart_hooks(&record, &spec, &pidfd, &lock),
            None => Ok(()),
        }
    }

    /// Calls the waiting init process and hears what becomes of it; `false` where it waits no more.
    fn release(&self, record: &Record, mut agent: Option<Agent>, pidfd: &OwnedFd) -> Result<bool> {
        let failed = |call: &'static str| {
            move |e| Error::sys(Phase::Lifecycle, call, e).on(format!("start.sock of container {}", self.id))
        };
        let Some(sock) = self.directory.call_start()? else { return Ok(false) };
        let memory = self.memory_of(&sock, record, pidfd)?;
        let mut way = Way::begin(record.init.pid);
        loop {
            match listen_to(&sock, pidfd, Some(LOOK)).map_err(failed("poll"))? {
                Heard::Message => {}
                Heard::End => break,
                Heard::Silence if way.goes_on() => continue,
                Heard::Silence => return Err(self.silent("the container's init process does not go on")),
            }
            match receive_now(&sock) {
                Ok(message) if message.length == 0 => break,
                Err(Errno::ECONNRESET) => break,
                Ok(message) => {
                    let (Some(listener), Some(agent)) = (message.descriptor(), agent.take()) else {
                        continue;
                    };
                    let state = self.describe(record.clone(), Status::Created);
                    agent.send(&listener, record.init.pid, &state).inspect_err(|_| self.stop(pidfd))?;
                }
                Err(Errno::EAGAIN) => {}
                Err(e) => return Err(failed("recvmsg")(e)),
            }
        }
        match memory.verdict()? {
            Verdict::Executed => Ok(true),
            Verdict::Failed(f) => Err(self.plan(record)?.failure(f.step, f.call, f.errno)),
            Verdict::Created | Verdict::Died(_) => {
                Err(Error::new(ErrorKind::NotRunning, Phase::Lifecycle, "container not running")
                    .with_detail("its init process was killed while it was started"))
            }
        }
    }

    /// The memory with the control page, which the waiting process sends as soon as it is called. Nothing else that
    /// answers is believed: neither another process nor another file.
    fn memory_of(&self, sock: &OwnedFd, record: &Record, pidfd: &OwnedFd) -> Result<Memory> {
        let failed = |call: &'static str| {
            move |e| Error::sys(Phase::Lifecycle, call, e).on(format!("start.sock of container {}", self.id))
        };
        let died = || {
            Error::new(ErrorKind::NotRunning, Phase::Lifecycle, "container not running")
                .with_detail("its init process died while it was to be started")
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match listen_to(sock, pidfd, Some(left)).map_err(failed("poll"))? {
                Heard::Message => break,
                Heard::End => return Err(died()),
                Heard::Silence if left.is_zero() => {
                    return Err(self.silent("the container's init process does not answer"));
                }
                Heard::Silence => {}
            }
        }
        let message = receive_now(sock).map_err(failed("recvmsg"))?;
        let true_sender = message.sender == Some(record.init.pid);
        let file = message.descriptor().ok_or_else(died)?;
        let page = record.page.filter(|_| true_sender).map(|page| Memory::adopt(file, page)).transpose()?;
        page.flatten().ok_or_else(|| {
            let what = "what answers for the container's init process is not the init stub";
            Error::new(ErrorKind::Corrupt, Phase::Lifecycle, what).on(self.id.as_str())
        })
    }

    /// That the waiting process does nothing.
    fn silent(&self, what: &'static str) -> Error {
        Error::new(ErrorKind::TimedOut, Phase::Lifecycle, what)
            .on(self.id.as_str())
            .with_hint("is it stopped, or does its cgroup have hardly any processor time?")
    }

    /// The plan that the container was made from, for its words: compiled once more.
    pub(super) fn plan(&self, record: &Record) -> Result<Plan> {
        let config = self.directory.read_config()?;
        let bundle = Bundle {
            path: record.bundle.clone(),
            spec: Spec::from_json(&config)?,
            config,
            rootfs: record.rootfs.clone(),
            warnings: Vec::new(),
        };
        let options = Options { id: self.id.clone(), wait_for_start: true, ..record.options.clone() };
        compile(&bundle, &Host::detect_for(&bundle, &options)?, &options)
    }

    /// The `startContainer` hooks. Their programs come from the image, and get what the container's program gets.
    pub(super) fn start_container_hooks(
        &self,
        record: &Record,
        spec: &Spec,
        init: BorrowedFd<'_>,
        policy: &Policy,
        lock: &Lock,
    ) -> Result<()> {
        let mut state = self.describe(record.clone(), Status::Created);
        state.pid = pid_inside(record.init.pid)?;
        let process = spec.process.clone().unwrap_or_default();
        let start = |hook: &Hook, stdio: [OwnedFd; 3]| {
            let of = HookOf { container: self, record, init, lock };
            let started = start_hook(of, policy.clone(), &process, hook, stdio)?;
            Ok(Started { pid: started.pid, pidfd: started.pidfd })
        };
        let place = Launcher { kernel: kernel_version()?, place: Place::Program(&start), lock };
        let hooks = Kind::StartContainer.of(spec.hooks.as_ref());
        hooks::run(Kind::StartContainer, hooks, &state, &place)
    }

    /// A failing hook stops the container.
    pub(super) fn poststart_hooks(
        &self,
        record: &Record,
        spec: &Spec,
        pidfd: &OwnedFd,
        lock: &Lock,
    ) -> Result<()> {
        let state = self.describe(record.clone(), Status::Running);
        let place = Launcher { kernel: kernel_version()?, place: Place::Host(&record.bundle), lock };
        let hooks = Kind::Poststart.of(spec.hooks.as_ref());
        hooks::run(Kind::Poststart, hooks, &state, &place).inspect_err(|_| self.stop(pidfd))
    }

    /// Ends a container whose hook has failed. If that fails too, the hook's error is still the one to be told.
    fn stop(&self, pidfd: &OwnedFd) {
        let failed = |what: &'static str| move |e| Error::sys(Phase::Lifecycle, what, e).on(self.id.as_str());
        let killed = match sys::process::pidfd_send_signal(pidfd, libc::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {
                sys::process::poll_in(pidfd, 10_000).map_err(failed("wait for container"))
            }
            Err(e) => Err(failed("kill container")(e)),
        };
        if let Err(e) = killed {
            self.runtime.warn(&e);
        }
    }
}

/// The way of a process from its answer to its execve(2).
struct Way {
    pid: i32,
    begun: Instant,
    /// Since when it has been seen stopped.
    stopped: Option<Instant>,
}

impl Way {
    fn begin(pid: i32) -> Self {
        Self { pid, begun: Instant::now(), stopped: None }
    }

    /// Whether it may still be waited for.
    fn goes_on(&mut self) -> bool {
        let stopped = liveness::stat(self.pid).is_ok_and(|stat| stat.is_some_and(|stat| stat.is_stopped()));
        let since = *self.stopped.get_or_insert_with(Instant::now);
        if !stopped {
            self.stopped = None;
        }
        self.begun.elapsed() < EXECUTION && !(stopped && since.elapsed() >= PATIENCE)
    }
}

/// The texts that scripts know.
fn cannot(status: Status) -> Error {
    let text = match status {
        Status::Stopped => "cannot start a container that has stopped".to_owned(),
        Status::Running => "cannot start an already running container".to_owned(),
        other => format!("cannot start a container in the {other} state"),
    };
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
}
