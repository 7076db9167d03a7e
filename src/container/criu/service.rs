//! criu as a child process, and the requests to it.

use super::error::unsupported;
use super::log;
use super::message::{self, CheckedFeatures, CriuOptions, CriuResponse, CriuVersion, RequestType};
use super::options::Criu;
use crate::cgroup::{Join, Superblock};
use crate::container::options::require_absolute;
use crate::container::runtime::Runtime;
use crate::container::store::lock::OperationLock;
use crate::init::launch::{Launch, LaunchOutcome, Stub, WithoutTurns, lost, open_presets, serve};
use crate::init::presets::{DescriptorSources, StandardStreams};
use crate::plan::{Plan, Service as Program, compile_service};
use crate::sys;
use crate::sys::process::Exit;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// The first version of criu that supports everything that is needed: external pid namespaces, `status-ready`.
const MIN_VERSION: CriuVersion = 31500;
/// How long to wait until criu exits after its last request.
const EXIT_TIMEOUT_MS: i32 = 10_000;
/// The size of the receive buffer, which is larger than any message of criu.
const BUFFER_SIZE: usize = 64 << 10;

/// How criu is started.
pub(super) struct CriuSetup<'a> {
    /// Receives the warnings.
    pub(super) runtime: &'a Runtime,
    /// The lock of the operation.
    pub(super) lock: &'a OperationLock,
    /// The program.
    pub(super) criu: &'a Criu,
    /// Its standard descriptors.
    pub(super) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Descriptors that it inherits with the same numbers.
    pub(super) keep: &'a [BorrowedFd<'a>],
    /// The cgroup that it joins by writing to files.
    pub(super) join: Option<&'a Join>,
    /// It gets a new session, unless the container is a job of its terminal.
    pub(super) session: bool,
    /// A detached mount tree, and the path where it is attached in criu's own mount namespace.
    pub(super) root: Option<(BorrowedFd<'a>, &'a str)>,
}

/// A notification from criu.
pub(super) struct Notification<'a> {
    /// criu's name for the event.
    pub(super) script: &'a str,
    /// The pid, if the event concerns a process.
    pub(super) pid: i32,
    /// The descriptor that came with it.
    pub(super) fd: Option<OwnedFd>,
}

/// A criu process that waits for requests. When this value is dropped, the process is killed and reaped.
pub(super) struct CriuService {
    socket: Option<OwnedFd>,
    stub: Stub,
    /// It leads a process group, by which the children that it leaves are found.
    session: bool,
    reaped: bool,
    /// The options of cgroup2, which criu resets by mounting it without options.
    cgroups: Superblock,
    runtime: Runtime,
}

