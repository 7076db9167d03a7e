//! Spawns a program in new namespaces without copying the caller: a child of clone3(2) with `CLONE_VM` and `CLONE_VFORK`
//! arranges its descriptors and calls execveat(2).
//!
//! The calling thread is suspended until the child has executed the program or failed; other threads continue. The child
//! has a stack of its own, blocks every signal, calls no C library, and touches no memory but its stack and the request.
//! So it is safe whatever locks other threads hold, and its cost does not grow with the caller's memory.

use super::namespace::NamespaceFlags;
use super::raw::{clone_on_stack, syscall};
use super::signal_mask::AllSignalsBlocked;
use super::syscall::{call, open};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const STACK: usize = 16 << 10;

/// Whether a descriptor is open, and is not closed by execve(2).
pub(crate) fn is_inherited(number: RawFd) -> bool {
    // SAFETY: no argument is an address, and the flags of another owner's descriptor are only read.
    let flags = unsafe { call!(libc::SYS_fcntl, number, libc::F_GETFD) };
    flags.is_ok_and(|flags| flags & i64::from(libc::FD_CLOEXEC) == 0)
}

/// A close-on-exec duplicate of a descriptor whose number is at least `floor`.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, floor: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no argument is an address; the call returns a new descriptor.
    unsafe { open!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor) }
}

/// What to spawn, and where.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The new namespaces that it is created in.
    pub(crate) namespaces: NamespaceFlags,
    /// The cgroup2 directory that the child is cloned into (`CLONE_INTO_CGROUP`).
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The program: a descriptor of an executable file.
    pub(crate) program: BorrowedFd<'a>,
    /// Its arguments.
    pub(crate) args: &'a [&'a CStr],
    /// Its standard input, output and error; `None` is the caller's.
    pub(crate) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Descriptors above 2 that stay open under their numbers; all others are closed.
    pub(crate) keep: &'a [BorrowedFd<'a>],
    /// How many descriptors from 3 on stay open as well.
    pub(crate) preserve: u32,
}

/// A spawned process that was not waited for.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// The pid, as the caller sees it.
    pub(crate) pid: i32,
    /// The process.
    pub(crate) pidfd: OwnedFd,
}

/// The system call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpawnFailure {
    /// The system call's name.
    pub(crate) call: &'static str,
    /// Its errno.
    pub(crate) errno: Errno,
}

#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What the child reads, and where it reports its progress.
struct ChildContext {
    program: i32,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    stdio: [i32; 3],
    /// A borrowed descriptor is its number.
    keep: *const BorrowedFd<'static>,
    keep_count: usize,
    preserve: u32,
    has_run: bool,
    failure: Option<ChildFailure>,
}

/// A call of the child that failed.
#[derive(Clone, Copy)]
struct ChildFailure {
    call: ChildCall,
    answer: i64,
}

/// The calls that the child makes.
#[derive(Clone, Copy)]
enum ChildCall {
    Fcntl,
    Dup3,
    CloseRange,
    Execveat,
}

impl ChildCall {
    fn name(self) -> &'static str {
        match self {
            Self::Fcntl => "fcntl",
            Self::Dup3 => "dup3",
            Self::CloseRange => "close_range",
            Self::Execveat => "execveat",
        }
    }
}

#[repr(align(16))]
struct Stack {
    _bytes: [u8; STACK],
}

