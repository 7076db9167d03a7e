//! The init stub: executes an encoded plan inside the new namespaces, then becomes the container's
//! process.
//!
//! Freestanding: no standard library, no heap, no strings. It is started as `orlop-init FD LENGTH`,
//! where FD holds the control page and a blob of that length (see `machine.rs`).
//!
//! # Safety
//! The blob comes from the host side of the same version of the same library through a descriptor
//! that no other program has. Registers, jumps, and the addresses of loads, stores and paths are checked
//! against their bounds all the same; what system calls are made, with what, is the blob's to say.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod arch;
mod aside;
mod copy;
#[path = "../../plan/machine.rs"]
#[allow(dead_code)]
mod machine;
mod mem;
mod path;
mod reap;
#[path = "../../mount/walk.rs"]
mod walk;

use arch::{nr, syscall};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Release};
use machine::{ANY, BLOB, Header, Insn, NO_CALL, REGISTERS, compare, control, kind, op, state};
use walk::Failure;

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
    let mut answer = unsafe { arch::hand_over(flags, place) };
    if answer == -EINVAL && flags & CLONE_VM != 0 {
        // Nobody shares memory across time namespaces.
        // SAFETY: as above; the child has a copy.
        answer = unsafe { arch::hand_over(flags & !CLONE_VM, place) };
    }
    if answer < 0 {
        fail(control, step, nr::CLONE as u32, -answer as u32, 0);
    }
}

/// What a check of the machine's own fails with.
const EFAULT: u32 = 14;

struct Machine {
    base: *mut u8,
    length: usize,
    control: Control,
    registers: [i64; REGISTERS],
}

impl Machine {
    /// Ends a machine whose blob says something that cannot be.
    fn bad(&self, insn: &Insn) -> ! {
        fail(self.control, insn.step, NO_CALL, EFAULT, 0)
    }

    #[inline]
    fn value(&self, insn: &Insn, i: usize) -> u64 {
        // SAFETY: `i` is below six everywhere.
        let (kind, raw) = unsafe { (*insn.kinds.get_unchecked(i), *insn.args.get_unchecked(i)) };
        match kind {
            kind::DATA if raw < self.length as u64 => self.base as u64 + raw,
            kind::REGISTER => match self.registers.get(raw as usize) {
                Some(value) => *value as u64,
                None => self.bad(insn),
            },
            kind::IMMEDIATE => raw,
            _ => self.bad(insn),
        }
    }

    fn set(&mut self, insn: &Insn, value: i64) {
        match self.registers.get_mut(insn.dst as usize) {
            Some(register) => *register = value,
            None => self.bad(insn),
        }
    }

    /// The blob's bytes from an address on.
    fn bytes(&self, insn: &Insn, i: usize) -> &[u8] {
        let at = self.value(insn, i).wrapping_sub(self.base as u64) as usize;
        if at >= self.length {
            self.bad(insn);
        }
        // SAFETY: from `at` up to the blob's end, which is mapped.
        unsafe { core::slice::from_raw_parts(self.base.add(at), self.length - at) }
    }

    /// The address of `width` bytes of the blob.
    fn address(&self, insn: &Insn, width: usize) -> *mut u8 {
        let bytes = self.bytes(insn, 0);
        if bytes.len() < width {
            self.bad(insn);
        }
        bytes.as_ptr().cast_mut()
    }

    fn arguments(&self, insn: &Insn) -> [u64; 6] {
        let mut args = [0; 6];
        let mut i = 0;
        for place in &mut args {
            *place = self.value(insn, i);
            i += 1;
        }
        args
    }

    fn call(&mut self, insn: &Insn) {
        let args = self.arguments(insn);
        let mut answer = match u64::from(insn.nr) {
            nr::OPENAT2 => path::openat2(args),
            number => syscall(number, args),
        };
        if (-4095..0).contains(&answer) {
            let errno = -answer as u16;
            if !insn.tolerate.contains(&errno) && !insn.tolerate.contains(&ANY) {
                fail(self.control, insn.step, u32::from(insn.nr), u32::from(errno), 0);
            }
            answer = -i64::from(errno);
        }
        self.set(insn, answer);
    }

    fn jumps(&self, insn: &Insn) -> bool {
        let (a, b) = (self.value(insn, 0) as i64, self.value(insn, 1) as i64);
        match insn.nr {
            compare::EQUAL => a == b,
            compare::NOT_EQUAL => a != b,
            compare::LESS => a < b,
            compare::GREATER_EQUAL => a >= b,
            compare::NOT_BELOW => a as u64 >= b as u64,
            _ => true,
        }
    }

    fn load(&self, insn: &Insn) -> i64 {
        let at = self.address(insn, 8).cast_const();
        // SAFETY: eight bytes of the blob are there.
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
        let (at, value) = (self.address(insn, 8), self.value(insn, 1));
        // SAFETY: eight bytes of the blob are there, which is a private writable mapping.
        unsafe {
            match insn.nr {
                1 => *at = value as u8,
                2 => ptr::write_unaligned(at.cast::<u16>(), value as u16),
                4 => ptr::write_unaligned(at.cast::<u32>(), value as u32),
                _ => ptr::write_unaligned(at.cast::<u64>(), value),
            }
        }
    }

    /// What an operation of several system calls says.
    fn done(&mut self, insn: &Insn, answer: Result<i64, Failure>) {
        match answer {
            Ok(value) => self.set(insn, value),
            Err(failure) => fail(self.control, insn.step, failure.call, failure.errno, 0),
        }
    }

    fn step(&mut self, insn: &Insn, next: &mut usize) {
        match insn.op {
            op::CALL => self.call(insn),
            op::MOVE => self.set(insn, self.value(insn, 0) as i64),
            op::ADD => {
                let Some(old) = self.registers.get(insn.dst as usize) else { self.bad(insn) };
                self.set(insn, old.wrapping_add(self.value(insn, 0) as i64));
            }
            op::JUMP => {
                if self.jumps(insn) {
                    *next = self.value(insn, 2) as usize;
                }
            }
            op::LOAD => self.set(insn, self.load(insn)),
            op::STORE => self.store(insn),
            op::FAIL => {
                let (errno, detail) = (self.value(insn, 0) as u32, self.value(insn, 1) as u32);
                fail(self.control, insn.step, NO_CALL, errno, detail)
            }
            op::MAKE_PATH => {
                let (root, kind) = (self.value(insn, 0) as i32, self.value(insn, 2));
                let made = path::make(root, self.bytes(insn, 1), kind, self.value(insn, 3) as u32);
                self.done(insn, made);
            }
            op::COPY_TREE => {
                let copied = copy::tree(self.value(insn, 0), self.value(insn, 1));
                self.done(insn, copied.map(|()| 0));
            }
            op::LISTENER => {
                let sent = aside::listener(self.arguments(insn));
                self.done(insn, sent);
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
    let length = number(stack, 2) as usize;
    let base = map(fd, length as u64, false, BLOB as u64);
    // SAFETY: a mapping has whole pages, and a header is shorter than one.
    let header = unsafe { &*base.cast::<Header>() };
    let code = size_of::<Header>() as u64 + u64::from(header.count) * size_of::<Insn>() as u64;
    if header.magic != machine::MAGIC || code > length as u64 {
        exit(126);
    }
    let mut machine = Machine { base, length, control, registers: [0; REGISTERS] };
    for (register, preset) in machine.registers.iter_mut().zip(&header.preset) {
        *register = i64::from(*preset);
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
