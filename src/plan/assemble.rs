//! The assembler: lays out instructions and the data that they point at, and allocates registers.

use super::blob::{Blob, HEADER, INSN};
use super::machine::{ANY, Insn, LISTENER_STACK, REGISTERS, compare, kind, op};
use nix::errno::Errno;
use std::ffi::CStr;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reg(pub(crate) u8);

/// An argument of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arg {
    kind: u8,
    value: u64,
}

impl Arg {
    /// The address `offset` bytes after this one; only for data.
    pub(crate) const fn plus(self, offset: u64) -> Self {
        Self { kind: self.kind, value: self.value + offset }
    }
}

impl From<Reg> for Arg {
    fn from(r: Reg) -> Self {
        Self { kind: kind::REGISTER, value: u64::from(r.0) }
    }
}

impl From<Errno> for Arg {
    fn from(errno: Errno) -> Self {
        (errno as i32).into()
    }
}

macro_rules! immediate {
    ($($t:ty: $convert:expr;)*) => {$(
        impl From<$t> for Arg {
            fn from(value: $t) -> Self {
                Self { kind: kind::IMMEDIATE, value: $convert(value) }
            }
        }
    )*};
}
immediate! {
    i32: |v| i64::from(v).cast_unsigned();
    i64: i64::cast_unsigned;
    u32: u64::from;
    u64: u64::from;
    usize: |v| v as u64;
}

/// The target of jumps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label(usize);

/// Instructions and data under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembler {
    insns: Vec<Insn>,
    data: Vec<u8>,
    /// The offsets in `data` of 64-bit words that hold an offset into `data`. The stub turns these words into addresses.
    pointers: Vec<usize>,
    labels: Vec<usize>,
    jumps: Vec<(usize, usize)>,
    used: u128,
    /// The first step that cannot be encoded.
    refused: Option<u16>,
    step: u16,
    tolerate: [u16; 2],
}

/// A register for unused results.
pub(crate) const NOWHERE: Reg = Reg(REGISTERS as u8 - 1);

impl Assembler {
    /// An assembler whose first `preset` registers are taken.
    pub(crate) fn new(preset: usize) -> Self {
        Self {
            used: 1u128.checked_shl(preset as u32).unwrap_or(0).wrapping_sub(1),
            // Most plans fit, and growing touches every page twice.
            insns: Vec::with_capacity(192),
            data: Vec::with_capacity(4096),
            ..Self::default()
        }
    }

    /// The instructions that follow belong to this step of the plan.
    pub(crate) fn begin(&mut self, step: u16) {
        self.step = step;
    }

    /// Makes encoding fail at this step; returns a register, so that lowering can continue.
    pub(crate) fn refuse(&mut self) -> Reg {
        self.refused.get_or_insert(self.step);
        NOWHERE
    }

    /// A free register. If there is none, the plan cannot be encoded.
    pub(crate) fn register(&mut self) -> Reg {
        let free = (!self.used).trailing_zeros();
        if free >= u32::from(NOWHERE.0) {
            return self.refuse();
        }
        self.used |= 1 << free;
        Reg(free as u8)
    }

    pub(crate) fn release(&mut self, register: Reg) {
        self.used &= !(1 << register.0);
    }

    /// These errnos of the next call are results, not failures.
    pub(crate) fn tolerating(&mut self, errnos: &[Errno]) -> &mut Self {
        for (place, errno) in self.tolerate.iter_mut().zip(errnos) {
            *place = *errno as i32 as u16;
        }
        self
    }

    /// Every errno of the next call is a result.
    pub(crate) fn tolerating_all(&mut self) -> &mut Self {
        self.tolerate[0] = ANY;
        self
    }

    /// Sets the tolerated errnos of the next call aside, so that other calls can come before it.
    pub(crate) fn suspend_tolerance(&mut self) -> [u16; 2] {
        std::mem::take(&mut self.tolerate)
    }

    /// Restores what [`suspend_tolerance`](Self::suspend_tolerance) has returned.
    pub(crate) fn resume_tolerance(&mut self, tolerated: [u16; 2]) {
        self.tolerate = tolerated;
    }

