//! The system call instruction, without a C library. Shared with the init stub.

/// One system call: the kernel's answer as it is (an errno is negative).
///
/// Nothing but the kernel is involved, so this is good in a child that shares its parent's memory.
///
/// # Safety
/// As the manual page of the call says: addresses among the arguments are those of memory that the kernel may read or
/// write for as long as the call lasts (or longer: mmap(2), clone(2), io_setup(2), …), descriptors are the caller's.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let answer: i64;
    // SAFETY: the caller vouches for the arguments; the kernel changes rcx, r11 and memory it was given.
    unsafe {
        core::arch::asm!(
            "syscall", inlateout("rax") nr as i64 => answer, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    answer
}

/// One system call: the kernel's answer as it is (an errno is negative).
///
/// # Safety
/// As the manual page of the call says: addresses among the arguments are those of memory that the kernel may read or
/// write for as long as the call lasts (or longer: mmap(2), clone(2), io_setup(2), …), descriptors are the caller's.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let answer: i64;
    // SAFETY: the caller vouches for the arguments; the kernel changes x0 and memory it was given.
    unsafe {
        core::arch::asm!(
            "svc 0", in("x8") nr, inlateout("x0") a[0] as i64 => answer, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack)
        );
    }
    answer
}
