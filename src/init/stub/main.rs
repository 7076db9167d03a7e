//! The init stub: executes an encoded plan inside the new namespaces, then becomes the container's
//! process.
//!
//! Freestanding: no standard library, no heap, no strings. It is started as `orlop-init FD LENGTH`,
//! where FD holds the control page and a blob of that length (see `machine.rs`).
//!
//! # Safety
//! The blob comes from the host side of the same version of the same library through a descriptor
//! that nobody else has; its offsets were made by the encoder. The whole program is `unsafe` in the
//! sense that it believes the blob.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod arch;
mod aside;
mod copy;
#[path = "../../plan/machine.rs"]
#[allow(dead_code)]
mod machine;
mod path;
mod reap;

use arch::{nr, syscall};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Release};
use machine::{ANY, BLOB, Header, Insn, NO_CALL, REGISTERS, compare, control, kind, op, state};

/// The control page, mapped shared.
#[derive(Clone, Copy)]
struct Control(*mut u8);

impl Control {
    fn set(self, offset: usize, value: u32) {
        // SAFETY: `offset` is one of `control`, inside the mapped page, and a multiple of four.
        unsafe { &*self.0.add(offset).cast::<AtomicU32>() }.store(value, Release);
    }
}

/// Says which step failed through the control page, which needs no system call, and ends.
fn fail(control: Control, step: u16, call: u32, errno: u32, detail: u32) -> ! {
    control.set(control::STEP, u32::from(step));
    control.set(control::CALL, call);
    control.set(control::ERRNO, errno);
    control.set(control::DETAIL, detail);
    control.set(control::STATE, state::FAILED);
    exit(1)
}

fn exit(status: i32) -> ! {
    loop {
        syscall(nr::EXIT_GROUP, [status as u64, 0, 0, 0, 0, 0]);
        // Under a filter that does not even allow this.
        arch::trap();
    }
}

/// Goes on as a new process; see [`op::HAND_OVER`].
fn hand_over(control: Control, step: u16, flags: u64) {
    const CLONE_VM: u64 = 0x100;
    const CLONE_PARENT_SETTID: u64 = 0x10_0000;
    const EINVAL: i64 = 22;
    // SAFETY: the word lies in the mapped page.
    let place = unsafe { control.0.add(control::PID) } as u64;
    let flags = flags | CLONE_PARENT_SETTID;
    // SAFETY: this process touches its memory no more once there is another one to go on in it.
    let mut answer = unsafe { arch::hand_over(flags | CLONE_VM, place) };
    if answer == -EINVAL {
        // Nobody shares memory across time namespaces.
        // SAFETY: as above; the child has a copy.
        answer = unsafe { arch::hand_over(flags, place) };
    }
    if answer < 0 {
        fail(control, step, nr::CLONE as u32, -answer as u32, 0);
    }
}

struct Machine {
    base: *mut u8,
    control: Control,
    registers: [i64; REGISTERS],
}

impl Machine {
    #[inline]
    fn value(&self, insn: &Insn, i: usize) -> u64 {
        // SAFETY: `i` is below six everywhere; register numbers come from the encoder.
        unsafe {
            let raw = *insn.args.get_unchecked(i);
            match *insn.kinds.get_unchecked(i) {
                kind::DATA => self.base.add(raw as usize) as u64,
                kind::REGISTER => *self.registers.get_unchecked(raw as usize) as u64,
                _ => raw,
            }
        }
    }

    fn set(&mut self, register: u8, value: i64) {
        // SAFETY: register numbers come from the encoder, which knows how many there are.
        unsafe { *self.registers.get_unchecked_mut(register as usize) = value };
    }

    fn call(&mut self, insn: &Insn) {
        let mut args = [0; 6];
        let mut i = 0;
        while i < 6 {
            // SAFETY: `i` is below six.
            unsafe { *args.get_unchecked_mut(i) = self.value(insn, i) };
            i += 1;
        }
        let mut answer = syscall(u64::from(insn.nr), args);
        if (-4095..0).contains(&answer) {
            let errno = -answer as u16;
            if !insn.tolerate.contains(&errno) && !insn.tolerate.contains(&ANY) {
                fail(self.control, insn.step, u32::from(insn.nr), u32::from(errno), 0);
            }
            answer = -i64::from(errno);
        }
        self.set(insn.dst, answer);
    }

    fn jumps(&self, insn: &Insn) -> bool {
        let (a, b) = (self.value(insn, 0) as i64, self.value(insn, 1) as i64);
        match insn.nr {
            compare::EQUAL => a == b,
            compare::NOT_EQUAL => a != b,
            compare::LESS => a < b,
            compare::GREATER_EQUAL => a >= b,
            _ => true,
        }
    }

