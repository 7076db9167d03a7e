//! The machine: executes the instructions of a blob (see `machine.rs`).
//!
//! It is a file of its own so that the fuzz target `interpreter` can compile it as part of an ordinary program, with
//! another `arch` beside it.

use super::abi::{CLONE_PARENT_SETTID, CLONE_VM, EFAULT, EINVAL, EIO, ENOSYS, Sigaction};
use super::arch::{self, nr, syscall};
use super::call::{checked, result};
use super::listener::{self, ThreadStack};
use super::machine::{
    ANY, ControlWord, HAND_OVER_FLAGS, Header, Insn, LISTENER_STACK, MAGIC, NO_CALL, Operation, PAGE,
    REGISTERS, SIGACTION, compare, kind, last,
};
use super::walk::{self, Buffers, CallFailure, Last};
use super::{copy_tree, make_path, pid_one};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Release};

const _: () = assert!(walk::NO_CALL == NO_CALL, "the walk and the machine have one number for it");
const _: () = assert!(size_of::<Sigaction>() == SIGACTION);
const _: () = assert!(
    align_of::<Insn>() >= align_of::<Header>() && size_of::<Header>().is_multiple_of(align_of::<Insn>())
);

/// The memory that is shared with the host side.
#[derive(Clone, Copy)]
pub struct SharedPages<'m> {
    control: &'m [AtomicU32; ControlWord::COUNT],
    /// The address of the page for the second process's pid, which may be unmapped: only the kernel writes to it.
    successor: u64,
}

impl SharedPages<'_> {
    /// # Safety
    /// `control` is the address of the control page: it is mapped, writable and aligned to four bytes for `'m`.
    /// `successor` is that of the page for the second process's pid: it is mapped until it is
    /// [unmapped](Self::unmap_successor), and nothing refers to it.
    pub unsafe fn new(control: *mut u8, successor: u64) -> Self {
        // SAFETY: the caller vouches for it; it is written to by atomic stores alone.
        unsafe { Self { control: &*control.cast(), successor } }
    }

    /// Unmaps the page for the second process's pid, which no process that a container can see may have.
    pub fn unmap_successor(self) -> Result<(), CallFailure> {
        checked(nr::MUNMAP, [self.successor, PAGE as u64, 0, 0, 0, 0]).map(drop)
    }

    fn set(self, word: ControlWord, value: u32) {
        self.control[word as usize].store(value, Release);
    }
}

/// A step that failed.
struct StepFailure {
    step: u16,
    cause: CallFailure,
}

impl StepFailure {
    /// A check of the machine itself failed.
    fn check(insn: &Insn, errno: u32) -> Self {
        Self { step: insn.step, cause: CallFailure { call: NO_CALL, errno } }
    }

    /// Reports the failure on the control page, which takes no system call, and exits.
    fn exit(self, shared: SharedPages<'_>) -> ! {
        shared.set(ControlWord::Step, u32::from(self.step));
        shared.set(ControlWord::Call, self.cause.call);
        shared.set(ControlWord::Errno, self.cause.errno);
        shared.set(ControlWord::State, super::machine::state::FAILED);
        exit(1)
    }
}

/// Exits.
pub fn exit(status: i32) -> ! {
    loop {
        syscall(nr::EXIT_GROUP, [status as u64, 0, 0, 0, 0, 0]);
        // A filter may deny even that call.
        arch::trap();
    }
}

/// A signal handler.
extern "C" fn exit_by_signal(signal: i32) {
    exit(128 + signal)
}

/// Continues in a clone of this process; see `op::HAND_OVER`. It returns in the clone alone.
fn hand_over(shared: SharedPages<'_>, flags: u64) -> Result<(), CallFailure> {
    let flags = flags | CLONE_PARENT_SETTID;
    let mut shares_memory = flags & CLONE_VM != 0;
    // SAFETY: the flags are checked by the caller, and the pid has a page of its own, which is mapped until here. Once there
    // is a clone, this process does not touch its memory any more.
    let mut answer = unsafe { arch::hand_over(flags, shared.successor) };
    if answer == -i64::from(EINVAL) && shares_memory {
        shares_memory = false;
        // Processes of two time namespaces cannot share memory.
        // SAFETY: as above; the clone has a copy.
        answer = unsafe { arch::hand_over(flags & !CLONE_VM, shared.successor) };
    }
    result(nr::CLONE, answer)?;
    // A clone with memory of its own does not have the page (`MADV_DONTFORK`).
    if shares_memory { shared.unmap_successor() } else { Ok(()) }
}

/// A blob's data: all that its instructions may read and write.
struct Data {
    start: *mut u8,
    length: usize,
}

