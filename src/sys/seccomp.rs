//! seccomp(2): filters, and which actions and flags the kernel supports.

use super::syscall::call;
use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of classic BPF: `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip if a test is true.
    pub jt: u8,
    /// How many instructions to skip if it is false.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct SockFprog {
    length: u16,
    code: *const Instruction,
}

const SET_MODE_FILTER: u32 = 1;
const GET_ACTION_AVAIL: u32 = 2;
/// `SECCOMP_FILTER_FLAG_TSYNC`
const TSYNC: u32 = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: the call returns the listener's descriptor.
pub(crate) const NEW_LISTENER: u32 = 1 << 3;

/// `SECCOMP_FILTER_FLAG_TSYNC_ESRCH`: if a thread cannot be synchronised, the call fails with `ESRCH` instead of returning
/// the thread's id.
pub(crate) const TSYNC_ESRCH: u32 = 1 << 4;

/// Why a filter was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The call failed.
    Errno(Errno),
    /// With `SECCOMP_FILTER_FLAG_TSYNC`: this thread has a filter that the caller does not have.
    Thread(i32),
}

/// Installs a filter in the calling thread; the listener if `flags` has [`NEW_LISTENER`].
pub(crate) fn set_mode_filter(flags: u32, code: &[Instruction]) -> Result<Option<OwnedFd>, Refused> {
    let length = u16::try_from(code.len()).map_err(|_| Refused::Errno(Errno::EINVAL))?;
    let program = SockFprog { length, code: code.as_ptr() };
    let argument = &raw const program;
    // SAFETY: the program and its instructions outlive the call; the kernel copies them.
    let answer =
        unsafe { call!(libc::SYS_seccomp, SET_MODE_FILTER, flags, argument) }.map_err(Refused::Errno)?;
    if flags & NEW_LISTENER != 0 {
        // SAFETY: with NEW_LISTENER, a non-negative answer is a new descriptor without an owner.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(answer as i32) }));
    }
    match answer {
        0 => Ok(None),
        thread if flags & TSYNC != 0 => Err(Refused::Thread(thread as i32)),
        _ => Ok(None),
    }
}

/// Whether the kernel supports an action (`SECCOMP_RET_*`).
pub(crate) fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads the word.
    unsafe { call!(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, &raw const action) }.is_ok()
}

/// Whether the kernel supports these flags together. The call has no program, so nothing is installed.
pub(crate) fn flags_available(flags: u32) -> bool {
    let null = std::ptr::null::<SockFprog>();
    // SAFETY: the address is null.
    unsafe { call!(libc::SYS_seccomp, SET_MODE_FILTER, flags, null) == Err(Errno::EFAULT) }
}

/// prctl(PR_SET_NO_NEW_PRIVS) of the calling thread.
pub(crate) fn set_no_new_privs() -> Result<(), Errno> {
    // SAFETY: no argument is an address.
    unsafe { call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.map(drop)
}
