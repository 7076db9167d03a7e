//! The init stub: executes an encoded plan inside the new namespaces, then becomes the container's
//! process.
//!
//! Freestanding: no standard library, no heap, no strings. It is started as `orlop-init FD LENGTH`,
//! where FD holds the control page and a blob of that length (see `machine.rs`).
//!
//! # Safety
//! The blob comes from the host side of the same version of the same library through a descriptor
//! that no other program has. Registers, jumps, and all addresses that the machine itself reads or writes are
//! checked against their bounds all the same; what system calls are made, with what, is the blob's to say.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod arch;
mod aside;
mod copy;
mod interpreter;
#[path = "../../plan/machine.rs"]
#[allow(dead_code)]
mod machine;
mod mem;
mod path;
mod reap;
#[path = "../../mount/walk.rs"]
mod walk;

use arch::{nr, syscall};
use interpreter::{Control, Machine, exit};
use machine::{BLOB, PAGE, SUCCESSOR};

fn map(fd: u64, length: u64, shared: bool, offset: u64) -> *mut u8 {
    let answer = syscall(nr::MMAP, [0, length, 3, if shared { 1 } else { 2 }, fd, offset]);
    if (-4095..0).contains(&answer) {
        exit(126);
    }
    answer as *mut u8
}

/// Nothing but this process's own memory leads to the shared pages from now on.
fn seal(fd: u64) {
    const F_ADD_SEALS: u64 = 1033;
    /// `F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE`
    const SEALS: u64 = 0x17;
    if syscall(nr::FCNTL, [fd, F_ADD_SEALS, SEALS, 0, 0, 0]) < 0 {
        exit(126);
    }
}

/// A process that this one clones does not have the page.
fn keep_from_children(page: u64) {
    const MADV_DONTFORK: u64 = 10;
    if syscall(nr::MADVISE, [page, PAGE as u64, MADV_DONTFORK, 0, 0, 0]) < 0 {
        exit(126);
    }
}

/// The digits of argument `index`.
fn number(stack: *const u64, index: usize) -> u64 {
    // SAFETY: the kernel puts argc, then argv, on the stack of a new program; the launcher gives
    // three arguments.
    let mut digits = unsafe { *stack.add(1 + index) } as *const u8;
    let mut n = 0;
    loop {
        // SAFETY: the string ends with a zero byte.
        let digit = unsafe { *digits };
        if !digit.is_ascii_digit() {
            return n;
        }
        n = n * 10 + u64::from(digit - b'0');
        // SAFETY: not at the end yet.
        digits = unsafe { digits.add(1) };
    }
}

/// Called by `_start` with the first stack pointer.
///
/// # Safety
/// `stack` is the process's first stack pointer.
#[unsafe(no_mangle)]
unsafe extern "C" fn body(stack: *const u64) -> ! {
    let fd = number(stack, 1);
    let shared = map(fd, BLOB as u64, true, 0);
    // SAFETY: the first page stays mapped, and the second one until it is forgotten.
    let (successor, control) =
        unsafe { (shared.add(SUCCESSOR), Control::new(shared, shared.add(SUCCESSOR))) };
    let length = number(stack, 2) as usize;
    let base = map(fd, length as u64, false, BLOB as u64);
    seal(fd);
    // SAFETY: a mapping has whole pages, and a header is shorter than one.
    let Some(mut machine) = (unsafe { Machine::new(base, length, control) }) else { exit(126) };
    if machine.hands_over() {
        keep_from_children(successor as u64);
    } else {
        control.forget_successor(0);
    }
    while machine.advance() {}
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(125)
}
