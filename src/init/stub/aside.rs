//! The listener of a filter that notifies, sent by a thread which is not under that filter: its agent, who
//! is to answer what the filter asks, does not have it yet.

use super::arch::{nr, pause, syscall, thread};
use super::machine::ASIDE_STACK;
use super::walk::Failure;
use core::sync::atomic::{AtomicI64, Ordering::Acquire, Ordering::Release};

const SECCOMP_SET_MODE_FILTER: u64 = 1;
const MSG_NOSIGNAL: u64 = 0x4000;
const ETIMEDOUT: u32 = 110;
/// Some seconds: the thread has one system call to make.
const PATIENCE: u32 = 1 << 28;

/// What the two threads tell each other. It lies at the lower end of the thread's stack.
#[repr(C)]
struct Shared {
    /// 1: the message is complete; below 0: there is none.
    ready: AtomicI64,
    /// 1: it is sent; below 0: the errno.
    sent: AtomicI64,
    socket: u64,
    message: u64,
}

/// Loads the filter: see `op::LISTENER`. After it is loaded no system call is made here.
pub fn listener([flags, program, place, socket, message, stack]: [u64; 6]) -> Result<i64, Failure> {
    let shared = stack as *mut Shared;
    // SAFETY: the blob has that much room there, aligned to eight bytes, which nobody uses yet.
    unsafe { shared.write(Shared { ready: AtomicI64::new(0), sent: AtomicI64::new(0), socket, message }) };
    // SAFETY: as above; the thread uses it alike.
    let words = unsafe { &*shared };
    let top = (stack + ASIDE_STACK as u64) & !15;
    // SAFETY: the upper part of the same room; it stays there until execve ends the thread.
    let made = unsafe { thread(top, send, stack) };
    if made < 0 {
        return Err(Failure { call: nr::CLONE as u32, errno: -made as u32 });
    }
    let fd = syscall(nr::SECCOMP, [SECCOMP_SET_MODE_FILTER, flags, program, 0, 0, 0]);
    if fd < 0 {
        words.ready.store(-1, Release);
        return Err(Failure { call: nr::SECCOMP as u32, errno: -fd as u32 });
    }
    // SAFETY: the place of the descriptor in the message.
    unsafe { (place as *mut i32).write_unaligned(fd as i32) };
    words.ready.store(1, Release);
    let mut left = PATIENCE;
    while left > 0 {
        match words.sent.load(Acquire) {
            0 => pause(),
            1 => return Ok(fd),
            errno => return Err(Failure { call: nr::SENDMSG as u32, errno: -errno as u32 }),
        }
        left -= 1;
    }
    Err(Failure { call: nr::SENDMSG as u32, errno: ETIMEDOUT })
}

/// The thread.
///
/// # Safety
/// `shared` is the address of a [`Shared`].
unsafe extern "C" fn send(shared: u64) {
    // SAFETY: see `listener`.
    let words = unsafe { &*(shared as *const Shared) };
    let mut ready = 0;
    while ready == 0 {
        ready = words.ready.load(Acquire);
        if ready == 0 {
            syscall(nr::SCHED_YIELD, [0; 6]);
        }
    }
    if ready > 0 {
        let answer = syscall(nr::SENDMSG, [words.socket, words.message, MSG_NOSIGNAL, 0, 0, 0]);
        words.sent.store(if answer < 0 { answer } else { 1 }, Release);
    }
}