impl CriuService {
    /// Starts criu.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if criu cannot be executed.
    pub(super) fn start(setup: &CriuSetup<'_>, kernel: (u32, u32)) -> Result<Self> {
        let program = setup.criu.program.as_path();
        require_absolute(program, "criu")?;
        let Some(name) = program.to_str() else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                Phase::Lifecycle,
                "the path of criu is not UTF-8",
            ));
        };
        let (ours, theirs) =
            sys::channel::packets().map_err(|e| Error::sys(Phase::Lifecycle, "socketpair", e))?;
        let args = ["criu".to_owned(), "swrk".to_owned(), theirs.as_raw_fd().to_string()];
        let env: Vec<String> = setup.criu.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let plan = compile_service(
            &Program {
                program: name,
                args: &args,
                env: &env,
                cgroup_files: setup.join.map_or(0, |join| join.files().len()),
                root: setup.root.map(|(_, path)| path),
                session: setup.session,
                keep: 1 + setup.keep.len(),
            },
            kernel,
        )?;
        let mut given: Vec<BorrowedFd<'_>> = setup.root.iter().map(|(tree, _)| *tree).collect();
        given.push(theirs.as_fd());
        given.extend(setup.keep);
        let presets =
            open_presets(&plan, DescriptorSources { given: &given, ..DescriptorSources::default() })?;
        let cgroups = Superblock::save()?;
        let standard = StandardStreams::Given(setup.stdio);
        let launch =
            Launch { plan: &plan, presets: &presets, join: setup.join, standard: &standard, fault: None };
        let stub = setup.lock.launch(launch)?;
        drop(presets);
        drop(given);
        drop(theirs);
        let mut service = Self {
            socket: Some(ours),
            stub,
            session: setup.session,
            reaped: false,
            cgroups,
            runtime: setup.runtime.clone(),
        };
        service.wait_for_execve(&plan, setup)?;
        Ok(service)
    }

    /// Waits until the stub has executed criu.
    fn wait_for_execve(&mut self, plan: &Plan, setup: &CriuSetup<'_>) -> Result<()> {
        let sources = DescriptorSources { recorder: Some(setup.lock), ..DescriptorSources::default() };
        match serve(&mut WithoutTurns { stub: &mut self.stub, plan, sources }) {
            Ok(LaunchOutcome::Executed) => Ok(()),
            Ok(LaunchOutcome::Created | LaunchOutcome::Done) => Err(lost()),
            Err(stopped) => match stopped.error.errno() {
                Some(errno @ (Errno::ENOENT | Errno::EACCES)) if stopped.error.phase() == Phase::Exec => {
                    Err(cannot_execute(setup.criu, errno))
                }
                _ => Err(stopped.error),
            },
        }
    }

    /// Its pid.
    pub(super) fn pid(&self) -> i32 {
        self.stub.pid
    }

    /// Requests the version.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if it is too old.
    pub(super) fn version(&mut self) -> Result<CriuVersion> {
        let answer = self.ask(&message::version_request(), RequestType::Version)?;
        let Some(version) = answer.version.filter(|_| answer.success) else {
            return Err(
                unsupported("criu does not report its version").with_hint("criu 3.15 or later is needed")
            );
        };
        require_version(version, MIN_VERSION, "checkpoint and restore")?;
        Ok(version)
    }

    /// Checks which features this kernel and this criu support.
    pub(super) fn features(&mut self, asked: CheckedFeatures) -> Result<CheckedFeatures> {
        let answer = self.ask(&message::feature_request(asked), RequestType::FeatureCheck)?;
        if answer.success {
            return Ok(answer.features);
        }
        Err(failed(RequestType::FeatureCheck, &answer))
    }

    /// Sends a request and handles its notifications until it is done. If the handler fails, criu is told to give up and
    /// undoes its work, and the handler's error is returned.
    pub(super) fn run(
        &mut self,
        kind: RequestType,
        opts: &CriuOptions,
        mut handler: impl FnMut(Notification<'_>) -> Result<()>,
    ) -> Result<CriuResponse> {
        self.send(&message::request(kind, opts))?;
        let mut refused = None;
        loop {
            let (answer, fd) = match self.receive() {
                Ok(received) => received,
                Err(e) => return Err(refused.unwrap_or(e)),
            };
            if answer.kind != RequestType::Notify {
                if let Some(error) = refused {
                    return Err(error);
                }
                let success = answer.success && answer.kind == kind;
                return if success { Ok(answer) } else { Err(failed(kind, &answer)) };
            }
            let (script, pid) = answer.notify.unwrap_or_default();
            let heard = match refused {
                None => handler(Notification { script: &script, pid, fd }),
                Some(_) => Ok(()),
            };
            let success = heard.is_ok() && refused.is_none();
            refused = refused.or(heard.err());
            self.send(&message::notified(success))?;
        }
    }

    /// Closes the connection, so that criu exits, and reaps it.
    pub(super) fn finish(&mut self) -> Result<Exit> {
        self.socket = None;
        let exit = sys::process::wait(&self.stub.pidfd, true);
        self.reaped = true;
        match exit {
            Ok(Some(exit)) => Ok(exit),
            Ok(None) => Ok(Exit::Code(0)),
            Err(e) => Err(Error::sys(Phase::Lifecycle, "wait for criu", e)),
        }
    }

    fn ask(&mut self, request: &[u8], kind: RequestType) -> Result<CriuResponse> {
        self.send(request)?;
        let (answer, _) = self.receive()?;
        if answer.kind == kind { Ok(answer) } else { Err(failed(kind, &answer)) }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let socket = self.socket.as_ref().ok_or_else(exited)?;
        sys::channel::send_packet(socket, bytes).map_err(|e| match e {
            Errno::EPIPE | Errno::ECONNRESET => exited(),
            other => Error::sys(Phase::Lifecycle, "send to criu", other),
        })
    }

    fn receive(&self) -> Result<(CriuResponse, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().ok_or_else(exited)?;
        let mut buffer = vec![0; BUFFER_SIZE];
        let (n, fd) = match sys::unix::receive_packet(socket, &mut buffer) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(exited()),
            Ok(received) => received,
            Err(e) => return Err(Error::sys(Phase::Lifecycle, "receive from criu", e)),
        };
        let response = CriuResponse::read(&buffer[..n]).map_err(|_| {
            Error::new(ErrorKind::System, Phase::Lifecycle, "criu's answer is not understood")
        })?;
        Ok((response, fd))
    }
}

