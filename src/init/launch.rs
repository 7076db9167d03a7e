//! The host side of a launch: puts the plan into memory, spawns the stub, takes its answers.

use super::presets::{self, DescriptorSources, Presets, StandardStreams, check_preserved};
use super::program::program;
use crate::cgroup::Join;
use crate::plan::machine::{BLOB, NO_CALL, SUCCESSOR, control, state};
use crate::plan::{HostStep, Plan, Step, Turn};
use crate::sys::memfd;
use crate::sys::namespace::NamespaceFlags;
use crate::sys::process;
use crate::sys::spawn::{self, Request};
use crate::sys::unix::{self, SocketEvent};
use crate::sys::{self, channel};
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A plan to launch, with all that it begins with.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// The descriptors of its slots.
    pub(crate) presets: &'a Presets<'a>,
    /// How the stub gets into its cgroup.
    pub(crate) join: Option<&'a Join>,
    /// Its standard descriptors.
    pub(crate) standard: &'a StandardStreams<'a>,
    /// Makes a step fail, for tests.
    pub(crate) fault: Option<u16>,
}

/// A stub at work.
#[derive(Debug)]
pub(crate) struct Stub {
    /// The process, as the host counts.
    pub(crate) pid: i32,
    /// The process.
    pub(crate) pidfd: OwnedFd,
    control: OwnedFd,
    page: ControlPage,
    stage: Stage,
    /// How many batches of mounts it has got.
    batches: usize,
    /// The plan's line behind its last turn.
    line: usize,
}

/// Which process of its plan a stub is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The only one.
    Only,
    /// The first of two.
    First,
    /// The second of two.
    Second,
}

/// How often the way back from a failure tries what the kernel may have had no memory for.
const TRIES: usize = 3;

/// The file behind a launch; its first page is the control page.
#[derive(Debug)]
pub(crate) struct ControlPage {
    file: OwnedFd,
}

/// Which file in memory a launch has made: nothing else is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPageId {
    device: u64,
    inode: u64,
}

impl ControlPageId {
    fn of(file: &OwnedFd) -> Result<Self> {
        let failed = |e| Error::sys(Phase::Launch, "statx", e).on("the control page");
        let (device, inode) = sys::fs::identity(file).map_err(failed)?;
        Ok(Self { device, inode })
    }
}

/// How far a stub has come when it is the host side's turn to go on, or when it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaunchOutcome {
    /// Everything is done but what `start` asks for; it waits until the host side lets it [`resume`](Stub::resume).
    Created,
    /// It has executed the program.
    Executed,
    /// Its plan ends without a program, and so has it.
    Done,
}

/// Why a stub did not come to an end of its plan.
#[derive(Debug)]
pub(crate) struct LaunchFailure {
    /// The line at which it stopped, if it is known.
    pub(crate) line: Option<u16>,
    /// It died there: no step failed.
    pub(crate) died: bool,
    /// The error, in the words of the plan.
    pub(crate) error: Error,
}

impl From<Error> for LaunchFailure {
    fn from(error: Error) -> Self {
        Self { line: None, died: false, error }
    }
}

impl From<LaunchFailure> for Error {
    fn from(stopped: LaunchFailure) -> Self {
        stopped.error
    }
}

/// What the control page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StubState {
    /// It is done up to where `start` takes over.
    Created,
    /// It has executed the program.
    Executed,
    /// A step failed.
    Failed(FailedStep),
    /// It died at a step.
    Died(u16),
}

/// Which step failed, at which system call (none: a check), with what errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedStep {
    /// Index of the plan's line.
    pub(crate) step: u16,
    /// Number of the system call.
    pub(crate) call: Option<u32>,
    /// The kernel's answer.
    pub(crate) errno: Errno,
    /// Which of several.
    pub(crate) detail: u32,
}

impl ControlPage {
    /// The file that something has handed over; `None` if it is not the one that the launch has made.
    pub(crate) fn adopt(file: OwnedFd, page: ControlPageId) -> Result<Option<Self>> {
        Ok((ControlPageId::of(&file)? == page).then_some(Self { file }))
    }

