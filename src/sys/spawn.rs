//! Spawning a program in new namespaces without copying the caller: clone3(2) with `CLONE_VM` and
//! `CLONE_VFORK`, whose child does nothing but arrange descriptors and execveat(2).
//!
//! The calling thread is suspended until the child has executed the program or failed; other threads
//! go on. The child runs on a stack of its own with every signal blocked, calls no C library and
//! touches no memory but its stack and the request, so it is safe whatever locks other threads hold.
//! A caller with gigabytes of memory pays no more than a small one.

use super::namespace::NamespaceFlags;
use super::raw::syscall;
use super::{call, open};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const STACK: usize = 16 << 10;

/// Whether a descriptor is open and stays so across execve(2).
pub(crate) fn is_inherited(number: RawFd) -> bool {
    // SAFETY: no argument is an address, and the descriptor of another owner is only looked at.
    let flags = unsafe { call!(libc::SYS_fcntl, number, libc::F_GETFD) };
    flags.is_ok_and(|flags| flags & i64::from(libc::FD_CLOEXEC) == 0)
}

/// A copy of a descriptor whose number is not below `floor`, closed on exec.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, floor: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no argument is an address; the call makes a descriptor.
    unsafe { open!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, floor) }
}

/// What to spawn, and where.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Those that are made for it.
    pub(crate) namespaces: NamespaceFlags,
    /// A cgroup2 directory into which the child is born (`CLONE_INTO_CGROUP`).
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// The program: a descriptor of an executable file.
    pub(crate) program: BorrowedFd<'a>,
    /// Its arguments.
    pub(crate) args: &'a [&'a CStr],
    /// What becomes its standard input, output and error; `None` leaves the caller's.
    pub(crate) stdio: [Option<BorrowedFd<'a>>; 3],
    /// Descriptors above 2 which stay open in it, with their numbers; all others close.
    pub(crate) keep: &'a [BorrowedFd<'a>],
    /// How many descriptors from 3 on stay open too.
    pub(crate) preserve: u32,
}

/// A spawned process, not yet waited for.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its number, as the caller counts.
    pub(crate) pid: i32,
    /// Its descriptor.
    pub(crate) pidfd: OwnedFd,
}

/// Which call failed, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpawnFailure {
    /// The system call's name.
    pub(crate) call: &'static str,
    /// The kernel's answer.
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

/// What the child reads, and where it says how it failed.
struct Child {
    program: i32,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    stdio: [i32; 3],
    /// A borrowed descriptor is its number.
    keep: *const BorrowedFd<'static>,
    keep_count: usize,
    preserve: u32,
    ran: u32,
    call: u32,
    errno: i32,
}

/// Names of the calls a child can fail at, by `Child::call`.
const CALLS: [&str; 4] = ["fcntl", "dup3", "close_range", "execveat"];

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
    let mut child = Child {
        program: request.program.as_raw_fd(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        stdio: request.stdio.map(|fd| fd.map_or(-1, |fd| fd.as_raw_fd())),
        keep: request.keep.as_ptr().cast(),
        keep_count: request.keep.len(),
        preserve: request.preserve,
        ran: 0,
        call: 0,
        errno: 0,
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
    let blocked = Blocked::all().map_err(|errno| SpawnFailure { call: "rt_sigprocmask", errno })?;
    // SAFETY: the child runs on `stack`, which lives here while this thread is suspended; it never
    // returns, and writes to nothing of ours but `child`.
    let pid = unsafe { clone_vm(&args, arrange, &raw mut child) };
    drop(blocked);
    if pid < 0 {
        return Err(SpawnFailure { call: "clone3", errno: Errno::from_raw(-pid as i32) });
    }
    // SAFETY: CLONE_PIDFD has put a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    if child.ran == 0 {
        // Killed at birth: so the kernel treats a child whose cgroup was killed another number of times
        // than the caller's own.
        let _ = super::process::wait(&pidfd, true);
        return Err(SpawnFailure { call: "clone3", errno: Errno::ECANCELED });
    }
    if child.errno != 0 {
        let _ = super::process::wait(&pidfd, true);
        let call = CALLS.get(child.call as usize).copied().unwrap_or("execveat");
        return Err(SpawnFailure { call, errno: Errno::from_raw(child.errno) });
    }
    Ok(Spawned { pid: pid as i32, pidfd })
}

/// Every signal of the calling thread blocked, also those which the C library keeps for itself; until dropped.
struct Blocked {
    before: u64,
}

impl Blocked {
    /// # Errors
    /// That they cannot be blocked: a handler of the caller's would run in the child then, in the caller's memory.
    fn all() -> Result<Self, Errno> {
        let mut before = 0;
        set_mask(&!0, Some(&mut before))?;
        Ok(Self { before })
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // What the kernel has let us change it lets us change back: there is nothing else that this could fail with.
        let _ = set_mask(&self.before, None);
    }
}

