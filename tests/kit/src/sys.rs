//! The few system calls of the kit that have no safe form elsewhere.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::unistd::Pid;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whether the kernel is older than that version.
pub fn kernel_before(major: u32, minor: u32) -> bool {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|word| word.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (major, minor)
}

/// A system call by number.
pub fn syscall(number: i64, args: [i64; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, more @ ..] = args;
    // SAFETY: the tests name calls whose arguments are numbers, or pointers that the kernel refuses.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, more[0], more[1]) })
}

/// PR_SET_CHILD_SUBREAPER: orphans below become children of this process.
pub fn become_subreaper() {
    // SAFETY: prctl with numbers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
}

/// A child of this process's own parent (`CLONE_PARENT`): returns its pid here, `None` in it. Only for a process
/// with one thread.
pub fn clone_sibling() -> Option<u64> {
    let flags = i64::from(libc::CLONE_PARENT | libc::SIGCHLD);
    let pid = syscall(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]).unwrap();
    (pid != 0).then_some(pid as u64)
}

/// A child: returns its pid here, `None` in it. Only for a process with one thread.
pub fn clone_child() -> Option<i32> {
    let pid = syscall(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0, 0]).unwrap();
    (pid != 0).then_some(pid as i32)
}

/// fork(2): returns the child's pid here, 0 in it. Only for a process with one thread.
pub fn fork() -> Result<i32, Errno> {
    // SAFETY: the process has no other thread that could hold a lock.
    Errno::result(unsafe { libc::fork() })
}

/// waitpid(2) for any child that has already exited; `false` if there is none.
pub fn reap_one() -> bool {
    // SAFETY: no status is requested.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) > 0 }
}

/// Locks one byte of an open file (`F_OFD_SETLK`) for reading.
pub fn lock_a_byte(file: impl AsFd, at: i64) {
    let lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}

/// Writes to the first byte of a file through a shared mapping, or with `later` through a read-only mapping that is
/// made writable afterwards.
pub fn change_by_mapping(file: impl AsFd, later: bool) -> Result<(), Errno> {
    let (length, both) = (4096, libc::PROT_READ | libc::PROT_WRITE);
    let first = if later { libc::PROT_READ } else { both };
    // SAFETY: a mapping of its own, of a page of a file that has it: everything is written through a raw pointer.
    unsafe {
        let page =
            libc::mmap(std::ptr::null_mut(), length, first, libc::MAP_SHARED, file.as_fd().as_raw_fd(), 0);
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let done =
            Errno::result(libc::mprotect(page, length, both)).map(|_| page.cast::<u8>().write_volatile(b'X'));
        libc::munmap(page, length);
        done
    }
}

/// Blocks in a system call that only SIGKILL ends and that the freezer does not stop: a read(2) into a page that a
/// userfaultfd(2) never supplies. Returns the errno if that fails.
pub fn wait_in_the_kernel() -> Errno {
    const API: libc::c_ulong = 0xc018_aa3f;
    const REGISTER: libc::c_ulong = 0xc020_aa00;
    let length = 4096;
    // SAFETY: a mapping of its own, which nothing else uses; the two structures are those of linux/userfaultfd.h.
    unsafe {
        let fd = libc::syscall(libc::SYS_userfaultfd, 0) as i32;
        let mut api = [0xaa_u64, 0, 0];
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        let mut register = [page as u64, length as u64, 1, 0];
        let made = Errno::result(fd)
            .and_then(|_| Errno::result(libc::ioctl(fd, API as _, api.as_mut_ptr())))
            .and_then(|_| Errno::result(libc::ioctl(fd, REGISTER as _, register.as_mut_ptr())));
        if let Err(error) = made {
            return error;
        }
        println!("{{\"waits\": true}}");
        let zero = libc::open(c"/dev/zero".as_ptr(), libc::O_RDONLY);
        libc::read(zero, page, length);
    }
    Errno::last()
}

/// kill(2) without a check of its result.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: kill with numbers only.
    unsafe { libc::kill(pid, signal) };
}

/// waitpid(2) on a child until it has exited: its code, 128 + signal, or `None` (not a child, or too late).
pub fn reap(pid: i32, within: Duration) -> Option<i32> {
    // Zero and negative numbers mean groups, whose members other tests wait for.
    assert!(pid > 0, "{pid} is not a pid");
    let begun = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: the status is a local integer.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::__WALL) } {
            0 if begun.elapsed() < within => std::thread::sleep(Duration::from_millis(2)),
            0 | -1 => return None,
            _ if libc::WIFEXITED(status) => return Some(libc::WEXITSTATUS(status)),
            _ => return Some(128 + libc::WTERMSIG(status)),
        }
    }
}