    /// The number of the second process, which the first one tells; 0 if there is none yet.
    fn successor(&self) -> Result<i32> {
        let failed = |e| Error::sys(Phase::Launch, "read the second process's number", e).on("the init stub");
        let mut bytes = Vec::new();
        sys::fs::append_from(&self.file, SUCCESSOR as u64, 4, &mut bytes).map_err(failed)?;
        bytes.try_into().map(i32::from_ne_bytes).map_err(|_| failed(Errno::EIO))
    }

    /// The control page's words, as they are now. A few bytes of a file in memory are read faster than a page is mapped.
    fn words(&self) -> Result<[u32; control::WORDS]> {
        let failed = |e| Error::sys(Phase::Launch, "read the control page", e).on("the init stub");
        let (mut bytes, mut words) = (Vec::new(), [0; control::WORDS]);
        sys::fs::append_from(&self.file, 0, 4 * control::WORDS, &mut bytes).map_err(failed)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(words)
    }

    /// What the control page says once the stub has closed its end.
    pub(crate) fn state(&self) -> Result<StubState> {
        let words = self.words()?;
        let word = |offset: usize| words[offset / 4];
        Ok(match word(control::STATE) {
            state::CREATED => StubState::Created,
            state::EXECUTING => StubState::Executed,
            state::FAILED => StubState::Failed(FailedStep {
                step: word(control::STEP) as u16,
                call: Some(word(control::CALL)).filter(|call| *call != NO_CALL),
                errno: Errno::from_raw(word(control::ERRNO) as i32),
                detail: word(control::DETAIL),
            }),
            _ => StubState::Died(word(control::STEP) as u16),
        })
    }
}

impl Launch<'_> {
    /// Spawns the stub. In a plan of two stages it is the first one, until its second one has taken a turn, or
    /// the caller calls [`follow_hand_over`](Stub::follow_hand_over).
    pub(crate) fn spawn(self) -> Result<Stub> {
        let error = |call: &'static str, errno| Error::sys(Phase::Launch, call, errno);
        let preserve = self.plan.preserve_fds;
        check_preserved(preserve)?;
        let mut blob = self.plan.encode()?;
        let (ours, theirs) = channel::pair().map_err(|e| error("socketpair", e))?;
        if self.plan.sends_context() {
            unix::ask_for_senders(&ours).map_err(|e| error("setsockopt", e))?;
        }
        let file = memfd::data(c"orlop-plan").map_err(|e| error("memfd_create", e))?;
        let mut lifted = Lifted::above(preserve);
        lifted.lift(theirs.as_fd())?;
        lifted.lift(file.as_fd())?;
        let slots = self.presets.descriptors(self.join);
        for fd in slots.iter().flatten() {
            lifted.lift(*fd)?;
        }
        let keep = lifted.descriptors();
        let number = |fd: Option<&BorrowedFd<'_>>| fd.map_or(-1, AsRawFd::as_raw_fd);
        let mut kept = keep.iter();
        let (control, memory) = (number(kept.next()), number(kept.next()));
        let slots: Vec<RawFd> =
            slots.iter().map(|slot| slot.and_then(|_| kept.next()).map_or(-1, AsRawFd::as_raw_fd)).collect();
        blob.set_presets(control, memory, &slots)?;
        if let Some(step) = self.fault {
            blob.set_fault(step);
        }
        debug_assert!(crate::plan::Listing::decode(blob.as_ref()).is_ok(), "a plan that cannot be read back");
        channel::fill(&file, BLOB, blob.as_ref()).map_err(|e| error("write the plan", e))?;
        let number = |n: usize| CString::new(n.to_string()).unwrap_or_default();
        let (fd, length) = (number(memory as usize), number(blob.as_ref().len()));
        let namespaces = self.plan.spawn_flags;
        let program = program()?;
        let spawned = spawn::spawn(&Request {
            namespaces: NamespaceFlags::new(namespaces).map_err(|e| error("clone3", e))?,
            cgroup: self.join.and_then(Join::directory),
            program: program.as_fd(),
            args: &[c"orlop-init", &fd, &length],
            stdio: self.standard.descriptors(),
            keep: &keep,
            preserve,
        })
        .map_err(|failure| spawn_error(failure, namespaces))?;
        drop(theirs);
        let stage = if self.plan.two_stages { Stage::First } else { Stage::Only };
        let page = ControlPage { file };
        Ok(Stub { pid: spawned.pid, pidfd: spawned.pidfd, control: ours, page, stage, batches: 0, line: 0 })
    }
}