fn set_mask(mask: &u64, before: Option<&mut u64>) -> Result<(), Errno> {
    let (mask, before) =
        (std::ptr::from_ref(mask) as u64, before.map_or(0, |before| &raw mut *before as u64));
    // SAFETY: both are addresses of 8 bytes, or null.
    unsafe { call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask, before, 8) }.map(drop)
}

/// clone3 whose child calls `run(child)` on the stack of `args`.
///
/// # Safety
/// `run` must not return, and must be sound in a process that shares this one's memory.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_vm(args: &CloneArgs, run: unsafe extern "C" fn(*mut Child) -> !, child: *mut Child) -> i64 {
    let answer: i64;
    // SAFETY: the parent sees an ordinary system call; the child has the same registers but rax and
    // rsp, which points at the end of its own stack.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") std::ptr::from_ref(args), in("rsi") size_of::<CloneArgs>(),
            in("r8") run, in("r9") child, lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// clone3 whose child calls `run(child)` on the stack of `args`.
///
/// # Safety
/// `run` must not return, and must be sound in a process that shares this one's memory.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_vm(args: &CloneArgs, run: unsafe extern "C" fn(*mut Child) -> !, child: *mut Child) -> i64 {
    let answer: i64;
    // SAFETY: as on x86_64: the child has the same registers but x0 and sp.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            inlateout("x0") std::ptr::from_ref(args) as i64 => answer,
            in("x1") size_of::<CloneArgs>(), in("x8") libc::SYS_clone3,
            in("x9") run, in("x10") child, lateout("x30") _,
        );
    }
    answer
}

/// The child: descriptors, then the program.
///
/// # Safety
/// `child` points at a `Child` whose pointers are valid.
unsafe extern "C" fn arrange(child: *mut Child) -> ! {
    // SAFETY: the parent is suspended; nobody else uses it.
    let child = unsafe { &mut *child };
    child.ran = 1;
    if let Err((call, errno)) = descriptors(child) {
        give_up(child, call, errno);
    }
    let (program, argv, envp) = (child.program as u64, child.argv as u64, child.envp as u64);
    let empty = c"".as_ptr() as u64;
    let words = [program, empty, argv, envp, libc::AT_EMPTY_PATH as u64, 0];
    // SAFETY: the arguments are lists of strings that end with a null pointer; they outlive this process's use of them.
    let answer = unsafe { syscall(libc::SYS_execveat as u64, words) };
    give_up(child, 3, answer)
}

fn give_up(child: &mut Child, call: u32, answer: i64) -> ! {
    child.call = call;
    child.errno = -answer as i32;
    loop {
        // SAFETY: nothing of the process is used after its end.
        unsafe { syscall(libc::SYS_exit_group as u64, [127, 0, 0, 0, 0, 0]) };
    }
}

/// One of the calls that arrange descriptors: fcntl(2), dup3(2), close_range(2).
fn checked(call: u32, nr: libc::c_long, args: [u64; 6]) -> Result<i64, (u32, i64)> {
    // SAFETY: no argument of theirs is an address, and the table of descriptors is the child's own.
    let answer = unsafe { syscall(nr as u64, args) };
    if (-4095..0).contains(&answer) { Err((call, answer)) } else { Ok(answer) }
}

fn descriptors(child: &mut Child) -> Result<(), (u32, i64)> {
    // First out of the way of 0 to 2, then into place: any of them may be any other.
    let mut i = 0;
    while i < 3 {
        if child.stdio[i] >= 0 {
            let from = child.stdio[i] as u64;
            let high = checked(0, libc::SYS_fcntl, [from, libc::F_DUPFD_CLOEXEC as u64, 3, 0, 0, 0])?;
            child.stdio[i] = high as i32;
        }
        i += 1;
    }
    i = 0;
    while i < 3 {
        if child.stdio[i] >= 0 {
            checked(1, libc::SYS_dup3, [child.stdio[i] as u64, i as u64, 0, 0, 0, 0])?;
        }
        i += 1;
    }
    let first = 3 + u64::from(child.preserve);
    let cloexec = u64::from(libc::CLOSE_RANGE_CLOEXEC);
    checked(2, libc::SYS_close_range, [first, u64::from(u32::MAX), cloexec, 0, 0, 0])?;
    i = 0;
    while i < child.keep_count {
        // SAFETY: below the count.
        let fd = unsafe { *child.keep.add(i) };
        checked(0, libc::SYS_fcntl, [fd.as_raw_fd() as u64, libc::F_SETFD as u64, 0, 0, 0, 0])?;
        i += 1;
    }
    Ok(())
}
