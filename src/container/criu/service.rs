//! criu as a child, and the conversation with it.

use super::super::Runtime;
use super::super::lock::Lock;
use super::message::{self, Features, Kind, Opts, Response, Version};
use super::options::Criu;
use super::{log, unsupported};
use crate::cgroup::{Join, Superblock};
use crate::init::launch::{Alone, End, Launch, Stub, lost, serve};
use crate::init::presets::{Presets, Sources, Standard};
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

/// The oldest that knows all of what is asked of it: external pid namespaces, `status-ready`.
const OLDEST: Version = 31500;
/// How long a criu whose conversation is over may take to end.
const PATIENCE_MS: i32 = 10_000;
/// More than any message of criu's has.
const LONGEST: usize = 64 << 10;

/// What criu finds when it begins.
pub(super) struct Setup<'a> {
    /// Hears of what went wrong and stops nobody.
    pub(super) runtime: &'a Runtime,
    /// The lock of the operation.
    pub(super) lock: &'a Lock,
    /// The program.
    pub(super) criu: &'a Criu,
    /// Its standard descriptors.
    pub(super) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Descriptors that it keeps with their numbers.
    pub(super) keep: &'a [BorrowedFd<'a>],
    /// The cgroup that it joins by files.
    pub(super) join: Option<&'a Join>,
    /// It is in a session of its own, unless the container is a job of its terminal.
    pub(super) session: bool,
    /// A detached tree, and where it is attached in a mount namespace of criu's own.
    pub(super) root: Option<(BorrowedFd<'a>, &'a str)>,
}

/// What a notification is about.
pub(super) struct Notice<'a> {
    /// criu's name for the moment.
    pub(super) script: &'a str,
    /// The process, where there is one.
    pub(super) pid: i32,
    /// The descriptor that came with it.
    pub(super) fd: Option<OwnedFd>,
}

/// A criu that waits for requests. It does not outlive this value, nor does it stay a zombie.
pub(super) struct Service {
    socket: Option<OwnedFd>,
    stub: Stub,
    /// It leads a process group: what it has left of our children is found by that.
    session: bool,
    reaped: bool,
    /// criu mounts cgroup2 for itself, without a word of its options.
    cgroups: Superblock,
    runtime: Runtime,
}

impl Service {
    /// Starts criu, and looks at its version.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where there is no criu, or one that is too old.
    pub(super) fn start(setup: &Setup<'_>, kernel: (u32, u32)) -> Result<Self> {
        let program = setup.criu.program.as_path();
        super::super::handoff::require_absolute(program, "criu")?;
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
                kept: 1 + setup.keep.len(),
            },
            kernel,
        )?;
        let mut given: Vec<BorrowedFd<'_>> = setup.root.iter().map(|(tree, _)| *tree).collect();
        given.push(theirs.as_fd());
        given.extend(setup.keep);
        let presets = Presets::open(&plan, Sources { given: &given, ..Sources::default() })?;
        let cgroups = Superblock::remember()?;
        let standard = Standard::Given(setup.stdio);
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
        service.started(&plan, setup)?;
        Ok(service)
    }

    /// Whether the stub has become criu.
    fn started(&mut self, plan: &Plan, setup: &Setup<'_>) -> Result<()> {
        let recorder = |pid| setup.lock.helping(pid);
        match serve(&mut Alone { stub: &mut self.stub, plan, recorder: Some(&recorder) }) {
            Ok(End::Executed) => Ok(()),
            Ok(End::Created | End::Done) => Err(lost()),
            Err(stopped) => match stopped.error.errno() {
                Some(errno @ (Errno::ENOENT | Errno::EACCES)) if stopped.error.phase() == Phase::Exec => {
                    Err(not_found(setup.criu, errno))
                }
                _ => Err(stopped.error),
            },
        }
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.stub.pid
    }

    /// Asks for the version.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where it is too old.
    pub(super) fn version(&mut self) -> Result<Version> {
        let answer = self.ask(&message::version_request(), Kind::Version)?;
        let Some(version) = answer.version.filter(|_| answer.success) else {
            return Err(
                unsupported("criu does not tell its version").with_hint("criu 3.15 or later is needed")
            );
        };
        require(version, OLDEST, "checkpoint and restore")?;
        Ok(version)
    }

    /// Asks what this kernel and this criu can do.
    pub(super) fn features(&mut self, asked: Features) -> Result<Features> {
        let answer = self.ask(&message::feature_request(asked), Kind::FeatureCheck)?;
        if answer.success {
            return Ok(answer.features);
        }
        Err(failed(Kind::FeatureCheck, &answer))
    }

    /// Makes a request and serves its notifications until it is done. Where the listener fails, criu is
    /// told so, goes back, and the listener's error is the one that counts.
    pub(super) fn run(
        &mut self,
        kind: Kind,
        opts: &Opts,
        mut listener: impl FnMut(Notice<'_>) -> Result<()>,
    ) -> Result<Response> {
        self.send(&message::request(kind, opts))?;
        let mut refused = None;
        loop {
            let (answer, fd) = match self.receive() {
                Ok(received) => received,
                Err(e) => return Err(refused.unwrap_or(e)),
            };
            if answer.kind != Kind::Notify {
                if let Some(error) = refused {
                    return Err(error);
                }
                let success = answer.success && answer.kind == kind;
                return if success { Ok(answer) } else { Err(failed(kind, &answer)) };
            }
            let (script, pid) = answer.notify.unwrap_or_default();
            let heard = match refused {
                None => listener(Notice { script: &script, pid, fd }),
                Some(_) => Ok(()),
            };
            let success = heard.is_ok() && refused.is_none();
            refused = refused.or(heard.err());
            self.send(&message::notified(success))?;
        }
    }

    /// Lets criu end, and reaps it.
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

    fn ask(&mut self, request: &[u8], kind: Kind) -> Result<Response> {
        self.send(request)?;
        let (answer, _) = self.receive()?;
        if answer.kind == kind { Ok(answer) } else { Err(failed(kind, &answer)) }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        let socket = self.socket.as_ref().ok_or_else(gone)?;
        sys::channel::send_packet(socket, bytes).map_err(|e| match e {
            Errno::EPIPE | Errno::ECONNRESET => gone(),
            other => Error::sys(Phase::Lifecycle, "send to criu", other),
        })
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().ok_or_else(gone)?;
        let mut buffer = vec![0; LONGEST];
        let (n, fd) = match sys::unix::receive_packet(socket, &mut buffer) {
            Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(gone()),
            Ok(received) => received,
            Err(e) => return Err(Error::sys(Phase::Lifecycle, "receive from criu", e)),
        };
        let response = Response::read(&buffer[..n]).map_err(|_| {
            Error::new(ErrorKind::System, Phase::Lifecycle, "criu's answer is not understood")
        })?;
        Ok((response, fd))
    }
}