/// Descriptors whose numbers are out of the range which the program keeps: none of the library's own is ever
/// among them.
struct Lifted<'a> {
    floor: RawFd,
    all: Vec<Lift<'a>>,
}

/// A descriptor, or its copy above the range.
enum Lift<'a> {
    Itself(BorrowedFd<'a>),
    Copy(OwnedFd),
}

impl AsFd for Lift<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Itself(fd) => *fd,
            Self::Copy(fd) => fd.as_fd(),
        }
    }
}

impl<'a> Lifted<'a> {
    fn above(preserve: u32) -> Self {
        Self { floor: RawFd::try_from(preserve.saturating_add(3)).unwrap_or(RawFd::MAX), all: Vec::new() }
    }

    fn lift(&mut self, fd: BorrowedFd<'a>) -> Result<()> {
        let failed = |e| Error::sys(Phase::Launch, "duplicate a descriptor above the preserved ones", e);
        self.all.push(if fd.as_raw_fd() >= self.floor {
            Lift::Itself(fd)
        } else {
            Lift::Copy(spawn::duplicate_above(fd, self.floor).map_err(failed)?)
        });
        Ok(())
    }

    /// The descriptors by whose numbers the stub knows them, in the order in which they were lifted.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.all.iter().map(AsFd::as_fd).collect()
    }
}

/// Whether a stub that was to be born in a cgroup's directory may still be started, and join by files: the kernel
/// makes no process in a cgroup that is threaded, has controllers for its children, has as many processes as it
/// may, or was killed once.
pub(crate) fn may_join_by_file(error: &Error, join: Option<&Join>) -> bool {
    let refused = matches!(
        error.errno(),
        Some(
            Errno::EAGAIN
                | Errno::EBUSY
                | Errno::ECANCELED
                | Errno::EOPNOTSUPP
                | Errno::EACCES
                | Errno::ENODEV
        )
    );
    refused && error.operation() == "clone3" && join.is_some_and(|join| join.directory().is_some())
}

fn spawn_error(failure: spawn::Failure, namespaces: u64) -> Error {
    let error = Error::sys(Phase::Launch, failure.call, failure.errno);
    match failure.errno {
        Errno::ECANCELED if failure.call == "clone3" => error.with_detail("killed before it ran").with_hint(
            "the caller's own cgroup was killed once, and then the kernel lets no child be born in another: \
             join it by its files",
        ),
        Errno::EPERM if failure.call == "clone3" && namespaces & libc::CLONE_NEWUSER as u64 == 0 => error
            .with_hint(
                "new namespaces need root, or a user namespace of their own (/linux/namespaces, type user)",
            ),
        Errno::EPERM | Errno::EUSERS | Errno::ENOSPC if failure.call == "clone3" => error.with_hint(
            "user namespaces may be switched off or used up: see /proc/sys/user/max_*_namespaces and \
             kernel.unprivileged_userns_clone",
        ),
        _ => error,
    }
}

