//! A program whose system calls are counted one by one; one of them fails, or is the program's last.
//!
//! The tracer is the thread that calls [`run`]. It follows the thread with which the program begins: processes and
//! threads that this one creates run as if there was no tracer.

use crate::calls;
use crate::sys;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// A number that is not a system call: a program makes it to mark the beginning or the end of what is counted.
pub const MARK: i64 = 0x6f72_6c70;

/// The part of the program's life that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// From its first poll(2) on, the first call of `orlop` itself; the C library's calls before that do not count.
    /// With `after_wrap` another program runs before it, see [`wrap`](crate::wrap).
    FromPoll {
        /// Whether the program executes another one first.
        after_wrap: bool,
    },
    /// The calls between two calls of [`mark`].
    BetweenMarks,
}

/// What the tracer does to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing: it lists the calls.
    List,
    /// The call is not made, and returns the errno.
    Fail(Which, Errno),
    /// The program gets SIGKILL in place of the call.
    Kill(Which),
}

/// One of the calls: the nth, from 0, with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// The system call's number.
    pub number: i64,
    /// How many calls with the same number come before it.
    pub nth: usize,
}

/// A call that the program has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which call it is.
    pub which: Which,
    /// Its arguments.
    pub args: [u64; 6],
    /// The path among the arguments.
    pub path: Option<String>,
}

/// What the tracer has recorded.
#[derive(Debug, Default)]
pub struct Trace {
    /// The calls, in order: all of them, or those up to the fault.
    pub calls: Vec<Call>,
    /// The call that was changed; none if the program did not make it.
    pub hit: Option<Call>,
    /// Whether the program was killed because it took too long.
    pub hung: bool,
}

/// Marks the beginning or the end of what is counted.
pub fn mark() {
    let _ = sys::syscall(MARK, [0; 6]);
}

/// Runs the command under the tracer until it has exited; after `limit` it is killed.
pub fn run(command: &mut Command, span: Span, deed: Deed, limit: Duration) -> (ExitStatus, Trace) {
    sys::to_be_traced(command);
    #[allow(clippy::zombie_processes, reason = "the tracer waits for it")]
    let child = match command.spawn() {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => crate::skip("ptrace(2) is forbidden here"),
        child => child.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display())),
    };
    let pid = Pid::from_raw(child.id() as i32);
    let watchdog = Watchdog::new(pid, limit);
    let mut tracer = Tracer::new(pid, span, deed);
    let status = tracer.follow();
    let mut trace = tracer.trace;
    trace.hung = watchdog.has_fired();
    (status, trace)
}

struct Tracer {
    pid: Pid,
    span: Span,
    deed: Deed,
    /// Whether a wrapping program still has to execute the one that counts.
    wrapped: bool,
    counting: bool,
    seen: HashMap<i64, usize>,
    trace: Trace,
}

/// How the program continues after a stop.
enum Next {
    /// Until its next system call.
    ToCall,
    /// Until the exit of its current call, which fails.
    OutOf(Errno),
    /// Until it exits.
    ToEnd,
}

impl Tracer {
    fn new(pid: Pid, span: Span, deed: Deed) -> Self {
        let wrapped = span == Span::FromPoll { after_wrap: true };
        Self { pid, span, deed, wrapped, counting: false, seen: HashMap::new(), trace: Trace::default() }
    }

    fn follow(&mut self) -> ExitStatus {
        // execve(2) has returned: this is the first stop.
        match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => return exit_status(other).unwrap_or_else(|| panic!("no program: {other:?}")),
        }
        let options =
            Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACEEXEC;
        ptrace::setoptions(self.pid, options).unwrap();
        let (mut next, mut inside, mut signal) = (Next::ToCall, false, None);
        loop {
            // A process that was killed meanwhile cannot be continued: its exit comes next.
            let _ = match next {
                Next::ToEnd => ptrace::cont(self.pid, signal),
                _ => ptrace::syscall(self.pid, signal),
            };
            signal = None;
            match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::PtraceSyscall(_) if inside => {
                    inside = false;
                    if let Next::OutOf(errno) = next {
                        sys::answer_call(self.pid, errno);
                        next = Next::ToEnd;
                    }
                }
                WaitStatus::PtraceSyscall(_) => {
                    inside = true;
                    if let Some(changed) = self.enter() {
                        next = changed;
                    }
                }
                WaitStatus::PtraceEvent(..) => self.wrapped = false,
                WaitStatus::Stopped(_, other) => signal = Some(other),
                other => {
                    if let Some(status) = exit_status(other) {
                        return status;
                    }
                }
            }
        }
    }

    /// The program is about to make a call.
    fn enter(&mut self) -> Option<Next> {
        let Ok((number, args)) = sys::call_of(self.pid) else { return None };
        match self.span {
            Span::BetweenMarks if number == MARK => {
                self.counting = !self.counting;
                return None;
            }
            Span::FromPoll { .. } => {
                self.counting |= !self.wrapped && matches!(calls::name(number), "poll" | "ppoll");
            }
            Span::BetweenMarks => {}
        }
        if !self.counting {
            return None;
        }
        let seen = self.seen.entry(number).or_default();
        let which = Which { number, nth: *seen };
        *seen += 1;
        let path = calls::path_argument(number).and_then(|n| string_at(self.pid, args[n]));
        let call = Call { which, args, path };
        self.trace.calls.push(call.clone());
        match self.deed {
            Deed::Fail(this, errno) if this == which => {
                self.trace.hit = Some(call);
                sys::refuse_call(self.pid);
                Some(Next::OutOf(errno))
            }
            Deed::Kill(this) if this == which => {
                self.trace.hit = Some(call);
                sys::kill(self.pid.as_raw(), libc::SIGKILL);
                Some(Next::ToEnd)
            }
            _ => None,
        }
    }
}

fn exit_status(status: WaitStatus) -> Option<ExitStatus> {
    match status {
        WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
        WaitStatus::Signaled(_, signal, _) => Some(ExitStatus::from_raw(signal as i32)),
        _ => None,
    }
}

/// The string at an address of the stopped program.
fn string_at(pid: Pid, address: u64) -> Option<String> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut bytes = [0; 512];
    let n = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..n].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// Kills a program that takes too long.
struct Watchdog {
    done: Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn new(pid: Pid, limit: Duration) -> Self {
        let pidfd = sys::pidfd_open(pid.as_raw());
        let (done, wait) = channel();
        let thread = std::thread::spawn(move || {
            let late = wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                sys::pidfd_kill(&pidfd);
            }
            late
        });
        Self { done, thread }
    }

    fn has_fired(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap()
    }
}