    fn push(&mut self, op: u8, nr: u16, dst: Reg, args: &[Arg]) -> usize {
        let mut insn = Insn {
            op,
            dst: dst.0,
            kinds: [0; 6],
            nr,
            step: self.step,
            tolerate: std::mem::take(&mut self.tolerate),
            args: [0; 6],
        };
        for (i, arg) in args.iter().take(6).enumerate() {
            insn.kinds[i] = arg.kind;
            insn.args[i] = arg.value;
        }
        self.insns.push(insn);
        self.insns.len() - 1
    }

    /// A system call whose result is unused.
    pub(crate) fn call(&mut self, nr: libc::c_long, args: &[Arg]) {
        self.push(op::CALL, nr as u16, NOWHERE, args);
    }

    /// A system call whose result goes to a new register.
    pub(crate) fn call_to(&mut self, nr: libc::c_long, args: &[Arg]) -> Reg {
        let dst = self.register();
        self.call_into(dst, nr, args);
        dst
    }

    /// A system call whose result goes to `dst`.
    pub(crate) fn call_into(&mut self, dst: Reg, nr: libc::c_long, args: &[Arg]) {
        self.push(op::CALL, nr as u16, dst, args);
    }

    /// close(2) of a register, which becomes free.
    pub(crate) fn close(&mut self, register: Reg) {
        self.call(libc::SYS_close, &[register.into()]);
        self.release(register);
    }

    /// `dst = value`.
    pub(crate) fn set(&mut self, dst: Reg, value: impl Into<Arg>) {
        self.push(op::MOVE, 0, dst, &[value.into()]);
    }

    /// The `width` bytes at an address, masked, in a new register.
    pub(crate) fn load(&mut self, width: u16, address: Arg, mask: u64) -> Reg {
        let dst = self.register();
        self.push(op::LOAD, width, dst, &[address, mask.into()]);
        dst
    }

    /// Stores `width` bytes of a value at an address.
    pub(crate) fn store(&mut self, width: u16, address: Arg, value: impl Into<Arg>) {
        self.push(op::STORE, width, NOWHERE, &[address, value.into()]);
    }

    /// Fails the step with an errno, which a register may hold.
    pub(crate) fn fail(&mut self, errno: impl Into<Arg>) {
        self.push(op::FAIL, 0, NOWHERE, &[errno.into()]);
    }

    /// `dst = dst + value`.
    pub(crate) fn add(&mut self, dst: Reg, value: impl Into<Arg>) {
        self.push(op::ADD, 0, dst, &[value.into()]);
    }

    /// See [`op::MAKE_PATH`].
    pub(crate) fn make_path(
        &mut self,
        root: impl Into<Arg>,
        path: Arg,
        last: impl Into<Arg>,
        mode: u32,
    ) -> Reg {
        let dst = self.register();
        self.push(op::MAKE_PATH, 0, dst, &[root.into(), path, last.into(), mode.into()]);
        dst
    }

    /// See [`op::COPY_TREE`].
    pub(crate) fn copy_tree(&mut self, from: Reg, to: Reg) {
        self.push(op::COPY_TREE, 0, NOWHERE, &[from.into(), to.into()]);
    }

    /// See [`op::LISTENER`].
    pub(crate) fn listener(&mut self, flags: u64, program: Arg, place: Arg, socket: Reg, header: Arg) {
        let stack = self.scratch(LISTENER_STACK);
        self.push(op::LISTENER, 0, NOWHERE, &[flags.into(), program, place, socket.into(), header, stack]);
    }

    /// Sets the control page's state.
    pub(crate) fn state(&mut self, state: u32) {
        self.push(op::STATE, 0, NOWHERE, &[state.into()]);
    }

    /// See [`op::HAND_OVER`].
    pub(crate) fn hand_over(&mut self, flags: u64) {
        self.push(op::HAND_OVER, 0, NOWHERE, &[flags.into()]);
    }

    /// See [`op::EXIT_HANDLER`].
    pub(crate) fn exit_handler(&mut self, sigaction: Arg) {
        self.push(op::EXIT_HANDLER, 0, NOWHERE, &[sigaction]);
    }

    /// Stays as PID 1.
    pub(crate) fn init(&mut self, child: Reg) {
        self.push(op::INIT, 0, NOWHERE, &[child.into()]);
    }