impl Stub {
    /// Goes on with the process which the spawned one clones, if there are two and that one is not known yet.
    pub(crate) fn follow_hand_over(&mut self) -> Result<()> {
        if self.stage != Stage::First {
            return Ok(());
        }
        let failed = |call: &'static str| move |e| Error::sys(Phase::Launch, call, e).on("the init process");
        match process::wait(&self.pidfd, true) {
            // It has been waited for before.
            Ok(_) | Err(Errno::ECHILD) => {}
            Err(e) => return Err(failed("waitid")(e)),
        }
        let pid = self.page.successor()?;
        if pid == 0 {
            // It failed before: `serve` says at which step.
            self.stage = Stage::Only;
            return Ok(());
        }
        let pidfd = process::pidfd_open(pid).map_err(failed("pidfd_open"))?;
        // The number is the first one's word, which nothing else can change. It means a child of ours that was not waited
        // for yet.
        process::is_child(&pidfd).map_err(failed("waitid"))?;
        (self.pid, self.pidfd, self.stage) = (pid, pidfd, Stage::Second);
        Ok(())
    }

    /// Whether it is the second of two processes.
    pub(crate) fn is_second(&self) -> bool {
        self.stage == Stage::Second
    }

    /// The file with the control page.
    pub(crate) fn page(&self) -> Result<ControlPageId> {
        ControlPageId::of(&self.page.file)
    }

    /// Waits until it is the host side's turn, the second process of two has come up, or the stub's plan has come to
    /// an end. That is also so if the stub has ended while something else holds its end of the socket.
    fn next(&mut self, plan: &Plan) -> Result<StubEvent, LaunchFailure> {
        let failed = |errno| Error::sys(Phase::Launch, "wait for the init stub", errno);
        let heard = unix::wait_for_message(&self.control, &self.pidfd, None).map_err(failed)?;
        // The second one may be stopped before it says anything: the host side knows it as soon as it is there.
        if self.stage == Stage::First && self.page.successor()? != 0 {
            self.follow_hand_over()?;
            return Ok(StubEvent::Born);
        }
        if heard != SocketEvent::Readable {
            return self.verdict(plan).map(StubEvent::End);
        }
        let mut byte = [0; 1];
        let descriptor = match unix::receive_from(&self.control, &mut byte) {
            Ok((0, ..)) | Err(Errno::ECONNRESET) => return self.verdict(plan).map(StubEvent::End),
            // A process of the container has got hold of the socket.
            Ok((_, _, Some(sender))) if sender != self.pid => return Err(lost().into()),
            Ok((_, descriptor, _)) => descriptor,
            Err(errno) => return Err(Error::sys(Phase::Launch, "read from the init stub", errno).into()),
        };
        match Turn::from_code(byte[0]).filter(|turn| self.is_next(plan, *turn)) {
            Some(Turn::Created) => Ok(StubEvent::End(LaunchOutcome::Created)),
            Some(turn) => Ok(StubEvent::Turn(turn, descriptor)),
            None => Err(lost().into()),
        }
    }

    /// Whether it is this turn of the plan's that comes now. A stub that is seen in a container may be made to say
    /// anything: no turn comes twice, or before its time.
    fn is_next(&mut self, plan: &Plan, turn: Turn) -> bool {
        let mut rest = plan.lines().iter().enumerate().skip(self.line);
        let next = rest.find_map(|(at, line)| Some((at, line.turn()?)));
        next.filter(|(_, expected)| *expected == turn).map(|(at, _)| self.line = at + 1).is_some()
    }

    /// Why the stub has failed, if it has: the reason of whatever has failed on the host side since.
    pub(crate) fn failure(&self, plan: &Plan) -> Option<Error> {
        match self.page.state() {
            Ok(StubState::Failed(f)) => Some(plan.failure(f.step, f.call, f.errno)),
            Ok(StubState::Created | StubState::Executed | StubState::Died(_)) | Err(_) => None,
        }
    }

    /// What has become of a stub that has closed its end.
    fn verdict(&self, plan: &Plan) -> Result<LaunchOutcome, LaunchFailure> {
        match self.page.state()? {
            StubState::Executed => Ok(LaunchOutcome::Executed),
            StubState::Created => Ok(LaunchOutcome::Done),
            StubState::Failed(f) => {
                let error = plan.failure(f.step, f.call, f.errno);
                Err(LaunchFailure { line: Some(f.step), died: false, error })
            }
            StubState::Died(step) => {
                Err(LaunchFailure { line: Some(step), died: true, error: plan.death(step) })
            }
        }
    }

