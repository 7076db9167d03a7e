//! The instruction set of the init stub: what a plan is encoded into.
//!
//! The stub is a register machine whose main instruction is "make this system call". It has no heap and no strings, and
//! makes no decisions: every path, name and structure lies in the blob after the instructions. This file is shared by the
//! host side, which encodes, and by the freestanding stub, which executes, so it uses only `core`.
//!
//! A blob is `[Header][Insn; header.count][data]`. The first page of its file is the control page, which the stub maps
//! shared and the host side reads. The second page ([`SUCCESSOR`]) is shared too, but not with a process that the stub
//! clones. The blob begins at [`BLOB`].

/// First word of a blob: its format and version.
pub const MAGIC: u32 = 0x4f52_4c01;
/// The largest page size: files are mapped in whole pages, and some aarch64 kernels have pages of 64 KiB.
pub const PAGE: usize = if cfg!(target_arch = "aarch64") { 65536 } else { 4096 };
/// Where in the file the pid of the second of two processes is, as the host sees it: a 32-bit word in a page of its own.
/// That process does not have the page, so another one that can write to its memory cannot present a different process to
/// the host side.
pub const SUCCESSOR: usize = PAGE;
/// Where the blob begins in its file: after the shared pages.
pub const BLOB: usize = 2 * PAGE;
/// Number of registers. The first ones are preset from [`Header::preset`].
pub const REGISTERS: usize = 96;

/// Register preset with the control socket.
pub const CONTROL: usize = 0;
/// Register preset with the memory that holds the blob.
pub const MEMORY: usize = 1;
/// The first register preset with the descriptor of a slot.
pub const FIRST_SLOT: usize = 2;

/// The control page's 32-bit words, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ControlWord {
    /// One of [`state`].
    State,
    /// The current step, or the one that failed.
    Step,
    /// The system call that failed, or [`NO_CALL`].
    Call,
    /// Its errno.
    Errno,
}

impl ControlWord {
    /// How many words there are.
    pub const COUNT: usize = Self::Errno as usize + 1;
}

/// Values of the control page's state word, which begins as zero.
pub mod state {
    #![allow(missing_docs)]
    /// Everything that precedes `start` is done.
    pub const CREATED: u32 = 1;
    /// The next call is the final execve(2).
    pub const EXECUTING: u32 = 2;
    /// A step failed; the other words describe the failure.
    pub const FAILED: u32 = 3;
}

/// [`ControlWord::Call`] of a failure at a check of the stub itself.
pub const NO_CALL: u32 = u32::MAX;

/// The beginning of a blob.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// Number of instructions.
    pub count: u32,
    /// Length of the whole blob in bytes.
    pub length: u32,
    /// Fault injection for tests: the step that fails with `EIO` instead of running, or `u32::MAX`.
    pub fault: u32,
    /// The first values of the registers: descriptors that the host side has opened, or -1.
    pub preset: [i32; REGISTERS],
}

/// An instruction; [`op`] defines what `nr`, `dst` and `args` mean.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// One of [`op`].
    pub op: u8,
    /// The register for the result.
    pub dst: u8,
    /// The kind of each argument: one of [`kind`].
    pub kinds: [u8; 6],
    /// The system call's number, a comparison or a width.
    pub nr: u16,
    /// The step that the instruction belongs to.
    pub step: u16,
    /// Errnos that are results, not failures; [`ANY`] stands for all.
    pub tolerate: [u16; 2],
    /// The arguments.
    pub args: [u64; 6],
}

/// The size in bytes of the stack for the thread of [`op::LISTENER`]. It starts at a multiple of
/// [`LISTENER_STACK_ALIGNMENT`].
pub const LISTENER_STACK: usize = 4096;
/// See [`LISTENER_STACK`].
pub const LISTENER_STACK_ALIGNMENT: usize = 8;

/// The size of the kernel's `struct sigaction` in bytes.
pub const SIGACTION: usize = 32;

/// The flags that [`op::HAND_OVER`] may have: `CLONE_NEW*` (except for time namespaces, which clone(2) cannot create),
/// `CLONE_VM`, `CLONE_PARENT`, and the exit signal.
pub const HAND_OVER_FLAGS: u64 = 0x7e02_0000 | 0x100 | 0x8000 | 0xff;

