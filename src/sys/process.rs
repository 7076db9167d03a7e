//! Processes by pidfd: open, signal, wait.

use super::syscall::{call, open, retry};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// How a process exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// The exit status by the shell's convention: 128 + the signal's number if a signal killed the process.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// pidfd_open(2).
pub(crate) fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no argument is an address; the call returns a new descriptor.
    unsafe { open!(libc::SYS_pidfd_open, pid, 0) }
}

/// sched_setattr(2) of a process with `struct sched_attr`.
pub(crate) fn set_scheduler(pid: i32, attr: &[u8; 56]) -> Result<(), Errno> {
    // SAFETY: the structure holds its own size, and outlives the call.
    unsafe { call!(libc::SYS_sched_setattr, pid, attr.as_ptr(), 0) }.map(drop)
}

/// pidfd_send_signal(2).
pub(crate) fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<(), Errno> {
    let (pidfd, null) = (pidfd.as_fd(), std::ptr::null::<u8>());
    // SAFETY: the address is null; the kernel then fills in the signal's information.
    unsafe { call!(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }.map(drop)
}

/// The pid namespace of a process: ioctl(2) `PIDFD_GET_PID_NAMESPACE` (Linux 6.11). An older kernel has it in /proc, which
/// counts only if the process still exists afterwards.
pub(crate) fn pid_namespace(pidfd: impl AsFd) -> Result<OwnedFd, Errno> {
    const PIDFD_GET_PID_NAMESPACE: u32 = 0xff06;
    let fd = pidfd.as_fd();
    // SAFETY: the request takes no argument, and returns a new descriptor.
    match unsafe { open!(libc::SYS_ioctl, fd.as_raw_fd(), PIDFD_GET_PID_NAMESPACE, 0) } {
        Err(Errno::ENOTTY | Errno::EINVAL) => {}
        other => return other,
    }
    let info = super::fs::cstring(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let text = super::fs::read_at(super::fs::cwd(), &info)?;
    let text = String::from_utf8_lossy(&text);
    let pid: i32 =
        text.lines().find_map(|l| l.strip_prefix("Pid:")?.trim().parse().ok()).ok_or(Errno::EPROTO)?;
    let path = super::fs::cstring(format!("/proc/{pid}/ns/pid"))?;
    let namespace = super::fs::openat(super::fs::cwd(), &path, libc::O_RDONLY, 0)?;
    pidfd_send_signal(pidfd, 0)?;
    Ok(namespace)
}

/// waitid(2) on a pidfd; `None` if `block` is false and the process has not exited.
pub(crate) fn wait(pidfd: impl AsFd, block: bool) -> Result<Option<Exit>, Errno> {
    const P_PIDFD: i32 = 3;
    let (pidfd, null) = (pidfd.as_fd(), std::ptr::null::<u8>());
    let flags = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let to = &raw mut info;
    // SAFETY: there is room for a siginfo_t; the resource usage is not wanted.
    retry(|| unsafe { call!(libc::SYS_waitid, P_PIDFD, pidfd.as_raw_fd(), to, flags, null) })?;
    // SAFETY: waitid(2) has filled the child's fields, or has left them zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(status),
    }))
}

/// Checks that a process is a child of the caller that was not waited for, whether it has exited or not.
///
/// # Errors
/// `ECHILD` if it is not.
pub(crate) fn is_child(pidfd: impl AsFd) -> Result<(), Errno> {
    const P_PIDFD: i32 = 3;
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let (pidfd, null) = (pidfd.as_fd(), std::ptr::null::<u8>());
    let to = &raw mut info;
    // SAFETY: `info` outlives the call.
    retry(|| unsafe { call!(libc::SYS_waitid, P_PIDFD, pidfd.as_raw_fd(), to, flags, null) }).map(drop)
}

/// poll(2) until `fd` is readable; a pidfd is if its process has exited. `false` after the timeout.
pub(crate) fn poll_in(fd: impl AsFd, timeout_ms: i32) -> Result<bool, Errno> {
    let fd = fd.as_fd();
    let mut set = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    retry(|| {
        // SAFETY: there is one pollfd, which outlives the call.
        Errno::result(unsafe { libc::poll(&raw mut set, 1, timeout_ms) }).map(|n| n > 0)
    })
}

/// Whether the bounding set has the capability of this number (prctl(2) `PR_CAPBSET_READ`); `None` if the kernel does not
/// know it.
pub(crate) fn bounding_has(number: u32) -> Result<Option<bool>, Errno> {
    // SAFETY: no argument is an address, and nothing changes.
    match unsafe { call!(libc::SYS_prctl, libc::PR_CAPBSET_READ, number, 0, 0, 0) } {
        Ok(has) => Ok(Some(has == 1)),
        Err(Errno::EINVAL) => Ok(None),
        Err(e) => Err(e),
    }
}
