//! Lowering: each step of the stub's column becomes instructions. Each family of steps has a file, and what takes
//! more than a few instructions has others.

#![deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]

mod control;
mod device;
mod mount;
mod namespace;
mod process;
mod rootfs;
mod terminal;

use super::assemble::{Arg, Assembler, Reg};
use super::blob::Blob;
use super::machine::{CONTROL, FIRST_SLOT, MEMORY};
use super::step::{Line, Step};
use crate::mount::PropagationKind;
use std::ffi::CStr;

/// `AT_FDCWD` as an argument.
const CWD: i32 = libc::AT_FDCWD;
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`.
const IN_ROOT: u64 = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;

/// What lowering knows besides the steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// open_tree_attr(2) is there (Linux 6.15).
    pub(crate) open_tree_attr: bool,
    /// An overlay takes its lower layers one by one (Linux 6.7).
    pub(crate) lowerdir_append: bool,
}

impl Kernel {
    /// What a version has.
    pub(crate) fn of(version: (u32, u32)) -> Self {
        Self { open_tree_attr: version >= (6, 15), lowerdir_append: version >= (6, 7) }
    }
}

/// Lowers one plan.
struct Lower {
    asm: Assembler,
    kernel: Kernel,
    /// The root file system's mount.
    root: Option<Reg>,
    /// The host's /dev/null, for masks.
    null: Option<Reg>,
    /// The tmpfs that masks directories; below zero until one was needed.
    empty: Option<Reg>,
    /// The open label file.
    label: Option<Reg>,
    /// Address of the program's path.
    program: Option<Reg>,
    /// The connection of who has called `start`.
    caller: Option<Reg>,
    /// Mounts of the host's are shared with it still.
    host_hears: bool,
    /// How the copy of the root leaves the mount that it was taken from, where the host hears.
    root_leaves: PropagationKind,
    /// A `struct stat` for whoever needs one.
    stat: Option<Arg>,
    /// The pieces of paths seen so far.
    empty_text: Option<Arg>,
}

/// Encodes the stub's column.
///
/// # Errors
/// The line that needs more registers than the stub has.
pub(crate) fn lower(lines: &[Line], slots: usize, kernel: Kernel) -> Result<Blob, u16> {
    let mut lower = Lower {
        asm: Assembler::new(FIRST_SLOT + slots),
        kernel,
        root: None,
        null: None,
        empty: None,
        label: None,
        program: None,
        caller: None,
        host_hears: false,
        root_leaves: PropagationKind::Private,
        stat: None,
        empty_text: None,
    };
    for (number, line) in lines.iter().enumerate() {
        lower.asm.begin(number as u16);
        lower.step(&line.step);
    }
    lower.asm.encode()
}

impl Lower {
    fn step(&mut self, step: &Step) {
        match step {
            // Of the other column.
            Step::Host(_) => {}
            Step::Namespace(step) => self.namespace(step),
            Step::Rootfs(step) => self.rootfs(step),
            Step::Process(step) => self.process(step),
            Step::Control(step) => self.control(step),
        }
    }

    /// The register of a slot.
    fn slot(slot: usize) -> Reg {
        Reg((FIRST_SLOT + slot) as u8)
    }

    fn control_socket() -> Reg {
        Reg(CONTROL as u8)
    }

    fn memory() -> Reg {
        Reg(MEMORY as u8)
    }

    /// The root's descriptor; the compiler puts [`RootfsStep::Root`](super::step::RootfsStep::Root) before every step that needs it.
    fn root(&self) -> Arg {
        self.root.map_or_else(|| Arg::from(CWD), Arg::from)
    }

    fn text(&mut self, text: &CStr) -> Arg {
        self.asm.text(text)
    }

    fn string(&mut self, text: &str) -> Arg {
        self.asm.string(text)
    }

    /// The empty path of `AT_EMPTY_PATH`.
    fn empty(&mut self) -> Arg {
        if self.empty_text.is_none() {
            self.empty_text = Some(self.asm.text(c""));
        }
        self.empty_text.unwrap_or_else(|| Arg::from(0))
    }

    /// Opens a path below the root: `flags` as openat2(2)'s, `resolve` besides [`IN_ROOT`].
    fn open_in_root(&mut self, path: &str, flags: i32, resolve: u64) -> Reg {
        let how = self.asm.words(&[(flags | libc::O_CLOEXEC) as u64, 0, IN_ROOT | resolve]);
        let (root, path) = (self.root(), self.string(path));
        self.asm.call_to(libc::SYS_openat2, &[root, path, how, 24.into()])
    }

    /// fstat(2) of an open file; the structure's address.
    fn stat(&mut self, fd: Reg) -> Arg {
        if self.stat.is_none() {
            self.stat = Some(self.asm.scratch(size_of::<libc::stat>()));
        }
        let at = self.stat.unwrap_or_else(|| Arg::from(0));
        self.asm.call(libc::SYS_fstat, &[fd.into(), at]);
        at
    }

    /// The file type bits of an open file.
    fn file_type(&mut self, fd: Reg) -> Reg {
        let stat = self.stat(fd);
        let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
        self.asm.load(4, stat.plus(at), u64::from(libc::S_IFMT))
    }

    /// Writes a text to an open file in one call.
    fn write(&mut self, fd: Reg, text: &str) {
        let data = self.string(text);
        self.asm.call(libc::SYS_write, &[fd.into(), data, text.len().into()]);
    }

    /// Writes a text to a file of the host's /proc, still in reach.
    fn write_file(&mut self, path: &str, text: &str) {
        let path = self.string(path);
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let fd = self.asm.call_to(libc::SYS_openat, &[CWD.into(), path, flags.into()]);
        self.write(fd, text);
        self.asm.close(fd);
    }
}
