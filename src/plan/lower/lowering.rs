//! The code of a plan while it is written: registers, slots, and where the stub stands.

use super::super::assemble::{Arg, Assembler, Reg};
use super::super::machine::{CONTROL, FIRST_SLOT, MEMORY, compare};
use super::super::step::{
    ControlStep, Line, NamespaceStep, ProcessStep, Slot, SlotId, Slots, Step, is_at_or_below, plain,
};
use crate::mount::PropagationKind;
use crate::namespace::NamespaceKind;
use nix::errno::Errno;
use std::borrow::Cow;
use std::ffi::CStr;

/// `AT_FDCWD` as an argument.
pub(super) const CWD: i32 = libc::AT_FDCWD;
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`.
pub(super) const IN_ROOT: u64 = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;

/// What lowering knows besides the steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    /// Whether the kernel has open_tree_attr(2) (Linux 6.15).
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

/// Whose root is the process's root directory. A path of the container is looked up in [`Stand::Container`] alone,
/// so that whatever is wrong with a lookup ends at the container's own root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Host,
    Container,
}

/// The code of one plan, and what is known at its end.
pub(super) struct Lowering {
    pub(super) asm: Assembler,
    pub(super) kernel: Kernel,
    /// The register of each slot whose descriptor has come.
    pub(super) slots: Vec<Option<Reg>>,
    /// The slots of each batch that is to come.
    pub(super) batches: Vec<Vec<SlotId>>,
    /// Mounts of procfs and sysfs that were made: what lies below them is found from there, whatever has become of
    /// the path by then.
    pub(super) kept: Vec<(String, Reg)>,
    /// The root file system's mount, while it is not the root of the mount namespace.
    pub(super) root: Option<Reg>,
    /// The host's root, while the container's is not the root of the mount namespace.
    pub(super) host: Option<Reg>,
    /// Where the code that comes next has its root directory.
    pub(super) stand: Stand,
    /// The host's /proc, while it is still to be written to from another mount namespace.
    pub(super) proc: Option<Reg>,
    /// The last step that writes there, if the process is in another mount namespace by then.
    pub(super) last_to_proc: Option<usize>,
    /// The process waits for `start`, and gives it the memory of the plan.
    pub(super) waits: bool,
    /// The host's /dev/null, for masks.
    pub(super) null: Option<Reg>,
    /// The tmpfs that masks directories; below zero until one was needed.
    pub(super) empty: Option<Reg>,
    /// The open label file.
    pub(super) label: Option<Reg>,
    /// Address of the program's path.
    pub(super) program: Option<Reg>,
    /// The connection of the caller of `start`.
    pub(super) caller: Option<Reg>,
    /// The filter's listener, until it is sent.
    pub(super) listener: Option<Reg>,
    /// The type whose name is at [`SEALED`](super::step::SEALED).
    pub(super) sealed: Option<String>,
    /// The descriptor of the plan's memory was closed.
    pub(super) memory_closed: bool,
    /// How often a process is still to hand over to another one.
    pub(super) births: usize,
    /// Whether mounts are still shared with the host.
    pub(super) shared_with_host: bool,
    /// The propagation that the copy of the root gets, if mounts are still shared with the host.
    pub(super) root_propagation: PropagationKind,
    /// A `struct stat` that all steps use.
    pub(super) stat: Option<Arg>,
    /// The pieces of paths seen so far.
    pub(super) empty_text: Option<Arg>,
}

impl Lowering {
    /// Without code yet.
    pub(super) fn new(lines: &[Line], slots: &Slots, kernel: Kernel) -> Self {
        Self {
            asm: Assembler::new(FIRST_SLOT + slots.at_birth().count()),
            kernel,
            slots: registers(slots),
            batches: (0..slots.batches()).map(|n| ids(slots.batch(n))).collect(),
            kept: Vec::new(),
            root: None,
            host: None,
            stand: Stand::Host,
            proc: None,
            last_to_proc: last_to_proc(lines),
            waits: lines
                .iter()
                .any(|line| matches!(line.step, Step::Control(ControlStep::AwaitStart { .. }))),
            null: None,
            empty: None,
            label: None,
            program: None,
            caller: None,
            listener: None,
            sealed: None,
            memory_closed: false,
            births: lines
                .iter()
                .filter(|line| matches!(line.step, Step::Control(ControlStep::HandOver { .. })))
                .count(),
            shared_with_host: false,
            root_propagation: PropagationKind::Private,
            stat: None,
            empty_text: None,
        }
    }

    /// The register of a slot. The compiler asks for a batch before it uses a slot of it.
    pub(super) fn slot(&mut self, slot: SlotId) -> Reg {
        match self.slots.get(slot.index()).copied().flatten() {
            Some(register) => register,
            None => self.asm.refuse(),
        }
    }

    pub(super) fn control_socket() -> Reg {
        Reg(CONTROL as u8)
    }

    pub(super) fn memory() -> Reg {
        Reg(MEMORY as u8)
    }

    /// The directory of which the container's paths are looked up: its root, which is the process's root from here
    /// on. The compiler puts [`RootfsStep::Root`](super::step::RootfsStep::Root) before every step that needs it.
    pub(super) fn root(&mut self) -> Arg {
        match (self.root, self.stand) {
            (Some(root), Stand::Container) => root.into(),
            (Some(root), Stand::Host) => {
                self.change_root(root);
                self.stand = Stand::Container;
                root.into()
            }
            (None, Stand::Container) => CWD.into(),
            (None, Stand::Host) => self.asm.refuse().into(),
        }
    }

    /// The directory of which absolute paths of the host are looked up. The process's root is the host's from here on.
    pub(super) fn at_host(&mut self) -> Arg {
        match (self.host, self.stand) {
            (_, Stand::Host) => CWD.into(),
            (Some(host), Stand::Container) => {
                self.change_root(host);
                self.stand = Stand::Host;
                CWD.into()
            }
            (None, Stand::Container) => self.asm.refuse().into(),
        }
    }

    pub(super) fn change_root(&mut self, directory: Reg) {
        let (tolerated, dot) = (self.asm.before_the_next_call(), self.text(c"."));
        self.asm.call(libc::SYS_fchdir, &[directory.into()]);
        self.asm.call(libc::SYS_chroot, &[dot]);
        self.asm.go_on(tolerated);
    }

    /// The process's root and working directory are those of the container, for good.
    pub(super) fn leave_host(&mut self) {
        self.stand = Stand::Container;
        self.root = None;
        self.host = None;
    }

    /// An `O_PATH` descriptor of a file of the host's, found from its root without leaving that of the container.
    pub(super) fn open_on_host(&mut self, path: &str) -> Reg {
        let flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
        let path = self.string(path);
        match self.host {
            Some(host) => {
                let how = self.asm.words(&[flags, 0, IN_ROOT]);
                self.asm.call_to(libc::SYS_openat2, &[host.into(), path, how, 24.into()])
            }
            None => {
                let directory = self.at_host();
                self.asm.call_to(libc::SYS_openat, &[directory, path, flags.into()])
            }
        }
    }

    pub(super) fn text(&mut self, text: &CStr) -> Arg {
        self.asm.text(text)
    }

    pub(super) fn string(&mut self, text: &str) -> Arg {
        self.asm.string(text)
    }

    /// The empty path of `AT_EMPTY_PATH`.
    pub(super) fn empty(&mut self) -> Arg {
        if self.empty_text.is_none() {
            self.empty_text = Some(self.asm.text(c""));
        }
        self.empty_text.unwrap_or_else(|| Arg::from(0))
    }

    /// Opens a path below the root: `flags` as openat2(2)'s, `resolve` besides [`IN_ROOT`].
    pub(super) fn open_in_root(&mut self, path: &str, flags: i32, resolve: u64) -> Reg {
        let (root, rest) = self.below(path);
        let (how, path) = (self.how(flags, resolve), self.string(&rest));
        self.asm.call_to(libc::SYS_openat2, &[root, path, how, 24.into()])
    }

    /// `struct open_how` of a lookup below a directory.
    pub(super) fn how(&mut self, flags: i32, resolve: u64) -> Arg {
        self.asm.words(&[(flags | libc::O_CLOEXEC) as u64, 0, IN_ROOT | resolve])
    }

    /// The directory from which a path of the container is looked up, and what is left of the path there.
    pub(super) fn below<'p>(&mut self, path: &'p str) -> (Arg, Cow<'p, str>) {
        let root = self.root();
        let place = plain(path);
        let kept = self.kept.iter().filter_map(|(mount, register)| {
            let place = place.as_deref().filter(|place| is_at_or_below(place, mount))?;
            Some((*register, place.get(mount.len()..)?))
        });
        match kept.min_by_key(|(_, rest)| rest.len()) {
            Some((register, "")) => (register.into(), Cow::Borrowed(".")),
            Some((register, rest)) => (register.into(), Cow::Owned(rest.to_owned())),
            None => (root, Cow::Borrowed(path)),
        }
    }

    /// What comes to lie on a path, or above it, hides the mounts that are there.
    pub(super) fn forget_below(&mut self, path: &str) {
        let Some(place) = plain(path) else { return };
        let asm = &mut self.asm;
        self.kept.retain(|(mount, register)| {
            let stays = !is_at_or_below(mount, &place);
            if !stays {
                asm.close(*register);
            }
            stays
        });
    }

    /// A mount below which others are to be found; whether it is one, and its descriptor stays.
    pub(super) fn keep(&mut self, path: &str, mount: Reg) -> bool {
        const MOST: usize = 8;
        match plain(path) {
            Some(place) if self.kept.len() < MOST && place.len() > 1 => {
                self.kept.push((place.into_owned(), mount));
                true
            }
            _ => false,
        }
    }

    /// fstat(2) of an open file; the structure's address.
    pub(super) fn stat(&mut self, fd: Reg) -> Arg {
        if self.stat.is_none() {
            self.stat = Some(self.asm.scratch(size_of::<libc::stat>()));
        }
        let at = self.stat.unwrap_or_else(|| Arg::from(0));
        self.asm.call(libc::SYS_fstat, &[fd.into(), at]);
        at
    }

    /// The file type bits of an open file.
    pub(super) fn file_type(&mut self, fd: Reg) -> Reg {
        let stat = self.stat(fd);
        let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
        self.asm.load(4, stat.plus(at), u64::from(libc::S_IFMT))
    }

    /// Fails the step unless an open file is one of procfs, whatever is mounted on the host's /proc.
    pub(super) fn must_be_procfs(&mut self, fd: Reg) {
        let about = self.asm.scratch(size_of::<libc::statfs>());
        self.asm.call(libc::SYS_fstatfs, &[fd.into(), about]);
        let kind = self.asm.load(4, about, u64::from(u32::MAX));
        let right = self.asm.label();
        self.asm.jump_if(compare::EQUAL, kind, libc::PROC_SUPER_MAGIC as u64, right);
        self.asm.fail(Errno::EXDEV);
        self.asm.place(right);
        self.asm.release(kind);
    }

    /// Fails the step with `errno` unless an open file is this device.
    pub(super) fn must_be_device(&mut self, file: Reg, kind: u32, number: u64, errno: Errno) {
        let (wrong, right) = (self.asm.label(), self.asm.label());
        let found = self.file_type(file);
        self.asm.jump_if(compare::NOT_EQUAL, found, kind, wrong);
        let stat = self.stat(file);
        let at = std::mem::offset_of!(libc::stat, st_rdev) as u64;
        let device = self.asm.load(8, stat.plus(at), u64::MAX);
        self.asm.jump_if(compare::EQUAL, device, number, right);
        self.asm.place(wrong);
        self.asm.fail(errno);
        self.asm.place(right);
        self.asm.release(found);
        self.asm.release(device);
    }

    /// Writes a text to an open file in one call.
    pub(super) fn write(&mut self, fd: Reg, text: &str) {
        let data = self.string(text);
        self.asm.call(libc::SYS_write, &[fd.into(), data, text.len().into()]);
    }

    /// The directory of which a file of the host's /proc is looked up, and its path there.
    pub(super) fn in_proc(&mut self, path: &str) -> (Arg, Arg) {
        match self.proc {
            Some(proc) => {
                let below = path.trim_start_matches("/proc/");
                (proc.into(), self.string(below))
            }
            None => (self.at_host(), self.string(path)),
        }
    }

    /// Opens the host's /proc for what is written there later, from another mount namespace.
    pub(super) fn keep_proc(&mut self) {
        if self.last_to_proc.is_none() || self.proc.is_some() {
            return;
        }
        let (path, flags) = (self.text(c"/proc"), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
        let directory = self.at_host();
        self.proc = Some(self.asm.call_to(libc::SYS_openat, &[directory, path, flags.into()]));
    }

    /// Writes a text to a file of the host's /proc.
    pub(super) fn write_file(&mut self, path: &str, text: &str) {
        let (directory, path) = self.in_proc(path);
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let fd = self.asm.call_to(libc::SYS_openat, &[directory, path, flags.into()]);
        self.must_be_procfs(fd);
        self.write(fd, text);
        self.asm.close(fd);
    }
}

/// The last step that writes to the host's /proc, if one that joins a mount namespace comes before.
fn last_to_proc(lines: &[Line]) -> Option<usize> {
    let writes = |line: &Line| {
        matches!(
            &line.step,
            Step::Process(ProcessStep::OomScoreAdj(_) | ProcessStep::OpenLabel { .. })
                | Step::Namespace(NamespaceStep::Sysctl { .. })
        ) || matches!(&line.step, Step::Namespace(NamespaceStep::TimeNamespace { offsets }) if !offsets.is_empty())
    };
    let joins = |line: &Line| {
        matches!(&line.step, Step::Namespace(NamespaceStep::JoinNamespace { target, .. })
            if target.flags() & NamespaceKind::Mount.flag() != 0)
    };
    let joined = lines.iter().position(joins)?;
    lines.iter().rposition(writes).filter(|last| *last > joined)
}

fn ids<'a>(slots: impl Iterator<Item = (SlotId, &'a Slot)>) -> Vec<SlotId> {
    slots.map(|(id, _)| id).collect()
}

/// The first registers hold the slots that are there from the beginning.
fn registers(slots: &Slots) -> Vec<Option<Reg>> {
    let mut registers = vec![None; slots.iter().count()];
    for (register, (id, _)) in (FIRST_SLOT..).zip(slots.at_birth()) {
        if let Some(place) = registers.get_mut(id.index()) {
            *place = Some(Reg(register as u8));
        }
    }
    registers
}
