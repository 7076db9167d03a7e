//! Processes by pidfd: open, signal, wait, join their namespaces.

use super::{call, owned, retry};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With a status.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Exit {
    /// The shell's convention: the status, or 128 + the signal's number.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// pidfd_open(2).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    call!(libc::SYS_pidfd_open, pid, 0).map(owned)
}

/// pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: impl AsFd, signal: i32) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    call!(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, null, 0).map(drop)
}

/// pidfd_getfd(2): a copy of another process's descriptor.
pub fn pidfd_getfd(pidfd: impl AsFd, fd: i32) -> Result<OwnedFd, Errno> {
    call!(libc::SYS_pidfd_getfd, pidfd.as_fd().as_raw_fd(), fd, 0).map(owned)
}

/// waitid(2) on a pidfd; `None` where `block` is false and the process still runs.
pub fn wait(pidfd: impl AsFd, block: bool) -> Result<Option<Exit>, Errno> {
    const P_PIDFD: i32 = 3;
    let flags = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let null = std::ptr::null::<u8>();
    retry(|| call!(libc::SYS_waitid, P_PIDFD, pidfd.as_fd().as_raw_fd(), &raw mut info, flags, null))?;
    // SAFETY: waitid(2) filled the child fields, or left the zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        _ => Exit::Signal(status),
    }))
}

/// poll(2) until `fd` is readable (or, for a pidfd, the process has ended); `false` at the deadline.
pub fn poll_in(fd: impl AsFd, timeout_ms: i32) -> Result<bool, Errno> {
    let mut set = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    retry(|| {
        // SAFETY: one pollfd that lives through the call.
        Errno::result(unsafe { libc::poll(&raw mut set, 1, timeout_ms) }).map(|n| n > 0)
    })
}

/// setns(2) of the calling thread.
pub fn setns(fd: impl AsFd, flags: i32) -> Result<(), Errno> {
    call!(libc::SYS_setns, fd.as_fd().as_raw_fd(), flags).map(drop)
}

/// unshare(2) of the calling thread.
pub fn unshare(flags: i32) -> Result<(), Errno> {
    call!(libc::SYS_unshare, flags).map(drop)
}

/// Whether the kernel knows the capability of this number (prctl(2) `PR_CAPBSET_READ`).
pub fn knows_capability(number: u32) -> Result<bool, Errno> {
    match call!(libc::SYS_prctl, libc::PR_CAPBSET_READ, number, 0, 0, 0) {
        Ok(_) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(e) => Err(e),
    }
}
