//! Stops a command, and everything that it starts, at every system call: ptrace(2) from outside.

use crate::wrap;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest time that a traced command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the tracer yields the processor before it sleeps.
const SPINS: u32 = 100;

/// The point at which a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before its first instruction.
    Birth,
    /// A system call with this number has been made.
    Call(i64),
    /// It has executed a program.
    Execution,
    /// It has exited.
    End,
}

/// What the observer requests for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Stop it again.
    Step,
    /// Do not stop it any more until it executes a program.
    Run,
    /// Do not trace it any more: it traces other processes itself.
    Leave,
}

struct Tracee {
    /// Whether it has been stopped once.
    known: bool,
    next: Next,
}

/// A tracer: only the thread that created it may use it.
pub struct Tracer {
    tracees: BTreeMap<i32, Tracee>,
    /// Orphans among them are reaped by this process, once more after the tracer.
    ended: Vec<i32>,
    /// The commands: waited for as tracees.
    commands: Vec<Child>,
}

impl Default for Tracer {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracer {
    /// A tracer without tracees.
    pub fn new() -> Self {
        Self { tracees: BTreeMap::new(), ended: Vec::new(), commands: Vec::new() }
    }

    /// The traced processes, stopped or running.
    pub fn tracees(&self) -> Vec<i32> {
        self.tracees.keys().copied().collect()
    }

    /// Starts a command in a directory; its output goes to the two files. It is stopped before its first instruction.
    pub fn start(
        &mut self,
        program: &Path,
        words: &[String],
        env: &[(String, String)],
        cwd: &Path,
        files: [&Path; 2],
    ) -> i32 {
        let mut command = Command::new("/proc/self/exe");
        command.args([wrap::NAME, "traced", "--"]).arg(program).args(words);
        command.current_dir(cwd).env_clear().envs(env.iter().cloned()).stdin(Stdio::null());
        let [out, err] = files.map(|path| Stdio::from(fs::File::create(path).unwrap()));
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        let pid = child.id() as i32;
        let at = Pid::from_raw(pid);
        assert_eq!(waitpid(at, Some(WaitPidFlag::__WALL)), Ok(WaitStatus::Stopped(at, Signal::SIGTRAP)));
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(at, options).unwrap();
        self.tracees.insert(pid, Tracee { known: true, next: Next::Step });
        self.commands.push(child);
        ptrace::syscall(at, None).unwrap();
        pid
    }

    /// Continues everything until the process `until` has exited (its code, or 128 + signal), or until nothing is
    /// left. `observe` is called with each process that is stopped.
    pub fn follow(&mut self, until: Option<i32>, mut observe: impl FnMut(i32, At) -> Next) -> Option<i32> {
        let (begun, mut idle) = (Instant::now(), 0);
        while !self.tracees.is_empty() {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
            let status = match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) => {
                    assert!(
                        begun.elapsed() < crate::within(PATIENCE),
                        "traced processes do not exit: {:?}",
                        self.tracees()
                    );
                    // Most calls take less time than a sleep.
                    idle += 1;
                    if idle < SPINS {
                        std::thread::yield_now();
                    } else {
                        std::thread::sleep(Duration::from_micros(20));
                    }
                    continue;
                }
                Ok(status) => status,
                Err(Errno::ECHILD) => break,
                // A signal for which nix has no name.
                Err(_) => continue,
            };
            idle = 0;
            let ended = match status {
                WaitStatus::Exited(pid, code) => Some((pid.as_raw(), code)),
                WaitStatus::Signaled(pid, signal, _) => Some((pid.as_raw(), 128 + signal as i32)),
                status => {
                    self.stopped(status, &mut observe);
                    None
                }
            };
            if let Some((pid, code)) = ended {
                self.tracees.remove(&pid);
                self.ended.push(pid);
                observe(pid, At::End);
                if until == Some(pid) {
                    return Some(code);
                }
            }
        }
        None
    }

    fn stopped(&mut self, status: WaitStatus, observe: &mut impl FnMut(i32, At) -> Next) {
        let Some(at) = status.pid() else { return };
        let pid = at.as_raw();
        let tracee = self.tracees.entry(pid).or_insert(Tracee { known: false, next: Next::Step });
        let mut signal = None;
        match status {
            WaitStatus::PtraceSyscall(_) => {
                const EXIT: u8 = 2;
                if ptrace::syscall_info(at).is_ok_and(|info| info.op == EXIT) {
                    tracee.next = observe(pid, At::Call(call(pid)));
                }
            }
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                tracee.next = observe(pid, At::Execution);
            }
            WaitStatus::Stopped(_, Signal::SIGSTOP) if !tracee.known => {
                tracee.next = observe(pid, At::Birth);
            }
            WaitStatus::Stopped(_, other) => signal = Some(other),
            _ => {}
        }
        let tracee = self.tracees.get_mut(&pid).unwrap();
        tracee.known = true;
        // ESRCH: it was killed while it was stopped.
        let _ = match tracee.next {
            Next::Step => ptrace::syscall(at, signal),
            Next::Run => ptrace::cont(at, signal),
            Next::Leave => {
                self.tracees.remove(&pid);
                ptrace::detach(at, signal)
            }
        };
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        for pid in self.tracees.keys() {
            crate::sys::kill(*pid, libc::SIGKILL);
        }
        for pid in self.ended.drain(..) {
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG));
        }
        let begun = Instant::now();
        while !self.tracees.is_empty() && begun.elapsed() < Duration::from_secs(5) {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => {
                    self.tracees.remove(&pid.as_raw());
                }
                Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Err(Errno::ECHILD) => break,
                _ => {}
            }
        }
    }
}

/// Makes the uname(2) that a process has just made return another release.
pub fn pretend(pid: i32, release: &str) {
    const LENGTH: u64 = 65;
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
    let place = text.split_whitespace().nth(1).unwrap().trim_start_matches("0x").to_owned();
    let place = u64::from_str_radix(&place, 16).unwrap() + 2 * LENGTH;
    let memory = fs::File::options().write(true).open(format!("/proc/{pid}/mem")).unwrap();
    let text = format!("{release}\0");
    std::os::unix::fs::FileExt::write_all_at(&memory, text.as_bytes(), place).unwrap();
}

/// The number of the system call that a process is in.
fn call(pid: i32) -> i64 {
    crate::sys::call_of(Pid::from_raw(pid)).map_or(-1, |(number, _)| number)
}

/// Continues a process after `begin` until it has made a system call with this number, and leaves it stopped by
/// SIGSTOP and no longer traced. It need not be a child of this one.
///
/// # Panics
/// If the process exits before that.
pub fn stop_after(pid: i32, call: i64, begin: impl FnOnce()) {
    let at = Pid::from_raw(pid);
    ptrace::attach(at).unwrap();
    let mut begin = Some(begin);
    let (mut entered, mut known) = (false, false);
    loop {
        match waitpid(at, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                entered = !entered;
                if !entered && crate::sys::call_of(at).unwrap().0 == call {
                    ptrace::detach(at, Signal::SIGSTOP).unwrap();
                    return;
                }
            }
            WaitStatus::Stopped(..) if !known => {
                known = true;
                ptrace::setoptions(at, Options::PTRACE_O_TRACESYSGOOD).unwrap();
            }
            WaitStatus::Stopped(..) => {}
            other => panic!("{other:?}"),
        }
        ptrace::syscall(at, None).unwrap();
        if let Some(begin) = begin.take() {
            begin();
        }
    }
}
