//! The system call instruction, without a C library. The init stub uses this file too.

/// One system call; an errno is returned as a negative number.
///
/// No C library is involved, so a child that shares its parent's memory can call it.
///
/// # Safety
/// The arguments are what the manual page of the call demands: an address is that of memory which the kernel may read or
/// write during the call (or longer: mmap(2), clone(2), io_setup(2), …), a descriptor is the caller's.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let answer: i64;
    // SAFETY: the caller vouches for the arguments; the kernel changes rcx, r11 and the memory that it is given.
    unsafe {
        core::arch::asm!(
            "syscall", inlateout("rax") nr as i64 => answer, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    answer
}

/// One system call; an errno is returned as a negative number.
///
/// # Safety
/// The arguments are what the manual page of the call demands: an address is that of memory which the kernel may read or
/// write during the call (or longer: mmap(2), clone(2), io_setup(2), …), a descriptor is the caller's.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) unsafe fn syscall(nr: u64, a: [u64; 6]) -> i64 {
    let answer: i64;
    // SAFETY: the caller vouches for the arguments; the kernel changes x0 and the memory that it is given.
    unsafe {
        core::arch::asm!(
            "svc 0", in("x8") nr, inlateout("x0") a[0] as i64 => answer, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack)
        );
    }
    answer
}

/// clone(2) or clone3(2) of a child that calls `run(argument)` on a stack of its own, and exits with status 0 if that
/// returns. The parent gets the child's number, or an errno as a negative number. `nr` is the call, `args` its arguments.
///
/// # Safety
/// The arguments are what the manual page of the call demands, and name a stack that only the child uses, aligned to 16
/// bytes. `run` is sound in such a child; with `CLONE_VM` it shares this process's memory.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn clone_on_stack(
    nr: u64,
    args: [u64; 5],
    run: unsafe extern "C" fn(u64),
    argument: u64,
) -> i64 {
    const SYS_EXIT: u32 = 60;
    let answer: i64;
    // SAFETY: the parent sees an ordinary system call. The child has the same registers except rax and rsp, which is the
    // end of its own stack.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r9",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            "2:",
            exit = const SYS_EXIT, inlateout("rax") nr as i64 => answer, in("rdi") args[0], in("rsi") args[1],
            in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") run, in("r12") argument,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// clone(2) or clone3(2) of a child that calls `run(argument)` on a stack of its own, and exits with status 0 if that
/// returns. The parent gets the child's number, or an errno as a negative number. `nr` is the call, `args` its arguments.
///
/// # Safety
/// The arguments are what the manual page of the call demands, and name a stack that only the child uses, aligned to 16
/// bytes. `run` is sound in such a child; with `CLONE_VM` it shares this process's memory.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn clone_on_stack(
    nr: u64,
    args: [u64; 5],
    run: unsafe extern "C" fn(u64),
    argument: u64,
) -> i64 {
    const SYS_EXIT: u32 = 93;
    let answer: i64;
    // SAFETY: as on x86_64: the child has the same registers except x0 and sp.
    unsafe {
        core::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x0, x10",
            "blr x9",
            "mov x8, {exit}",
            "mov x0, #0",
            "svc 0",
            "udf #0",
            "2:",
            exit = const SYS_EXIT, inlateout("x0") args[0] as i64 => answer, in("x1") args[1], in("x2") args[2],
            in("x3") args[3], in("x4") args[4], in("x8") nr, in("x9") run, in("x10") argument, lateout("x30") _,
        );
    }
    answer
}
