//! Starting the program of a created container.

use super::container::Container;
use super::lifecycle_hooks;
use super::lifecycle_hooks::kill_and_wait;
use super::process::stat;
use super::recompiled_plan;
use super::seccomp_agent::SeccompAgent;
use super::state::Status;
use super::status;
use super::store::{Stage, StateRecord, config, sockets};
use crate::init::launch::{ControlPage, StubState};
use crate::plan::Policy;
use crate::sys::unix::{SocketEvent, receive_now, wait_for_message};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long to wait for the waiting process to answer, and how long it may be stopped before its execve(2).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long its execve(2) may take after its answer: the file system with the program may be slow.
const EXECVE_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval for checking whether the process is stopped.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Lets the program of a created container run; returns once its execve(2) has happened, and the poststart hooks have
/// run.
pub(super) fn start(container: &Container) -> Result<()> {
    let directory = &container.directory;
    let lock = directory.lock()?;
    let Some(mut record) = directory.read()? else { return Err(cannot(Status::Creating)) };
    let Some((pidfd, state)) = record.open_init_if_alive()? else { return Err(cannot(Status::Stopped)) };
    match status::of_alive_in_state(&record, state)? {
        Status::Created => {}
        other => return Err(cannot(other)),
    }
    let needed = record.start_container || record.poststart || record.notifies;
    let spec = if needed { Some(config::read_spec(directory)?) } else { None };
    // If the agent cannot be reached, the container can still be started later.
    let agent = match spec.as_ref().filter(|_| record.notifies) {
        Some(spec) => SeccompAgent::connect(spec)?,
        None => None,
    };
    if let Some(spec) = spec.as_ref().filter(|_| record.start_container) {
        let stored = config::read_with_record(directory)?
            .and_then(|(_, journal)| journal.policy().and_then(Policy::decode));
        let policy = stored.unwrap_or_else(|| Policy::of(spec, None));
        let init = pidfd.as_fd();
        let done = lifecycle_hooks::start_container(container, &record, spec, init, &policy, &lock);
        // A hook that fails stops the container.
        done.inspect_err(|_| kill_and_wait(container, &pidfd))?;
    }
    let started = release(container, &record, agent, &pidfd)?;
    record.stage = Stage::Started;
    directory.write(&record)?;
    if !started {
        // Another `start` was interrupted after it had let the program run.
        return Err(cannot(Status::Running));
    }
    match spec.filter(|_| record.poststart) {
        Some(spec) => lifecycle_hooks::poststart(container, &record, &spec, &pidfd, &lock),
        None => Ok(()),
    }
}

/// Connects to the waiting init process, and waits until it has executed the program; `false` if it was not waiting any
/// more.
fn release(
    container: &Container,
    record: &StateRecord,
    mut agent: Option<SeccompAgent>,
    pidfd: &OwnedFd,
) -> Result<bool> {
    let id = container.id.as_str();
    let Some(sock) = sockets::connect_to_start(&container.directory, id)? else { return Ok(false) };
    let memory = receive_memory(id, &sock, record, pidfd)?;
    let mut deadline = ExecveDeadline::begin(record.init.pid);
    loop {
        match wait_for_message(&sock, pidfd, Some(CHECK_INTERVAL)).map_err(socket_error("poll", id))? {
            SocketEvent::Readable => {}
            SocketEvent::ProcessExited => break,
            SocketEvent::TimedOut if !deadline.has_passed() => continue,
            SocketEvent::TimedOut => {
                return Err(timed_out("the container's init process does not go on", id));
            }
        }
        match receive_now(&sock) {
            Ok(message) if message.length == 0 => break,
            Err(Errno::ECONNRESET) => break,
            Ok(message) => {
                let (Some(listener), Some(agent)) = (message.descriptor(), agent.take()) else {
                    continue;
                };
                let state = status::describe(id, record.clone(), Status::Created);
                agent
                    .send(&listener, record.init.pid, &state)
                    .inspect_err(|_| kill_and_wait(container, pidfd))?;
            }
            Err(Errno::EAGAIN) => {}
            Err(e) => return Err(socket_error("recvmsg", id)(e)),
        }
    }
    match memory.state()? {
        StubState::Executed if record.kills_program => {
            Err(recompiled_plan::compile(container, record)?.killed_by_filter())
        }
        StubState::Executed => Ok(true),
        StubState::Failed(f) => {
            Err(recompiled_plan::compile(container, record)?.failure(f.step, f.call, f.errno))
        }
        StubState::Created | StubState::Died(_) => {
            Err(status::not_running().with_detail("its init process was killed while it was started"))
        }
    }
}

/// Receives the memory with the control page, which the waiting process sends as soon as `start` has connected. It is
/// accepted only from the recorded process, and only if it is the recorded file.
fn receive_memory(id: &str, sock: &OwnedFd, record: &StateRecord, pidfd: &OwnedFd) -> Result<ControlPage> {
    let died = || status::not_running().with_detail("its init process died while it was to be started");
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match wait_for_message(sock, pidfd, Some(left)).map_err(socket_error("poll", id))? {
            SocketEvent::Readable => break,
            SocketEvent::ProcessExited => return Err(died()),
            SocketEvent::TimedOut if left.is_zero() => {
                return Err(timed_out("the container's init process does not answer", id));
            }
            SocketEvent::TimedOut => {}
        }
    }
    let message = receive_now(sock).map_err(socket_error("recvmsg", id))?;
    let is_from_init = message.sender == Some(record.init.pid);
    let file = message.descriptor().ok_or_else(died)?;
    let memory =
        record.page.filter(|_| is_from_init).map(|page| ControlPage::adopt(file, page)).transpose()?;
    memory.flatten().ok_or_else(|| {
        let what = "the process that answers for the container is not the init stub";
        Error::new(ErrorKind::Corrupt, Phase::Lifecycle, what).on(id)
    })
}

fn socket_error(call: &'static str, id: &str) -> impl Fn(Errno) -> Error {
    move |e| Error::sys(Phase::Lifecycle, call, e).on(format!("start.sock of container {id}"))
}

fn timed_out(what: &'static str, id: &str) -> Error {
    Error::new(ErrorKind::TimedOut, Phase::Lifecycle, what)
        .on(id)
        .with_hint("it may be stopped, or its cgroup may have too little processor time")
}

/// How long to wait for a process between its answer and its execve(2).
struct ExecveDeadline {
    pid: i32,
    begun: Instant,
    /// Since when the process has been seen stopped.
    stopped: Option<Instant>,
}

impl ExecveDeadline {
    fn begin(pid: i32) -> Self {
        Self { pid, begun: Instant::now(), stopped: None }
    }

    fn has_passed(&mut self) -> bool {
        let stopped = stat::is_stopped(self.pid);
        let since = *self.stopped.get_or_insert_with(Instant::now);
        if !stopped {
            self.stopped = None;
        }
        self.begun.elapsed() >= EXECVE_TIMEOUT || (stopped && since.elapsed() >= ANSWER_TIMEOUT)
    }
}

/// Scripts match on these texts.
fn cannot(status: Status) -> Error {
    let text = match status {
        Status::Stopped => "cannot start a container that has stopped".to_owned(),
        Status::Running => "cannot start an already running container".to_owned(),
        other => format!("cannot start a container in the {other} state"),
    };
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
}