    /// The line at which a stub that has ended has stopped; the one after the last if its plan has come to an end.
    fn line(&self, plan: &Plan) -> Option<u16> {
        match (0..TRIES).find_map(|_| self.page.state().ok())? {
            StubState::Failed(f) => Some(f.step),
            StubState::Died(step) => Some(step),
            StubState::Created | StubState::Executed => u16::try_from(plan.lines().len()).ok(),
        }
    }

    /// Gives it the scheduler of its plan, for which it has no capability itself. It is a child that was not waited
    /// for, so the number is its own.
    fn schedule(&self, plan: &Plan) -> Result<()> {
        let lines = plan.lines().iter();
        let mut attrs = lines.filter_map(|line| match &line.step {
            Step::Host(HostStep::SetScheduler { attr }) => Some((line, attr)),
            _ => None,
        });
        let (line, attr) = attrs.next().ok_or_else(lost)?;
        process::set_scheduler(self.pid, attr).map_err(|e| {
            let error = Error::sys(Phase::Process, "sched_setattr", e);
            line.pointer().into_iter().fold(error, Error::with_pointer)
        })
    }

    /// Lets it go on after its turn.
    pub(crate) fn resume(&self) -> Result<()> {
        channel::send(&self.control)
            .map_err(|errno| Error::sys(Phase::Launch, "write to the init stub", errno))
    }

    /// The process that is to be ended; for the way back from a failure. A first one of two has ended then, and
    /// clones nothing any more.
    pub(crate) fn into_pidfd(mut self) -> OwnedFd {
        self.kill_first_stage();
        self.pidfd
    }

    fn kill_first_stage(&mut self) {
        if self.stage == Stage::First {
            let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
            // The second one must not be left over for want of memory or of a descriptor at this moment.
            let _ = (0..TRIES).any(|_| self.follow_hand_over().is_ok());
        }
    }

    /// Ends it and takes its status; for the way back from a failure.
    pub(crate) fn destroy(&mut self) {
        self.kill_first_stage();
        let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let _ = (0..TRIES).any(|_| matches!(process::wait(&self.pidfd, true), Ok(_) | Err(Errno::ECHILD)));
    }
}

/// What a stub says.
enum StubEvent {
    Turn(Turn, Option<OwnedFd>),
    /// It is the second one of two from now on.
    Born,
    End(LaunchOutcome),
}

/// The host side of a plan.
pub(crate) trait HostSide {
    /// The stub, and its plan.
    fn launched(&mut self) -> Result<(&mut Stub, &Plan)>;

    /// Does the host side's part of a turn. What came with it is the descriptor that the stub has sent.
    ///
    /// # Errors
    /// Of the part; then the stub goes no further.
    fn take(&mut self, turn: Turn, descriptor: Option<OwnedFd>) -> Result<()>;

    /// The stub is the second process of two from now on. Another process that sees it may stop it: what is to be able to
    /// end it must know it now.
    ///
    /// # Errors
    /// Of that; then the stub goes no further.
    fn handed_over(&mut self) -> Result<()>;
}

/// Serves a stub's turns until its plan comes to an end.
pub(crate) fn serve(host: &mut impl HostSide) -> Result<LaunchOutcome, LaunchFailure> {
    loop {
        let (stub, plan) = host.launched()?;
        match stub.next(plan)? {
            StubEvent::End(end) => return Ok(end),
            StubEvent::Born => host.handed_over()?,
            // The stub does not wait for an answer.
            StubEvent::Turn(turn @ (Turn::Listener | Turn::Made), descriptor) => {
                host.take(turn, descriptor)?
            }
            StubEvent::Turn(Turn::Mounts, _) => {
                let mounts = presets::open_batch(plan, stub.batches)?;
                stub.batches += 1;
                let failed = |e| Error::sys(Phase::Launch, "send mounts to the init stub", e);
                unix::send_descriptors(&stub.control, &mounts).map_err(failed)?;
            }
            StubEvent::Turn(Turn::Scheduler, _) => {
                stub.schedule(plan)?;
                stub.resume()?;
            }
            StubEvent::Turn(turn, descriptor) => {
                host.take(turn, descriptor)?;
                host.launched()?.0.resume()?;
            }
        }
    }
}