/// Spawns the program.
///
/// # Errors
/// The call that failed. `clone3` with `ECANCELED`: the child was killed before it ran.
pub(crate) fn spawn(request: &Request<'_>) -> Result<Spawned, SpawnFailure> {
    let mut argv: Vec<*const libc::c_char> = request.args.iter().map(|a| a.as_ptr()).collect();
    argv.push(std::ptr::null());
    let envp = [std::ptr::null()];
    let mut child = ChildContext {
        program: request.program.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        stdio: request.stdio.map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd())),
        keep: request.keep.as_ptr().cast(),
        keep_count: request.keep.len(),
        preserve: request.preserve,
        has_run: false,
        failure: None,
    };
    let mut stack = Box::<Stack>::new_uninit();
    let mut pidfd: i32 = -1;
    let mut flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;
    flags |= CLONE_CLEAR_SIGHAND | request.namespaces.bits();
    let mut args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = request.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let blocked = AllSignalsBlocked::new().map_err(|errno| SpawnFailure { call: "rt_sigprocmask", errno })?;
    let call = [(&raw const args) as u64, size_of::<CloneArgs>() as u64, 0, 0, 0];
    // SAFETY: the child runs on `stack`, which outlives it here, since this thread is suspended. It writes to no memory of
    // this process but `child`.
    let pid = unsafe { clone_on_stack(libc::SYS_clone3 as u64, call, arrange, (&raw mut child) as u64) };
    drop(blocked);
    // SAFETY: the child has exited or executed the program, so nothing else uses it. It has written through the address.
    let child = unsafe { (&raw const child).read_volatile() };
    if pid < 0 {
        return Err(SpawnFailure { call: "clone3", errno: Errno::from_raw(-pid as i32) });
    }
    // SAFETY: CLONE_PIDFD has stored a new descriptor.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if !child.has_run {
        // The kernel kills a new child if its cgroup was killed more or less often than the caller's.
        let _ = super::process::wait(&pidfd, true);
        return Err(SpawnFailure { call: "clone3", errno: Errno::ECANCELED });
    }
    if let Some(ChildFailure { call, answer }) = child.failure {
        let _ = super::process::wait(&pidfd, true);
        return Err(SpawnFailure { call: call.name(), errno: Errno::from_raw(-answer as i32) });
    }
    Ok(Spawned { pid: pid as i32, pidfd })
}

/// The child: arranges its descriptors, then executes the program. It does not return.
///
/// # Safety
/// `child` is the address of a [`ChildContext`] whose pointers are valid, and which nothing else uses.
unsafe extern "C" fn arrange(child: u64) {
    // SAFETY: the caller vouches for the address.
    let child = unsafe { &mut *(child as *mut ChildContext) };
    child.has_run = true;
    if let Err(failure) = descriptors(child) {
        give_up(child, failure);
    }
    let (program, argv, envp) = (child.program as u64, child.argv as u64, child.envp as u64);
    let empty = c"".as_ptr() as u64;
    let words = [program, empty, argv, envp, libc::AT_EMPTY_PATH as u64, 0];
    // SAFETY: the arguments are lists of strings that end with a null pointer, and outlive the call.
    let answer = unsafe { syscall(libc::SYS_execveat as u64, words) };
    give_up(child, ChildFailure { call: ChildCall::Execveat, answer })
}

fn give_up(child: &mut ChildContext, failure: ChildFailure) -> ! {
    child.failure = Some(failure);
    loop {
        // SAFETY: no argument is an address; the process ends.
        unsafe { syscall(libc::SYS_exit_group as u64, [127, 0, 0, 0, 0, 0]) };
    }
}

/// Makes one of the calls that arrange descriptors.
fn checked(call: ChildCall, nr: libc::c_long, args: [u64; 6]) -> Result<i64, ChildFailure> {
    // SAFETY: none of these calls takes an address, and the table of descriptors is the child's own.
    let answer = unsafe { syscall(nr as u64, args) };
    if (-4095..0).contains(&answer) { Err(ChildFailure { call, answer }) } else { Ok(answer) }
}

fn descriptors(child: &mut ChildContext) -> Result<(), ChildFailure> {
    // First above 2, then into place, since each of them may be any of the others.
    for fd in child.stdio.iter_mut().filter(|fd| **fd >= 0) {
        let args = [*fd as u64, libc::F_DUPFD_CLOEXEC as u64, 3, 0, 0, 0];
        *fd = checked(ChildCall::Fcntl, libc::SYS_fcntl, args)? as i32;
    }
    for (target, fd) in (0u64..).zip(child.stdio).filter(|(_, fd)| *fd >= 0) {
        checked(ChildCall::Dup3, libc::SYS_dup3, [fd as u64, target, 0, 0, 0, 0])?;
    }
    let first = 3 + u64::from(child.preserve);
    let cloexec = u64::from(libc::CLOSE_RANGE_CLOEXEC);
    let range = [first, u64::from(u32::MAX), cloexec, 0, 0, 0];
    checked(ChildCall::CloseRange, libc::SYS_close_range, range)?;
    // SAFETY: the pointer and the count are those of the request's slice.
    let keep = unsafe { std::slice::from_raw_parts(child.keep, child.keep_count) };
    for fd in keep {
        let args = [fd.as_raw_fd() as u64, libc::F_SETFD as u64, 0, 0, 0, 0];
        checked(ChildCall::Fcntl, libc::SYS_fcntl, args)?;
    }
    Ok(())
}