impl CriuService {
    /// Kills criu and its process group, and reaps them.
    ///
    /// Processes that criu restores are our children and not its own: if it fails, it kills them, and we have to reap them.
    /// All of them are in criu's process group, whose id is not reused as long as the group has a member.
    fn kill(&mut self) {
        if self.reaped {
            return;
        }
        self.socket = None;
        if !self.session {
            return self.stub.destroy();
        }
        let _ = sys::process::poll_in(&self.stub.pidfd, EXIT_TIMEOUT_MS);
        let group = Pid::from_raw(self.stub.pid);
        let _ = killpg(group, Signal::SIGKILL);
        let deadline = Instant::now() + Duration::from_millis(EXIT_TIMEOUT_MS.unsigned_abs().into());
        while Instant::now() < deadline {
            match waitid(Id::PGid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

impl Drop for CriuService {
    fn drop(&mut self) {
        self.kill();
        if let Err(error) = self.cgroups.restore() {
            self.runtime.warn(&error);
        }
    }
}

/// Checks that criu is new enough for something.
pub(super) fn require_version(version: CriuVersion, oldest: CriuVersion, what: &str) -> Result<()> {
    if version >= oldest {
        return Ok(());
    }
    let text = |v: CriuVersion| format!("{}.{}.{}", v / 10_000, v / 100 % 100, v % 100);
    Err(unsupported(format!(
        "criu {} is too old: {what} needs criu {} or later",
        text(version),
        text(oldest)
    )))
}

fn cannot_execute(criu: &Criu, errno: Errno) -> Error {
    unsupported("checkpoint and restore need criu, which cannot be executed")
        .on(criu.program.display().to_string())
        .with_errno(errno)
}

/// The error in criu's response.
fn failed(kind: RequestType, answer: &CriuResponse) -> Error {
    let error = Error::new(ErrorKind::System, Phase::Lifecycle, format!("criu failed: {}", kind.name()));
    let detail = answer.message.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let error = match detail {
        Some(detail) => error.with_detail(detail),
        None => error,
    };
    match answer.errno {
        Some(errno) if Errno::from_raw(errno) != Errno::UnknownErrno => {
            error.with_errno(Errno::from_raw(errno))
        }
        _ => error,
    }
}

/// criu has exited without a response.
fn exited() -> Error {
    Error::new(ErrorKind::System, Phase::Lifecycle, "criu has ended without an answer")
}

/// Adds criu's own error messages: the last errors of its log, or else its output.
pub(super) fn explain(
    error: Error,
    directory: impl AsFd,
    path: &std::path::Path,
    output: Option<&OwnedFd>,
) -> Error {
    let name = path.file_name().and_then(|name| sys::fs::cstring(std::path::Path::new(name)).ok());
    let said = name.and_then(|name| log::last_errors_in(directory, &name));
    match said {
        Some(said) => error.with_detail(said).with_hint(format!("criu's log is {}", path.display())),
        None => match output.and_then(log::last_lines) {
            Some(printed) => error.with_detail(printed),
            None => error,
        },
    }
}
