//! The machine: executes the instructions of a blob (see `machine.rs`).
//!
//! It is a file of its own so that the fuzz target `interpreter` can compile it as part of an ordinary program, with
//! another `arch` beside it.

use super::arch::{self, nr, syscall};
use super::machine::{
    ANY, ASIDE_ALIGNMENT, ASIDE_STACK, Header, Insn, MAGIC, NO_CALL, Operation, PAGE, REGISTERS, compare,
    control, kind, state,
};
use super::walk::Failure;
use super::{aside, copy, path, reap};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Release};

/// What is shared with the host side.
#[derive(Clone, Copy)]
pub struct Control {
    page: *mut u8,
    successor: *mut u8,
}

impl Control {
    /// # Safety
    /// `page` is the address of the mapped control page, for good, and `successor` that of the word which takes the number
    /// of the second process.
    pub unsafe fn new(page: *mut u8, successor: *mut u8) -> Self {
        Self { page, successor }
    }

    fn set(self, offset: usize, value: u32) {
        // SAFETY: `offset` is one of `control`, inside the mapped page, and a multiple of four.
        unsafe { &*self.page.add(offset).cast::<AtomicU32>() }.store(value, Release);
    }
}

impl Control {
    /// Unmaps the page with the second process's number, which no process that a container can see may have.
    pub fn forget_successor(self, step: u16) {
        let answer = syscall(nr::MUNMAP, [self.successor as u64, PAGE as u64, 0, 0, 0, 0]);
        if answer < 0 {
            fail(self, step, nr::MUNMAP as u32, -answer as u32, 0);
        }
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

/// Ends the process.
pub fn exit(status: i32) -> ! {
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
    let place = control.successor as u64;
    let flags = flags | CLONE_PARENT_SETTID;
    // SAFETY: this process touches its memory no more once there is another one to go on in it.
    let mut answer = unsafe { arch::hand_over(flags, place) };
    let mut shared = flags & CLONE_VM != 0;
    if answer == -EINVAL && shared {
        shared = false;
        // Nobody shares memory across time namespaces.
        // SAFETY: as above; the child has a copy.
        answer = unsafe { arch::hand_over(flags & !CLONE_VM, place) };
    }
    if answer < 0 {
        fail(control, step, nr::CLONE as u32, -answer as u32, 0);
    }
    if shared {
        // A process that clones without sharing memory does not have the page: see `main.rs`.
        control.forget_successor(step);
    }
}

/// How many bytes an access has.
fn width(insn: &Insn) -> usize {
    match insn.nr {
        width @ (1 | 2 | 4) => width.into(),
        _ => 8,
    }
}

/// What a check of the machine's own fails with.
const EFAULT: u32 = 14;
/// What an operation that this machine does not have fails with.
const ENOSYS: u32 = 38;

/// A blob's header and instructions are only ever read; what an instruction reads or writes is the data behind them.
pub struct Machine {
    header: *const Header,
    /// Where the instructions end.
    data: *mut u8,
    /// How many bytes of data there are.
    room: usize,
    control: Control,
    registers: [i64; REGISTERS],
    /// The number of the next instruction.
    pub at: usize,
    /// The step of the last one, or more than any.
    step: u32,
}

impl Machine {
    /// A machine for the blob of `length` bytes at `base`; `None` if it is not a blob.
    ///
    /// # Safety
    /// The bytes are readable and writable for good, aligned as a [`Header`] is, and at least a header.
    pub unsafe fn new(base: *mut u8, length: usize, control: Control) -> Option<Self> {
        // SAFETY: the caller vouches for that.
        let header = unsafe { &*base.cast::<Header>() };
        let code = size_of::<Header>() as u64 + u64::from(header.count) * size_of::<Insn>() as u64;
        if header.magic != MAGIC || code > length as u64 {
            return None;
        }
        // SAFETY: not behind the blob's end.
        let data = unsafe { base.add(code as usize) };
        let room = length - code as usize;
        let mut machine =
            Self { header, data, room, control, registers: [0; REGISTERS], at: 0, step: u32::MAX };
        for (register, preset) in machine.registers.iter_mut().zip(&header.preset) {
            *register = i64::from(*preset);
        }
        Some(machine)
    }

    /// Whether this process goes on as another one at some time.
    pub fn hands_over(&self) -> bool {
        // SAFETY: see `new`.
        let count = unsafe { (*self.header).count as usize };
        // SAFETY: the instructions follow the header, and these are below `count`.
        let insn = |at| unsafe { &*self.header.add(1).cast::<Insn>().add(at) };
        (0..count).any(|at| matches!(Operation::of(insn(at).op), Some(Operation::HandOver)))
    }

    /// Executes the next instruction; `false` if there is none.
    pub fn advance(&mut self) -> bool {
        // SAFETY: see `new`.
        let header = unsafe { &*self.header };
        if self.at >= header.count as usize {
            return false;
        }
        // SAFETY: the instructions follow the header, and this one is below `count`.
        let insn = unsafe { &*self.header.add(1).cast::<Insn>().add(self.at) };
        self.at += 1;
        let step = u32::from(insn.step);
        if step != self.step {
            self.step = step;
            self.control.set(control::STEP, step);
            if header.fault == step {
                fail(self.control, insn.step, NO_CALL, 5, 0);
            }
        }
        self.execute(insn);
        true
    }

    /// Ends a machine whose blob says something that cannot be.
    fn bad(&self, insn: &Insn) -> ! {
        fail(self.control, insn.step, NO_CALL, EFAULT, 0)
    }

    fn value(&self, insn: &Insn, i: usize) -> u64 {
        // SAFETY: `i` is below six everywhere.
        let (kind, raw) = unsafe { (*insn.kinds.get_unchecked(i), *insn.args.get_unchecked(i)) };
        match kind {
            kind::DATA => {
                let address = (self.header as u64).wrapping_add(raw);
                // Something of no length may lie at the very end.
                if address.wrapping_sub(self.data as u64) > self.room as u64 {
                    self.bad(insn);
                }
                address
            }
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

    /// The data from an address on.
    fn bytes(&self, insn: &Insn, i: usize) -> &[u8] {
        let at = self.value(insn, i).wrapping_sub(self.data as u64) as usize;
        if at >= self.room {
            self.bad(insn);
        }
        // SAFETY: from `at` up to the blob's end, which is mapped.
        unsafe { core::slice::from_raw_parts(self.data.add(at), self.room - at) }
    }

    /// The address of `width` bytes of the data.
    fn address(&self, insn: &Insn, i: usize, width: usize) -> *mut u8 {
        let bytes = self.bytes(insn, i);
        if bytes.len() < width {
            self.bad(insn);
        }
        bytes.as_ptr().cast_mut()
    }

    /// The data from an address on, which has a zero byte in it.
    fn text(&self, insn: &Insn, i: usize) -> &[u8] {
        let bytes = self.bytes(insn, i);
        let mut rest = bytes;
        while let [first, behind @ ..] = rest {
            if *first == 0 {
                return bytes;
            }
            rest = behind;
        }
        self.bad(insn)
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
        let at = self.address(insn, 0, width(insn)).cast_const();
        // SAFETY: as many bytes of the data are there.
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
        let (at, value) = (self.address(insn, 0, width(insn)), self.value(insn, 1));
        // SAFETY: as many bytes of the data are there, which is a private writable mapping.
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

    fn execute(&mut self, insn: &Insn) {
        let Some(operation) = Operation::of(insn.op) else {
            fail(self.control, insn.step, NO_CALL, ENOSYS, 0)
        };
        match operation {
            Operation::Call => self.call(insn),
            Operation::Move => self.set(insn, self.value(insn, 0) as i64),
            Operation::Add => {
                let Some(old) = self.registers.get(insn.dst as usize) else { self.bad(insn) };
                self.set(insn, old.wrapping_add(self.value(insn, 0) as i64));
            }
            Operation::Jump => {
                if self.jumps(insn) {
                    self.at = self.value(insn, 2) as usize;
                }
            }
            Operation::Load => self.set(insn, self.load(insn)),
            Operation::Store => self.store(insn),
            Operation::Fail => {
                let (errno, detail) = (self.value(insn, 0) as u32, self.value(insn, 1) as u32);
                fail(self.control, insn.step, NO_CALL, errno, detail)
            }
            Operation::MakePath => {
                let (root, kind) = (self.value(insn, 0) as i32, self.value(insn, 2));
                let made = path::make(root, self.text(insn, 1), kind, self.value(insn, 3) as u32);
                self.done(insn, made);
            }
            Operation::CopyTree => {
                let copied = copy::tree(self.value(insn, 0), self.value(insn, 1));
                self.done(insn, copied.map(|()| 0));
            }
            Operation::Listener => {
                self.address(insn, 2, size_of::<i32>());
                let stack = self.address(insn, 5, ASIDE_STACK);
                if (stack as usize) % ASIDE_ALIGNMENT != 0 {
                    self.bad(insn);
                }
                let sent = aside::listener(self.arguments(insn));
                self.done(insn, sent);
            }
            Operation::State => self.control.set(control::STATE, self.value(insn, 0) as u32),
            Operation::HandOver => hand_over(self.control, insn.step, self.value(insn, 0)),
            Operation::Init => exit(reap::stay(self.value(insn, 0) as i32)),
        }
    }
}