/// The machine. It only reads a blob's header and instructions; what an instruction reads or writes is the data after
/// them.
pub struct Machine<'m> {
    header: &'m Header,
    code: &'m [Insn],
    data: Data,
    shared: SharedPages<'m>,
    buffers: &'m mut Buffers,
    registers: [i64; REGISTERS],
    /// The index of the next instruction.
    pub at: usize,
    /// The step of the last instruction; larger than any step before the first one.
    step: u32,
}

impl<'m> Machine<'m> {
    /// A machine for the blob of `length` bytes at `base`; `None` if it is not a blob.
    ///
    /// # Safety
    /// For `'m`, the bytes are readable and writable, and nothing else writes to them.
    pub unsafe fn new(
        base: *mut u8,
        length: usize,
        shared: SharedPages<'m>,
        buffers: &'m mut Buffers,
    ) -> Option<Self> {
        if length < size_of::<Header>() || !(base as usize).is_multiple_of(align_of::<Insn>()) {
            return None;
        }
        // SAFETY: the blob is at least as long as a header, and aligned; any bytes are a header.
        let header = unsafe { &*base.cast::<Header>() };
        let front = size_of::<Header>() as u64 + u64::from(header.count) * size_of::<Insn>() as u64;
        if header.magic != MAGIC || front > length as u64 {
            return None;
        }
        // SAFETY: the instructions follow the header, aligned, and do not exceed the blob; any bytes are instructions. The
        // data begins at their end.
        let (code, start) = unsafe {
            let code = base.add(size_of::<Header>()).cast::<Insn>();
            (core::slice::from_raw_parts(code, header.count as usize), base.add(front as usize))
        };
        let data = Data { start, length: length - front as usize };
        let registers = [0; REGISTERS];
        let mut machine = Self { header, code, data, shared, buffers, registers, at: 0, step: u32::MAX };
        for (register, preset) in machine.registers.iter_mut().zip(&header.preset) {
            *register = i64::from(*preset);
        }
        Some(machine)
    }

    /// Whether this process continues in a clone at some step.
    pub fn hands_over(&self) -> bool {
        self.code.iter().any(|insn| matches!(Operation::of(insn.op), Some(Operation::HandOver)))
    }

    /// Executes the next instruction; `false` if there is none.
    pub fn advance(&mut self) -> bool {
        let Some(insn) = self.code.get(self.at) else { return false };
        self.at += 1;
        let step = u32::from(insn.step);
        if step != self.step {
            self.step = step;
            self.shared.set(ControlWord::Step, step);
            if self.header.fault == step {
                StepFailure::check(insn, EIO).exit(self.shared);
            }
        }
        self.execute(insn);
        true
    }

    /// Fails the step of an instruction that is out of bounds.
    fn bad(&self, insn: &Insn) -> ! {
        StepFailure::check(insn, EFAULT).exit(self.shared)
    }

