//! What differs between processors: the entry point, the system call instruction, its numbers.

/// Numbers of the system calls that the stub itself makes (those of a plan come with it).
#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const CLONE: u64 = 56;
    pub const CLOSE: u64 = 3;
    pub const EXIT: u64 = 60;
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
    pub const EXIT: u64 = 93;
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

/// One system call: the kernel's answer as it is (an errno is negative).
#[inline]
pub fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    // SAFETY: the stub does what its blob says, and nothing else: what the host side has put there is what makes
    // every call of it a sound one.
    unsafe { raw::syscall(nr, a) }
}

/// Ends the process by an instruction that no processor knows.
pub fn trap() {
    // SAFETY: raises SIGILL (or SIGTRAP), which nobody here handles.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("ud2");
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("udf #0");
    }
}

/// What a thread does while it waits for another one.
pub use core::hint::spin_loop as pause;

/// clone(2) of a thread of this process, which calls `run(argument)` on the stack that ends at `stack`, and ends;
/// its number, or an errno.
///
/// # Safety
/// `stack` is aligned to 16 bytes, and what is below it is the thread's for good.
pub unsafe fn thread(stack: u64, run: unsafe extern "C" fn(u64), argument: u64) -> i64 {
    /// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM`
    const FLAGS: u64 = 0x5_0f00;
    let answer: i64;
    // SAFETY: the caller sees an ordinary system call; the thread has the same registers but the answer's
    // and the stack pointer.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "mov eax, {end}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            end = const nr::EXIT, inlateout("rax") nr::CLONE => answer, in("rdi") FLAGS, in("rsi") stack,
            in("rdx") 0, in("r10") 0, in("r8") run, in("r9") argument, lateout("rcx") _, lateout("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x0, x10",
            "blr x9",
            "mov x8, {end}",
            "mov x0, #0",
            "svc 0",
            "udf #0",
            "2:",
            end = const nr::EXIT, inlateout("x0") FLAGS => answer, in("x1") stack, in("x2") 0, in("x3") 0,
            in("x4") 0, in("x8") nr::CLONE, in("x9") run, in("x10") argument, lateout("x30") _,
        );
    }
    answer
}

/// clone(2) without a stack of its own for the child. The child returns with 0; the caller ends with status 0
/// where there is a child, and returns with an errno otherwise. `place` takes the child's number.
///
/// # Safety
/// With `CLONE_VM` nobody else uses this stack.
pub unsafe fn hand_over(flags: u64, place: u64) -> i64 {
    let answer: i64;
    // SAFETY: the child may use the stack at once, since this process touches no memory after the call.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jle 2f",
            "mov eax, {end}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            end = const nr::EXIT_GROUP, inlateout("rax") nr::CLONE => answer,
            inlateout("rdi") flags => _, in("rsi") 0, in("rdx") place, in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "svc 0",
            "cmp x0, #0",
            "b.le 2f",
            "mov x8, {end}",
            "mov x0, #0",
            "svc 0",
            "udf #0",
            "2:",
            end = const nr::EXIT_GROUP, inlateout("x0") flags => answer, in("x1") 0, in("x2") place, in("x3") 0,
            in("x4") 0, inlateout("x8") nr::CLONE => _,
        );
    }
    answer
}

/// The compiler calls these for copies and fills; without a C library they are ours.
mod memory {
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
        let mut i = 0;
        while i < n {
            // SAFETY: the caller promises `n` bytes at both; volatile keeps this loop from becoming memcpy.
            unsafe { to.add(i).write_volatile(*from.add(i)) };
            i += 1;
        }
        to
    }
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, n: usize) -> *mut u8 {
        let mut i = 0;
        while i < n {
            // SAFETY: the caller promises `n` bytes.
            unsafe { to.add(i).write_volatile(byte as u8) };
            i += 1;
        }
        to
    }
}
