//! The operation `LISTENER`: loads a filter that notifies. A thread that is not under the filter sends the listener,
//! since the agent, which has to answer for the filter, does not have it yet.

use super::abi::{
    CLONE_FILES, CLONE_FS, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM, ETIMEDOUT, MSG_NOSIGNAL,
    SECCOMP_SET_MODE_FILTER,
};
use super::arch::{nr, pause, syscall, thread};
use super::call::{checked, result};
use super::machine::LISTENER_STACK;
use super::walk::CallFailure;
use core::sync::atomic::{AtomicI64, Ordering::Acquire, Ordering::Release};

/// How many turns the waiting loop makes: some seconds. The thread makes only one system call.
const SPIN_LIMIT: u32 = 1 << 28;

const THREAD_FLAGS: u64 = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

/// What the two threads tell each other. It lies at the lower end of the thread's stack.
#[repr(C)]
struct Shared {
    /// 1: the message is complete. Below 0: there is none.
    ready: AtomicI64,
    /// 1: the message was sent. Below 0: the errno.
    sent: AtomicI64,
    socket: u64,
    message: u64,
}

const _: () = assert!(size_of::<Shared>() <= LISTENER_STACK / 4, "the thread needs the rest of the stack");

/// The memory of the thread.
pub struct ThreadStack(*mut u8);

impl ThreadStack {
    /// `None` unless the address is a multiple of eight.
    ///
    /// # Safety
    /// [`LISTENER_STACK`] bytes from there on are writable until execve(2), and nothing else uses them.
    pub unsafe fn new(start: *mut u8) -> Option<Self> {
        (start as usize).is_multiple_of(align_of::<Shared>()).then_some(Self(start))
    }
}

/// What is loaded and sent.
pub struct Request {
    /// The flags of seccomp(2).
    pub flags: u64,
    /// The address of the `struct sock_fprog`.
    pub program: u64,
    /// The socket.
    pub socket: u64,
    /// The address of the message (`struct msghdr`) that carries the listener.
    pub message: u64,
}

/// Loads the filter, and waits until the listener is sent. `store` writes the listener's number into the message. Once
/// the filter is loaded, this thread makes no system call.
pub fn load(request: &Request, stack: ThreadStack, store: impl FnOnce(i32)) -> Result<i64, CallFailure> {
    let start = stack.0;
    let shared = start.cast::<Shared>();
    let (ready, sent) = (AtomicI64::new(0), AtomicI64::new(0));
    // SAFETY: a `ThreadStack` has room for it, is aligned, and is used by nothing else.
    unsafe { shared.write(Shared { ready, sent, socket: request.socket, message: request.message }) };
    // SAFETY: written above; both threads use it by shared references.
    let shared = unsafe { &*shared };
    let top = (start as u64 + LISTENER_STACK as u64) & !15;
    // SAFETY: the thread grows its stack down from the end of the same memory, which lasts until execve(2) ends it.
    let cloned = unsafe { thread(THREAD_FLAGS, top, send, start as u64) };
    result(nr::CLONE, cloned)?;
    let loaded = checked(nr::SECCOMP, [SECCOMP_SET_MODE_FILTER, request.flags, request.program, 0, 0, 0]);
    let listener = loaded.inspect_err(|_| shared.ready.store(-1, Release))?;
    store(listener as i32);
    shared.ready.store(1, Release);
    let mut left = SPIN_LIMIT;
    while left > 0 {
        match shared.sent.load(Acquire) {
            0 => pause(),
            answer => return result(nr::SENDMSG, answer).map(|_| listener),
        }
        left -= 1;
    }
    Err(CallFailure { call: nr::SENDMSG as u32, errno: ETIMEDOUT })
}

/// The thread.
///
/// # Safety
/// `shared` is the address of a [`Shared`] that outlives the thread.
unsafe extern "C" fn send(shared: u64) {
    // SAFETY: the caller vouches for it.
    let shared = unsafe { &*(shared as *const Shared) };
    let mut ready = 0;
    while ready == 0 {
        ready = shared.ready.load(Acquire);
        if ready == 0 {
            syscall(nr::SCHED_YIELD, [0; 6]);
        }
    }
    if ready > 0 {
        let answer = syscall(nr::SENDMSG, [shared.socket, shared.message, MSG_NOSIGNAL, 0, 0, 0]);
        shared.sent.store(if answer < 0 { answer } else { 1 }, Release);
    }
}