    fn value(&self, insn: &Insn, i: usize) -> u64 {
        let (Some(kind), Some(raw)) = (insn.kinds.get(i), insn.args.get(i)) else { self.bad(insn) };
        let raw = *raw;
        match *kind {
            kind::DATA => {
                let address = (ptr::from_ref(self.header) as u64).wrapping_add(raw);
                // Data without a length may lie at the very end.
                if address.wrapping_sub(self.data.start as u64) > self.data.length as u64 {
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

    /// The data from an operand's address on, which is not empty.
    fn bytes(&self, insn: &Insn, i: usize) -> &'m [u8] {
        let at = self.value(insn, i).wrapping_sub(self.data.start as u64) as usize;
        if at >= self.data.length {
            self.bad(insn);
        }
        // SAFETY: `at` is below the data's length. The machine writes to the data only while no such slice is used.
        unsafe { core::slice::from_raw_parts(self.data.start.add(at), self.data.length - at) }
    }

    /// The address of `width` bytes of the data.
    fn address(&self, insn: &Insn, i: usize, width: usize) -> *mut u8 {
        let at = self.value(insn, i).wrapping_sub(self.data.start as u64) as usize;
        if self.data.length < width || at > self.data.length - width {
            self.bad(insn);
        }
        // SAFETY: at most the data's length.
        unsafe { self.data.start.add(at) }
    }

    /// The data from an operand's address on, with a zero byte in it.
    fn text(&self, insn: &Insn, i: usize) -> &'m [u8] {
        let bytes = self.bytes(insn, i);
        let mut rest = bytes;
        while let [first, after @ ..] = rest {
            if *first == 0 {
                return bytes;
            }
            rest = after;
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
        let answer = match u64::from(insn.nr) {
            nr::OPENAT2 => make_path::openat2(args),
            number => syscall(number, args),
        };
        if let Err(cause) = result(u64::from(insn.nr), answer) {
            if !insn.tolerate.contains(&(cause.errno as u16)) && !insn.tolerate.contains(&ANY) {
                StepFailure { step: insn.step, cause }.exit(self.shared);
            }
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
            compare::ALWAYS => true,
            _ => self.bad(insn),
        }
    }

    /// How many bytes are loaded or stored.
    fn width(&self, insn: &Insn) -> usize {
        match insn.nr {
            width @ (1 | 2 | 4 | 8) => width.into(),
            _ => self.bad(insn),
        }
    }

    fn load(&self, insn: &Insn) -> i64 {
        let width = self.width(insn);
        let at = self.address(insn, 0, width).cast_const();
        // SAFETY: `width` bytes of the data are there.
        let raw = unsafe {
            match width {
                1 => u64::from(*at),
                2 => u64::from(ptr::read_unaligned(at.cast::<u16>())),
                4 => u64::from(ptr::read_unaligned(at.cast::<u32>())),
                _ => ptr::read_unaligned(at.cast::<u64>()),
            }
        };
        (raw & self.value(insn, 1)) as i64
    }

    fn store(&self, insn: &Insn) {
        let width = self.width(insn);
        let (at, value) = (self.address(insn, 0, width), self.value(insn, 1));
        // SAFETY: `width` bytes of the data are there, and writable.
        unsafe {
            match width {
                1 => *at = value as u8,
                2 => ptr::write_unaligned(at.cast::<u16>(), value as u16),
                4 => ptr::write_unaligned(at.cast::<u32>(), value as u32),
                _ => ptr::write_unaligned(at.cast::<u64>(), value),
            }
        }
    }

    fn make_path(&mut self, insn: &Insn) -> Result<i64, CallFailure> {
        let last = match self.value(insn, 2) {
            last::DIRECTORY => Last::Directory,
            last::FILE => Last::File,
            last::NOTHING => Last::Nothing,
            _ => self.bad(insn),
        };
        let (root, path) = (self.value(insn, 0) as i32, self.text(insn, 1));
        let mode = self.value(insn, 3) as u32;
        make_path::make(root, path, last, mode, self.buffers)
    }

    fn listener(&self, insn: &Insn) -> Result<i64, CallFailure> {
        let number = self.address(insn, 2, size_of::<i32>()).cast::<i32>();
        let stack = self.address(insn, 5, LISTENER_STACK);
        // SAFETY: the data has so many bytes there, which last until execve(2). A plan uses them for nothing else.
        let Some(stack) = (unsafe { ThreadStack::new(stack) }) else { self.bad(insn) };
        let request = listener::Request {
            flags: self.value(insn, 0),
            program: self.value(insn, 1),
            socket: self.value(insn, 3),
            message: self.value(insn, 4),
        };
        // SAFETY: four bytes of the data are there, and writable.
        let store = |fd| unsafe { number.write_unaligned(fd) };
        listener::load(&request, stack, store)
    }

    /// Takes the result of an operation that makes several system calls.
    fn finish(&mut self, insn: &Insn, result: Result<i64, CallFailure>) {
        match result {
            Ok(value) => self.set(insn, value),
            Err(cause) => StepFailure { step: insn.step, cause }.exit(self.shared),
        }
    }

    fn execute(&mut self, insn: &Insn) {
        let Some(operation) = Operation::of(insn.op) else {
            StepFailure::check(insn, ENOSYS).exit(self.shared)
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
            Operation::Fail => StepFailure::check(insn, self.value(insn, 0) as u32).exit(self.shared),
            Operation::MakePath => {
                let made = self.make_path(insn);
                self.finish(insn, made);
            }
            Operation::CopyTree => {
                let copied = copy_tree::copy(self.value(insn, 0), self.value(insn, 1));
                self.finish(insn, copied.map(|()| 0));
            }
            Operation::Listener => {
                let sent = self.listener(insn);
                self.finish(insn, sent);
            }
            Operation::State => self.shared.set(ControlWord::State, self.value(insn, 0) as u32),
            Operation::HandOver => {
                let flags = self.value(insn, 0);
                if flags & !HAND_OVER_FLAGS != 0 {
                    self.bad(insn);
                }
                if let Err(cause) = hand_over(self.shared, flags) {
                    StepFailure { step: insn.step, cause }.exit(self.shared);
                }
            }
            Operation::ExitHandler => {
                let action = self.address(insn, 0, SIGACTION).cast::<Sigaction>();
                // SAFETY: so many bytes of the data are there, and writable.
                unsafe { action.write_unaligned(Sigaction::handler(exit_by_signal)) }
            }
            Operation::Init => exit(pid_one::stay(self.value(insn, 0) as i32)),
        }
    }
}