/// In [`Insn::tolerate`]: every errno.
pub const ANY: u16 = u16::MAX;

/// Argument kinds.
pub mod kind {
    #![allow(missing_docs)]
    /// The value itself.
    pub const IMMEDIATE: u8 = 0;
    /// The address of the blob's byte at this offset.
    pub const DATA: u8 = 1;
    /// A register's value.
    pub const REGISTER: u8 = 2;
}

/// One list for the stub, which executes operations, and the host side, which checks them. Both match on [`Operation`]
/// without a wildcard, so an operation cannot be added to one of them alone.
macro_rules! operations {
    ($($(#[doc = $doc:literal])* $name:ident, $code:ident = $number:literal;)*) => {
        /// What an instruction does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[doc = $doc])* $name,)*
        }

        impl Operation {
            /// The operation of this code.
            pub const fn of(code: u8) -> Option<Self> {
                match code {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        /// Operations.
        pub mod op {
            #![allow(missing_docs)]
            $($(#[doc = $doc])* pub const $code: u8 = $number;)*
        }
    };
}

operations! {
    /// `dst = syscall(nr, args…)`; fails the step on an errno that is not tolerated.
    Call, CALL = 0;
    /// `dst = args[0]`.
    Move, MOVE = 1;
    /// `if args[0] <nr> args[1] { goto args[2] }`, signed, `nr` one of `compare`.
    Jump, JUMP = 2;
    /// `dst = (nr bytes at address args[0]) & args[1]`.
    Load, LOAD = 3;
    /// `nr bytes at address args[0] = args[1]`.
    Store, STORE = 4;
    /// Fails the step with errno `args[0]`.
    Fail, FAIL = 5;
    /// `dst =` an `O_PATH` descriptor of the path at `args[1]` below the directory `args[0]`, which is the root of the walk.
    /// Missing components are created: directories with mode `args[3]`, and the last component as `args[2]` says, one of
    /// `last`.
    MakePath, MAKE_PATH = 6;
    /// Sets the control page's state word to `args[0]`.
    State, STATE = 7;
    /// clone(2) with the flags `args[0]` (`HAND_OVER_FLAGS`): the child continues, its pid is stored at `SUCCESSOR`, and the
    /// parent exits. With `CLONE_VM` the child has the parent's memory, unless the kernel refuses that.
    HandOver, HAND_OVER = 8;
    /// Stays as PID 1: forwards signals to the process `args[0]`, reaps, exits as it does.
    Init, INIT = 9;
    /// `dst = dst + args[0]`.
    Add, ADD = 10;
    /// Copies the content of the directory `args[0]` into the directory `args[1]`.
    CopyTree, COPY_TREE = 11;
    /// Loads a filter with a listener, `dst = seccomp(SECCOMP_SET_MODE_FILTER, args[0], args[1])`, stores the listener at
    /// `args[2]`, and lets a thread that is not under the filter send it, by sendmsg(2) with `args[3]` and `args[4]`. The
    /// thread's stack is the `LISTENER_STACK` bytes at `args[5]`.
    Listener, LISTENER = 12;
    /// Stores at `args[0]` the `struct sigaction` of a handler that exits with 128 plus the signal's number. It has
    /// `SIGACTION` bytes.
    ExitHandler, EXIT_HANDLER = 13;
}

/// Comparisons of [`op::JUMP`].
pub mod compare {
    #![allow(missing_docs)]
    pub const ALWAYS: u16 = 0;
    pub const EQUAL: u16 = 1;
    pub const NOT_EQUAL: u16 = 2;
    pub const LESS: u16 = 3;
    pub const GREATER_EQUAL: u16 = 4;
    /// Unsigned.
    pub const NOT_BELOW: u16 = 5;
}

/// What [`op::MAKE_PATH`] creates for a missing last component.
pub mod last {
    #![allow(missing_docs)]
    /// A directory.
    pub const DIRECTORY: u64 = 0;
    /// An empty regular file.
    pub const FILE: u64 = 1;
    /// Nothing: the call fails with `ENOENT`.
    pub const NOTHING: u64 = 2;
}