/// waitpid(2) for any child; `false` once there is none.
pub fn reap_any() -> bool {
    // SAFETY: no status is requested.
    unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) > 0 }
}

/// Reaps a child that has exited: whether there was one; `None` if there are no children.
pub fn reap_ended() -> Option<bool> {
    // SAFETY: no status is requested.
    match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } {
        -1 => None,
        pid => Some(pid > 0),
    }
}

/// sigwait(3) for any signal, including real-time ones; all must be blocked.
pub fn wait_for_a_signal() -> i32 {
    let mut signal = 0;
    // SAFETY: all-zero is a valid sigset_t, which sigfillset fills; the number is a local integer.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwait(&raw const all, &raw mut signal);
    }
    signal
}

/// Takes ownership of a received descriptor.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: recvmsg(2) has just made this descriptor for us alone.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Rows and columns of a terminal.
pub fn window_size(fd: impl AsFd) -> Result<(u16, u16), Errno> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills one winsize.
    Errno::result(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets rows and columns of a terminal.
pub fn set_window_size(fd: impl AsFd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize.
    unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}

/// Makes standard input the controlling terminal of a new session.
pub fn take_terminal() {
    // SAFETY: both take numbers only.
    unsafe {
        libc::setsid();
        libc::ioctl(0, libc::TIOCSCTTY, 0);
    }
}

/// A new pseudo-terminal: master and slave.
pub fn open_pty() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: openpty fills the two descriptors.
    let rc = unsafe { libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()) };
    assert_eq!(rc, 0, "openpty: {}", Errno::last());
    // SAFETY: as above; without this the runtime would inherit the master.
    unsafe { libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC) };
    (own(master), own(slave))
}

static SIGPIPE_AT_START: AtomicUsize = AtomicUsize::new(0);

extern "C" fn record_sigpipe() {
    // SAFETY: all-zero is a valid sigaction, and the call only fills it.
    let handler = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    };
    SIGPIPE_AT_START.store(handler, Ordering::Relaxed);
}

// Rust's start code ignores SIGPIPE before `main`; the disposition at the start of the process is read before that.
// SAFETY: the section holds functions that the C library calls in turn, and this is one.
#[used]
#[unsafe(link_section = ".init_array")]
static RECORD_SIGPIPE: extern "C" fn() = record_sigpipe;

/// Whether this process was started with SIGPIPE ignored.
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_AT_START.load(Ordering::Relaxed) == libc::SIG_IGN
}

/// Sets a signal to be ignored or to its default.
pub fn set_handler(signal: nix::sys::signal::Signal, handler: nix::sys::signal::SigHandler) {
    // SAFETY: the kit passes no handler that would run.
    let _ = unsafe { nix::sys::signal::signal(signal, handler) };
}

/// `SECCOMP_IOCTL_NOTIF_RECV`: the ID of a notification, its process and the number of its call.
pub fn notification(listener: impl AsFd) -> Result<(u64, u32, i32), Errno> {
    const RECEIVE: libc::c_ulong = 0xc050_2100;
    // struct seccomp_notif: id, pid and flags, then struct seccomp_data.
    let mut words = [0u64; 10];
    // SAFETY: the kernel writes the 80 bytes of that structure.
    Errno::result(unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), RECEIVE as _, words.as_mut_ptr()) })?;
    let low = |word: u64| (word & 0xffff_ffff) as u32;
    Ok((words[0], low(words[1]), low(words[2]) as i32))
}

/// `SECCOMP_IOCTL_NOTIF_SEND`: an errno, or the call continues.
pub fn answer_notification(listener: impl AsFd, id: u64, errno: Option<Errno>) {
    const SEND: libc::c_ulong = 0xc018_2101;
    const CONTINUE: u64 = 1;
    let last = match errno {
        Some(errno) => u64::from(-(errno as i32) as u32),
        None => CONTINUE << 32,
    };
    // struct seccomp_notif_resp: id, value, error and flags.
    let mut words = [id, 0, last];
    // SAFETY: the kernel reads the 24 bytes of that structure. A process that has exited is not an error.
    unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SEND as _, words.as_mut_ptr()) };
}