/// Records a process that acts for an operation, so that the operation can be ended.
pub(crate) type Recorder<'a> = dyn Fn(i32) -> Result<()> + 'a;

/// A plan without a turn of the host side's.
pub(crate) struct WithoutTurns<'a> {
    /// The stub.
    pub(crate) stub: &'a mut Stub,
    /// Its plan.
    pub(crate) plan: &'a Plan,
    /// Records the second process of two.
    pub(crate) recorder: Option<&'a Recorder<'a>>,
}

impl HostSide for WithoutTurns<'_> {
    fn launched(&mut self) -> Result<(&mut Stub, &Plan)> {
        Ok((self.stub, self.plan))
    }

    fn take(&mut self, _: Turn, _: Option<OwnedFd>) -> Result<()> {
        Err(lost())
    }

    fn handed_over(&mut self) -> Result<()> {
        self.recorder.map_or(Ok(()), |record| record(self.stub.pid))
    }
}

/// Launches a plan that ends by itself, without a turn of the host side's but mounts, and waits for its end. `spawn` is
/// [`Launch::spawn`], or does it and more.
pub(crate) fn run(
    plan: &Plan,
    sources: DescriptorSources<'_>,
    fault: Option<u16>,
    spawn: impl FnOnce(Launch<'_>) -> Result<Stub>,
) -> Result<(), LaunchFailure> {
    let recorder = sources.recorder;
    let presets = Presets::open(plan, sources)?;
    let standard = StandardStreams::null()?;
    let mut stub = spawn(Launch { plan, presets: &presets, join: None, standard: &standard, fault })?;
    let end = serve(&mut WithoutTurns { stub: &mut stub, plan, recorder });
    // It has ended, or is about to.
    stub.destroy();
    // How far it has come is what the caller has to undo.
    let end =
        end.map_err(|stopped| LaunchFailure { line: stopped.line.or_else(|| stub.line(plan)), ..stopped });
    match end? {
        LaunchOutcome::Done => Ok(()),
        LaunchOutcome::Created | LaunchOutcome::Executed => Err(lost().into()),
    }
}

/// Launches a plan that makes a mount, and takes it.
pub(super) fn make(plan: &Plan, sources: DescriptorSources<'_>) -> Result<OwnedFd> {
    struct Making<'a> {
        stub: Stub,
        plan: &'a Plan,
        made: Option<OwnedFd>,
        recorder: Option<&'a Recorder<'a>>,
    }
    impl HostSide for Making<'_> {
        fn launched(&mut self) -> Result<(&mut Stub, &Plan)> {
            Ok((&mut self.stub, self.plan))
        }

        fn take(&mut self, turn: Turn, descriptor: Option<OwnedFd>) -> Result<()> {
            self.made = Some(descriptor.filter(|_| turn == Turn::Made).ok_or_else(lost)?);
            Ok(())
        }

        fn handed_over(&mut self) -> Result<()> {
            self.recorder.map_or(Ok(()), |record| record(self.stub.pid))
        }
    }
    let recorder = sources.recorder;
    let presets = Presets::open(plan, sources)?;
    let standard = StandardStreams::null()?;
    let launch = Launch { plan, presets: &presets, join: None, standard: &standard, fault: None };
    let mut making = Making { stub: launch.spawn()?, plan, made: None, recorder };
    let end = making.handed_over().map_err(LaunchFailure::from).and_then(|()| serve(&mut making));
    making.stub.destroy();
    end?;
    making.made.ok_or_else(lost)
}

/// The stub asked for something that is in no plan.
pub(crate) fn lost() -> Error {
    Error::new(ErrorKind::System, Phase::Launch, "the init stub does not follow its plan")
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