    /// A new label, without a place yet.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(usize::MAX);
        Label(self.labels.len() - 1)
    }

    /// Puts a label before the next instruction.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = self.insns.len();
    }

    pub(crate) fn jump(&mut self, label: Label) {
        self.jump_if(compare::ALWAYS, 0u32, 0u32, label);
    }

    /// Jumps if `a <comparison> b`.
    pub(crate) fn jump_if(&mut self, comparison: u16, a: impl Into<Arg>, b: impl Into<Arg>, label: Label) {
        let at = self.push(op::JUMP, comparison, NOWHERE, &[a.into(), b.into(), 0u32.into()]);
        self.jumps.push((at, label.0));
    }

    /// Jumps if the register holds a tolerated errno.
    pub(crate) fn jump_if_failed(&mut self, register: Reg, label: Label) {
        self.jump_if(compare::LESS, register, 0, label);
    }

    /// Data, aligned to eight bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Arg {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let offset = self.data.len();
        self.data.extend_from_slice(bytes);
        Arg { kind: kind::DATA, value: offset as u64 }
    }

    /// 64-bit words as data.
    pub(crate) fn words(&mut self, words: &[u64]) -> Arg {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        self.bytes(&bytes)
    }

    /// Zeroed data that the kernel writes to.
    pub(crate) fn scratch(&mut self, length: usize) -> Arg {
        let at = self.bytes(&[]);
        self.data.resize(self.data.len() + length, 0);
        at
    }

    /// A string with its zero byte.
    pub(crate) fn text(&mut self, text: &CStr) -> Arg {
        let offset = self.data.len();
        self.data.extend_from_slice(text.to_bytes_with_nul());
        Arg { kind: kind::DATA, value: offset as u64 }
    }

    /// A string, up to its first NUL byte; the compiler refuses strings with one.
    pub(crate) fn string(&mut self, text: &str) -> Arg {
        let offset = self.data.len();
        self.data.extend(text.bytes().take_while(|b| *b != 0));
        self.data.push(0);
        Arg { kind: kind::DATA, value: offset as u64 }
    }

    /// An array of pointers to data that ends with a null pointer, such as `argv`.
    pub(crate) fn pointers(&mut self, targets: &[Arg]) -> Arg {
        let mut words: Vec<u64> = targets.iter().map(|t| t.value).collect();
        words.push(0);
        let array = self.words(&words);
        self.pointers.extend((0..targets.len()).map(|i| array.value as usize + 8 * i));
        array
    }

    /// A structure with a pointer to data at byte `at`.
    pub(crate) fn structure(&mut self, bytes: &[u8], pointers: &[(usize, Arg)]) -> Arg {
        let structure = self.bytes(bytes);
        for (at, target) in pointers {
            let place = structure.value as usize + at;
            self.data[place..place + 8].copy_from_slice(&target.value.to_ne_bytes());
            self.pointers.push(place);
        }
        structure
    }

    /// The blob, without preset registers. Store instructions at its beginning write the pointers that are in the data,
    /// since only the stub knows its addresses.
    ///
    /// # Errors
    /// The first step that cannot be encoded, for instance because there are too few registers.
    pub(crate) fn encode(mut self) -> Result<Blob, u16> {
        if let Some(step) = self.refused {
            return Err(step);
        }
        let front = self.pointers.len();
        for (at, label) in &self.jumps {
            self.insns[*at].args[2] = (self.labels[*label] + front) as u64;
        }
        let base = HEADER + (front + self.insns.len()) * INSN;
        let relocations: Vec<Insn> = self
            .pointers
            .iter()
            .map(|place| {
                let mut word = [0; 8];
                word.copy_from_slice(&self.data[*place..*place + 8]);
                Insn {
                    op: op::STORE,
                    dst: NOWHERE.0,
                    kinds: [kind::DATA, kind::DATA, 0, 0, 0, 0],
                    nr: 8,
                    step: 0,
                    tolerate: [0; 2],
                    args: [*place as u64, u64::from_ne_bytes(word), 0, 0, 0, 0],
                }
            })
            .collect();
        let all = relocations.into_iter().chain(self.insns).map(|insn| with_base(insn, base as u64));
        let all: Vec<Insn> = all.collect();
        Ok(Blob::new(all.into_iter(), &self.data))
    }
}

/// An instruction whose offsets of data are counted from the blob's beginning.
fn with_base(mut insn: Insn, base: u64) -> Insn {
    for (kind, arg) in insn.kinds.iter().zip(&mut insn.args) {
        if *kind == kind::DATA {
            *arg += base;
        }
    }
    insn
}