/// Receives one descriptor from a socket.
pub fn receive_fd(socket: RawFd) -> OwnedFd {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut text = [0; 256];
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC).unwrap();
    let mut fds = Vec::new();
    for part in message.cmsgs().unwrap() {
        if let ControlMessageOwned::ScmRights(received) = part {
            fds.extend(received.into_iter().map(own));
        }
    }
    assert_eq!(fds.len(), 1, "one descriptor");
    fds.remove(0)
}

/// Binds this process to one processor.
pub fn bind_to_processor(number: usize) {
    let mut set = nix::sched::CpuSet::new();
    set.set(number).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
}

/// The command's program stops after its execve(2) for the thread that starts it, see ptrace(2).
pub fn to_be_traced(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let trace_me = || nix::sys::ptrace::traceme().map_err(std::io::Error::from);
    // SAFETY: between fork and exec there is one system call.
    unsafe { command.pre_exec(trace_me) };
}

/// The number and the arguments of the call that a traced process is about to make.
#[cfg(target_arch = "x86_64")]
pub fn call_of(pid: Pid) -> Result<(i64, [u64; 6]), Errno> {
    let at = nix::sys::ptrace::getregs(pid)?;
    Ok((at.orig_rax as i64, [at.rdi, at.rsi, at.rdx, at.r10, at.r8, at.r9]))
}

/// Makes the kernel skip the call that a traced process is about to make.
#[cfg(target_arch = "x86_64")]
pub fn refuse_call(pid: Pid) {
    let mut at = nix::sys::ptrace::getregs(pid).unwrap();
    at.orig_rax = u64::MAX;
    nix::sys::ptrace::setregs(pid, at).unwrap();
}

/// Sets the result of the call that a traced process has just made.
#[cfg(target_arch = "x86_64")]
pub fn answer_call(pid: Pid, errno: Errno) {
    let mut at = nix::sys::ptrace::getregs(pid).unwrap();
    at.rax = -i64::from(errno as i32) as u64;
    nix::sys::ptrace::setregs(pid, at).unwrap();
}

/// PTRACE_GETREGSET and PTRACE_SETREGSET of `words`.
#[cfg(target_arch = "aarch64")]
fn registers<T>(pid: Pid, request: libc::c_uint, set: libc::c_int, words: &mut T) -> Result<(), Errno> {
    let mut place = libc::iovec { iov_base: std::ptr::from_mut(words).cast(), iov_len: size_of::<T>() };
    // SAFETY: the kernel reads or writes `words`, whose length it is told.
    let answer = unsafe { libc::ptrace(request, pid.as_raw(), set, &raw mut place) };
    Errno::result(answer).map(drop)
}

/// `struct user_pt_regs`: 31 registers, stack pointer, program counter, state.
#[cfg(target_arch = "aarch64")]
const GENERAL: libc::c_int = 1;
/// NT_ARM_SYSTEM_CALL.
#[cfg(target_arch = "aarch64")]
const SYSTEM_CALL: libc::c_int = 0x404;

/// The number and the arguments of the call that a traced process is about to make.
#[cfg(target_arch = "aarch64")]
pub fn call_of(pid: Pid) -> Result<(i64, [u64; 6]), Errno> {
    let mut at = [0_u64; 34];
    registers(pid, libc::PTRACE_GETREGSET, GENERAL, &mut at)?;
    Ok((at[8] as i64, [at[0], at[1], at[2], at[3], at[4], at[5]]))
}

/// Makes the kernel skip the call that a traced process is about to make.
#[cfg(target_arch = "aarch64")]
pub fn refuse_call(pid: Pid) {
    registers(pid, libc::PTRACE_SETREGSET, SYSTEM_CALL, &mut -1_i32).unwrap();
}

/// Sets the result of the call that a traced process has just made.
#[cfg(target_arch = "aarch64")]
pub fn answer_call(pid: Pid, errno: Errno) {
    let mut at = [0_u64; 34];
    registers(pid, libc::PTRACE_GETREGSET, GENERAL, &mut at).unwrap();
    at[0] = -i64::from(errno as i32) as u64;
    registers(pid, libc::PTRACE_SETREGSET, GENERAL, &mut at).unwrap();
}

/// A pidfd of a process.
pub fn pidfd_open(pid: i32) -> OwnedFd {
    own(syscall(libc::SYS_pidfd_open, [pid.into(), 0, 0, 0, 0, 0]).unwrap() as RawFd)
}

/// SIGKILL to the process, if it still exists.
pub fn pidfd_kill(pidfd: &OwnedFd) {
    let args = [pidfd.as_raw_fd().into(), libc::SIGKILL.into(), 0, 0, 0, 0];
    let _ = syscall(libc::SYS_pidfd_send_signal, args);
}