impl Service {
    /// What criu has begun to restore is our child and not its own: where it fails, it kills, and who
    /// reaps is we. All of that is in criu's process group, whose number is nobody else's as long as there
    /// is somebody in it.
    fn end(&mut self) {
        if self.reaped {
            return;
        }
        self.socket = None;
        if !self.session {
            return self.stub.destroy();
        }
        let _ = sys::process::poll_in(&self.stub.pidfd, PATIENCE_MS);
        let group = Pid::from_raw(self.stub.pid);
        let _ = killpg(group, Signal::SIGKILL);
        let deadline = Instant::now() + Duration::from_millis(PATIENCE_MS.unsigned_abs().into());
        while Instant::now() < deadline {
            match waitid(Id::PGid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.end();
        if let Err(error) = self.cgroups.put_back() {
            self.runtime.warn(&error);
        }
    }
}

/// That criu is new enough for something.
pub(super) fn require(version: Version, oldest: Version, what: &str) -> Result<()> {
    if version >= oldest {
        return Ok(());
    }
    let text = |v: Version| format!("{}.{}.{}", v / 10_000, v / 100 % 100, v % 100);
    Err(unsupported(format!(
        "criu {} is too old: {what} needs criu {} or later",
        text(version),
        text(oldest)
    )))
}

fn not_found(criu: &Criu, errno: Errno) -> Error {
    unsupported("checkpoint and restore need criu, which cannot be executed")
        .on(criu.program.display().to_string())
        .with_errno(errno)
}

/// What criu has answered.
fn failed(kind: Kind, answer: &Response) -> Error {
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

/// It has ended without an answer.
fn gone() -> Error {
    Error::new(ErrorKind::System, Phase::Lifecycle, "criu has ended without an answer")
}

/// The error with what criu has said about it: its log's last errors, else what it has printed.
pub(super) fn explain(
    error: Error,
    directory: impl AsFd,
    path: &std::path::Path,
    output: Option<&OwnedFd>,
) -> Error {
    let name = path.file_name().and_then(|name| sys::fs::cstring(std::path::Path::new(name)).ok());
    let said = name.and_then(|name| log::of(directory, &name));
    match said {
        Some(said) => error.with_detail(said).with_hint(format!("criu's log is {}", path.display())),
        None => match output.and_then(log::last_lines) {
            Some(printed) => error.with_detail(printed),
            None => error,
        },
    }
}