    fn load(&self, insn: &Insn) -> i64 {
        let at = self.value(insn, 0) as *const u8;
        // SAFETY: the address lies in the blob, or is one the kernel has given.
        let raw = unsafe {
            match insn.nr {
                1 => u64::from(*at),
                2 => u64::from(ptr::read_unaligned(at.cast::<u16>())),
                4 => u64::from(ptr::read_unaligned(at.cast::<u32>())),
                _ => ptr::read_unaligned(at.cast::<u64>()),
            }
        };
        (raw & self.value(insn, 1)) as i64
    }

    fn store(&self, insn: &Insn) {
        let (at, value) = (self.value(insn, 0) as *mut u8, self.value(insn, 1));
        // SAFETY: the address lies in the blob, which is a private writable mapping.
        unsafe {
            match insn.nr {
                1 => *at = value as u8,
                2 => ptr::write_unaligned(at.cast::<u16>(), value as u16),
                4 => ptr::write_unaligned(at.cast::<u32>(), value as u32),
                _ => ptr::write_unaligned(at.cast::<u64>(), value),
            }
        }
    }

    fn step(&mut self, insn: &Insn, next: &mut usize) {
        match insn.op {
            op::CALL => self.call(insn),
            op::MOVE => self.set(insn.dst, self.value(insn, 0) as i64),
            op::ADD => {
                // SAFETY: register numbers come from the encoder.
                let old = unsafe { *self.registers.get_unchecked(insn.dst as usize) };
                self.set(insn.dst, old.wrapping_add(self.value(insn, 0) as i64));
            }
            op::JUMP => {
                if self.jumps(insn) {
                    *next = self.value(insn, 2) as usize;
                }
            }
            op::LOAD => self.set(insn.dst, self.load(insn)),
            op::STORE => self.store(insn),
            op::FAIL => {
                let (errno, detail) = (self.value(insn, 0) as u32, self.value(insn, 1) as u32);
                fail(self.control, insn.step, NO_CALL, errno, detail)
            }
            op::MAKE_PATH => {
                let root = self.value(insn, 0) as i32;
                let name = self.value(insn, 1) as *const u8;
                match path::make(root, name, self.value(insn, 2), self.value(insn, 3) as u32) {
                    Ok(fd) => self.set(insn.dst, fd),
                    Err((call, errno)) => fail(self.control, insn.step, call, errno, 0),
                }
            }
            op::COPY_TREE => {
                if let Err((call, errno)) = copy::tree(self.value(insn, 0), self.value(insn, 1)) {
                    fail(self.control, insn.step, call, errno, 0);
                }
            }
            op::LISTENER => {
                let mut args = [0; 6];
                let mut i = 0;
                while i < 6 {
                    // SAFETY: `i` is below six.
                    unsafe { *args.get_unchecked_mut(i) = self.value(insn, i) };
                    i += 1;
                }
                match aside::listener(args) {
                    Ok(fd) => self.set(insn.dst, fd),
                    Err((call, errno)) => fail(self.control, insn.step, call, errno, 0),
                }
            }
            op::STATE => self.control.set(control::STATE, self.value(insn, 0) as u32),
            op::HAND_OVER => hand_over(self.control, insn.step, self.value(insn, 0)),
            op::INIT => exit(reap::stay(self.value(insn, 0) as i32)),
            _ => fail(self.control, insn.step, NO_CALL, 38, 0),
        }
    }
}

fn map(fd: u64, length: u64, shared: bool, offset: u64) -> *mut u8 {
    let answer = syscall(nr::MMAP, [0, length, 3, if shared { 1 } else { 2 }, fd, offset]);
    if (-4095..0).contains(&answer) {
        exit(126);
    }
    answer as *mut u8
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
    let control = Control(map(fd, BLOB as u64, true, 0));
    let base = map(fd, number(stack, 2), false, BLOB as u64);
    // SAFETY: a blob begins with its header, and its file is padded to whole pages.
    let header = unsafe { &*base.cast::<Header>() };
    if header.magic != machine::MAGIC {
        exit(126);
    }
    let mut machine = Machine { base, control, registers: [0; REGISTERS] };
    let mut i = 0;
    while i < REGISTERS {
        // SAFETY: both arrays have this length.
        unsafe { *machine.registers.get_unchecked_mut(i) = i64::from(*header.preset.get_unchecked(i)) };
        i += 1;
    }
    execute(&mut machine, header);
    exit(0)
}

fn execute(machine: &mut Machine, header: &Header) {
    // SAFETY: the instructions follow the header.
    let code = unsafe { machine.base.add(size_of::<Header>()) }.cast::<Insn>();
    let (mut at, mut step) = (0, u16::MAX);
    while at < header.count as usize {
        // SAFETY: below `count`.
        let insn = unsafe { &*code.add(at) };
        at += 1;
        if insn.step != step {
            step = insn.step;
            machine.control.set(control::STEP, u32::from(step));
            if header.fault == u32::from(step) {
                fail(machine.control, step, NO_CALL, 5, 0);
            }
        }
        machine.step(insn, &mut at);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(125)
}
