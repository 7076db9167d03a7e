//! The replacement of `src/init/stub/arch.rs`: system calls go to [`Kernel`].

use super::super::kernel::{End, KERNEL, Kernel, Outcome};

/// The numbers of this architecture, with the names of the stub's own table.
pub mod nr {
    pub const CLONE: u64 = libc::SYS_clone as u64;
    pub const CLOSE: u64 = libc::SYS_close as u64;
    pub const EXIT_GROUP: u64 = libc::SYS_exit_group as u64;
    pub const FCHMODAT: u64 = libc::SYS_fchmodat as u64;
    pub const FCHOWNAT: u64 = libc::SYS_fchownat as u64;
    pub const FGETXATTR: u64 = libc::SYS_fgetxattr as u64;
    pub const FLISTXATTR: u64 = libc::SYS_flistxattr as u64;
    pub const FSETXATTR: u64 = libc::SYS_fsetxattr as u64;
    pub const GETDENTS64: u64 = libc::SYS_getdents64 as u64;
    pub const KILL: u64 = libc::SYS_kill as u64;
    pub const MKDIRAT: u64 = libc::SYS_mkdirat as u64;
    pub const MKNODAT: u64 = libc::SYS_mknodat as u64;
    pub const MUNMAP: u64 = libc::SYS_munmap as u64;
    pub const NEWFSTATAT: u64 = libc::SYS_newfstatat as u64;
    pub const OPENAT2: u64 = libc::SYS_openat2 as u64;
    pub const OPENAT: u64 = libc::SYS_openat as u64;
    pub const READLINKAT: u64 = libc::SYS_readlinkat as u64;
    pub const RT_SIGTIMEDWAIT: u64 = libc::SYS_rt_sigtimedwait as u64;
    pub const SCHED_YIELD: u64 = libc::SYS_sched_yield as u64;
    pub const SECCOMP: u64 = libc::SYS_seccomp as u64;
    pub const SENDFILE: u64 = libc::SYS_sendfile as u64;
    pub const SENDMSG: u64 = libc::SYS_sendmsg as u64;
    pub const SYMLINKAT: u64 = libc::SYS_symlinkat as u64;
    pub const UTIMENSAT: u64 = libc::SYS_utimensat as u64;
    pub const WAIT4: u64 = libc::SYS_wait4 as u64;
}

/// Makes a call of the simulated kernel, and leaves the interpreter if that ends it.
fn ask(question: impl FnOnce(&mut Kernel) -> Outcome) -> i64 {
    match KERNEL.with_borrow_mut(question) {
        Outcome::Answer(answer) => answer,
        // This does not run the panic hook.
        Outcome::End(end) => std::panic::resume_unwind(Box::new(end)),
    }
}

pub fn syscall(nr: u64, args: [u64; 6]) -> i64 {
    ask(|kernel| kernel.call(nr, args))
}

pub fn trap() {
    panic!("exit_group(2) has returned");
}

/// Lets the thread run, if there is one.
pub fn pause() {
    if let Some((run, argument)) = KERNEL.with_borrow_mut(Kernel::begin_thread) {
        // SAFETY: the interpreter has created this thread.
        unsafe { run(argument) };
        KERNEL.with_borrow_mut(Kernel::end_thread);
    } else {
        ask(Kernel::wait);
    }
}

/// A thread, which runs when the other one waits.
///
/// # Safety
/// As in the stub.
pub unsafe fn thread(_: u64, stack: u64, run: unsafe extern "C" fn(u64), argument: u64) -> i64 {
    ask(|kernel| kernel.thread(stack, run, argument))
}

/// The result of clone(2) in the child, or an errno; in the parent the run ends.
///
/// # Safety
/// As in the stub.
pub unsafe fn hand_over(flags: u64, place: u64) -> i64 {
    ask(|kernel| match kernel.hand_over(flags, place) {
        answer if answer > 0 => Outcome::End(End::Exit(0)),
        answer => Outcome::Answer(answer),
    })
}
