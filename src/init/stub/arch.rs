//! What depends on the processor: the entry point, the system call instruction, and the numbers of system calls.

/// Numbers of the system calls that the stub itself makes (a plan brings its own).
#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const CLONE: u64 = 56;
    pub const CLOSE: u64 = 3;
    pub const EXIT_GROUP: u64 = 231;
    pub const FCHMODAT: u64 = 268;
    pub const FCHOWNAT: u64 = 260;
    pub const FCNTL: u64 = 72;
    pub const FGETXATTR: u64 = 193;
    pub const FLISTXATTR: u64 = 196;
    pub const FSETXATTR: u64 = 190;
    pub const GETDENTS64: u64 = 217;
    pub const KILL: u64 = 62;
    pub const MUNMAP: u64 = 11;
    pub const MADVISE: u64 = 28;
    pub const MKDIRAT: u64 = 258;
    pub const MKNODAT: u64 = 259;
    pub const MMAP: u64 = 9;
    pub const NEWFSTATAT: u64 = 262;
    pub const OPENAT2: u64 = 437;
    pub const OPENAT: u64 = 257;
    pub const READLINKAT: u64 = 267;
    pub const RT_SIGTIMEDWAIT: u64 = 128;
    pub const SCHED_YIELD: u64 = 24;
    pub const SECCOMP: u64 = 317;
    pub const SENDFILE: u64 = 40;
    pub const SENDMSG: u64 = 46;
    pub const SYMLINKAT: u64 = 266;
    pub const UTIMENSAT: u64 = 280;
    pub const WAIT4: u64 = 61;
}
#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const CLONE: u64 = 220;
    pub const CLOSE: u64 = 57;
    pub const EXIT_GROUP: u64 = 94;
    pub const FCHMODAT: u64 = 53;
    pub const FCHOWNAT: u64 = 54;
    pub const FCNTL: u64 = 25;
    pub const FGETXATTR: u64 = 10;
    pub const FLISTXATTR: u64 = 13;
    pub const FSETXATTR: u64 = 7;
    pub const GETDENTS64: u64 = 61;
    pub const KILL: u64 = 129;
    pub const MUNMAP: u64 = 215;
    pub const MADVISE: u64 = 233;
    pub const MKDIRAT: u64 = 34;
    pub const MKNODAT: u64 = 33;
    pub const MMAP: u64 = 222;
    pub const NEWFSTATAT: u64 = 79;
    pub const OPENAT2: u64 = 437;
    pub const OPENAT: u64 = 56;
    pub const READLINKAT: u64 = 78;
    pub const RT_SIGTIMEDWAIT: u64 = 137;
    pub const SCHED_YIELD: u64 = 124;
    pub const SECCOMP: u64 = 277;
    pub const SENDFILE: u64 = 71;
    pub const SENDMSG: u64 = 211;
    pub const SYMLINKAT: u64 = 36;
    pub const UTIMENSAT: u64 = 88;
    pub const WAIT4: u64 = 260;
}

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call body",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "mov x0, sp", "bl body");

#[path = "../../sys/raw.rs"]
mod raw;

/// One system call; an errno is returned as a negative number.
#[inline]
pub fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    // SAFETY: the calls of a blob are sound because the host side has encoded them. The stub's own calls get addresses of
    // memory that the machine has checked, or that the calling function holds.
    unsafe { raw::syscall(nr, a) }
}

/// Kills the process by an illegal instruction.
pub fn trap() {
    // SAFETY: raises SIGILL (or SIGTRAP), for which the stub has no handler.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("udf #0");
    }
}

/// Tells the processor that this thread waits for another one.
pub use core::hint::spin_loop as pause;

/// clone(2) of a thread that calls `run(argument)` on the stack that ends at `stack`, and exits when that returns; the
/// thread's id, or an errno.
///
/// # Safety
/// `flags` are those of a thread. `stack` is aligned to 16 bytes, and the memory below it belongs to the thread alone.
pub unsafe fn thread(flags: u64, stack: u64, run: unsafe extern "C" fn(u64), argument: u64) -> i64 {
    // SAFETY: the caller vouches for the stack.
    unsafe { raw::clone_on_stack(nr::CLONE, [flags, stack, 0, 0, 0], run, argument) }
}

/// clone(2) of a child that continues on this stack: it returns 0, and the caller exits with status 0. If there is no
/// child, the caller returns the errno. The kernel stores the child's pid at `successor`.
///
/// # Safety
/// `flags` neither create a thread nor name an address other than `successor`. With `CLONE_VM`, no other thread uses this
/// stack.
pub unsafe fn hand_over(flags: u64, successor: u64) -> i64 {
    let answer: i64;
    // SAFETY: the child may use the stack at once, since the caller exits without touching memory.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jle 2f",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            exit = const nr::EXIT_GROUP, inlateout("rax") nr::CLONE => answer,
            inlateout("rdi") flags => _, in("rsi") 0, in("rdx") successor, in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "svc 0",
            "cmp x0, #0",
            "b.le 2f",
            "mov x8, {exit}",
            "mov x0, #0",
            "svc 0",
            "udf #0",
            "2:",
            exit = const nr::EXIT_GROUP, inlateout("x0") flags => answer, in("x1") 0, in("x2") successor, in("x3") 0,
            in("x4") 0, inlateout("x8") nr::CLONE => _,
        );
    }
    answer
}
