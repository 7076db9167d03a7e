//! The init stub: executes an encoded plan inside the new namespaces, then becomes the container's process.
//!
//! It is freestanding: no standard library, no heap, no strings. It is started as `orlop-init FD LENGTH`; the file FD holds
//! the control page and a blob of that length (see `machine.rs`).
//!
//! `interpreter` executes instructions. The operations that make several system calls have a file each: `make_path`,
//! `copy_tree`, `listener` and `pid_one`. These use `call` and `abi`; `arch` and `memory` replace a C library.
//!
//! # Safety
//! The blob comes from the host side of the same version of the library, through a descriptor that no other program has.
//! Registers, jumps, and all addresses that the machine itself reads or writes are checked nevertheless. The blob decides
//! which system calls are made, and with which arguments.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod abi;
mod arch;
mod call;
mod copy_tree;
mod interpreter;
mod listener;
#[path = "../../plan/machine.rs"]
#[allow(dead_code)]
mod machine;
mod make_path;
mod memory;
mod pid_one;
#[path = "../../mount/walk.rs"]
mod walk;

use abi::{
    F_ADD_SEALS, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, MADV_DONTFORK, MAP_PRIVATE,
    MAP_SHARED, PROT_READ, PROT_WRITE,
};
use arch::nr;
use call::checked;
use interpreter::{Machine, SharedPages, exit};
use machine::{BLOB, PAGE, SUCCESSOR};
use walk::Buffers;

/// The walk's buffers, which are too large for the stack. [`body`] alone uses them.
static mut BUFFERS: Buffers = Buffers::new();

/// A system call without which the stub cannot start.
fn required(number: u64, args: [u64; 6]) -> i64 {
    match checked(number, args) {
        Ok(answer) => answer,
        Err(_) => exit(126),
    }
}

fn map(fd: u64, length: u64, sharing: u64, offset: u64) -> *mut u8 {
    required(nr::MMAP, [0, length, PROT_READ | PROT_WRITE, sharing, fd, offset]) as *mut u8
}

/// Makes the mappings the only way to write to the shared pages.
fn seal(fd: u64) {
    let seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
    required(nr::FCNTL, [fd, F_ADD_SEALS, seals, 0, 0, 0]);
}

/// Leaves the page for the second process's pid mapped only in the process that clones that one.
fn protect_successor(page: u64, shared: SharedPages<'_>, hands_over: bool) {
    if hands_over {
        required(nr::MADVISE, [page, PAGE as u64, MADV_DONTFORK, 0, 0, 0]);
    } else if shared.unmap_successor().is_err() {
        exit(126);
    }
}

/// The decimal number at the beginning of argument `index`.
///
/// # Safety
/// `stack` is the process's first stack pointer.
unsafe fn number(stack: *const u64, index: usize) -> u64 {
    // SAFETY: the kernel puts argc, and then as many pointers to strings, on the stack of a new program.
    let mut digits = unsafe {
        if index as u64 >= *stack {
            exit(126);
        }
        *stack.add(1 + index) as *const u8
    };
    let mut n = 0;
    loop {
        // SAFETY: the string ends with a zero byte, which is not a digit.
        let digit = unsafe { *digits };
        if !digit.is_ascii_digit() {
            return n;
        }
        n = n * 10 + u64::from(digit - b'0');
        // SAFETY: the string does not end with a digit.
        digits = unsafe { digits.add(1) };
    }
}

/// Called by `_start` with the first stack pointer.
///
/// # Safety
/// `stack` is the process's first stack pointer. This is called once.
#[unsafe(no_mangle)]
unsafe extern "C" fn body(stack: *const u64) -> ! {
    // SAFETY: the caller vouches for the stack pointer.
    let (fd, length) = unsafe { (number(stack, 1), number(stack, 2)) };
    let control = map(fd, BLOB as u64, MAP_SHARED, 0);
    // SAFETY: both pages are in the mapping; the first one lasts as long as the process, and nothing refers to the other.
    let (successor, shared) = unsafe {
        let successor = control.add(SUCCESSOR) as u64;
        (successor, SharedPages::new(control, successor))
    };
    let base = map(fd, length, MAP_PRIVATE, BLOB as u64);
    seal(fd);
    // SAFETY: this function is called once, and nothing else names the buffers.
    let buffers = unsafe { &mut *(&raw mut BUFFERS) };
    // SAFETY: the mapping has so many bytes, is private, and lasts as long as the process.
    let Some(mut machine) = (unsafe { Machine::new(base, length as usize, shared, buffers) }) else { exit(126) };
    protect_successor(successor, shared, machine.hands_over());
    while machine.advance() {}
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(125)
}
