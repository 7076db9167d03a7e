//! The code of a plan while it is written: registers, slots, and which root the stub has.

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

/// Which root directory the process has. A path of the container is only looked up in [`Stand::Container`], so a lookup
/// that goes wrong cannot leave the container's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Host,
    Container,
}

/// The code of one plan so far, and what is known after it.
pub(super) struct Lowering {
    pub(super) asm: Assembler,
    pub(super) kernel: Kernel,
    /// The register of each slot whose descriptor the stub has.
    pub(super) slots: Vec<Option<Reg>>,
    /// The slots of each batch that is not received yet.
    pub(super) batches: Vec<Vec<SlotId>>,
    /// The container's mounts of procfs and sysfs. Paths below them are looked up from these descriptors, so a change of the
    /// path above does not matter.
    pub(super) kernel_mounts: Vec<(String, Reg)>,
    /// The root file system's mount, while it is not the root of the mount namespace.
    pub(super) root: Option<Reg>,
    /// Whether the root file system's mount is attached over the host's root.
    pub(super) root_covers_host: bool,
    /// The host's root, while the container's is not the root of the mount namespace.
    pub(super) host: Option<Reg>,
    /// The root directory that the process has at the code's end.
    pub(super) stand: Stand,
    /// The host's /proc, while later steps in another mount namespace write there.
    pub(super) proc: Option<Reg>,
    /// The last step that writes to the host's /proc, if the process is in another mount namespace by then.
    pub(super) last_to_proc: Option<usize>,
    /// Whether the process waits for `start`, to which it sends the memory of the plan.
    pub(super) waits: bool,
    /// The host's /dev/null, for masks.
    pub(super) null: Option<Reg>,
    /// The tmpfs that masks directories; the register is negative until one is needed.
    pub(super) empty: Option<Reg>,
    /// The open file for the program's label.
    pub(super) label: Option<Reg>,
    /// The open file for the label of new keys.
    pub(super) key_label: Option<Reg>,
    /// The address of the program's path.
    pub(super) program: Option<Reg>,
    /// The connection of the caller of `start`.
    pub(super) caller: Option<Reg>,
    /// The filter's listener, until it is sent.
    pub(super) listener: Option<Reg>,
    /// The type whose name is at [`SEALED`](super::step::SEALED).
    pub(super) sealed: Option<String>,
    /// Whether the descriptor of the plan's memory is closed.
    pub(super) memory_closed: bool,
    /// How many more times a process hands over to a clone.
    pub(super) births: usize,
    /// Whether mounts are still shared with the host.
    pub(super) shared_with_host: bool,
    /// The propagation that the copy of the root gets, if mounts are still shared with the host.
    pub(super) root_propagation: PropagationKind,
    /// A `struct stat` that all steps use.
    pub(super) stat: Option<Arg>,
    /// The empty string, once it is in the data.
    pub(super) empty_text: Option<Arg>,
}

impl Lowering {
    /// Code without instructions.
    pub(super) fn new(lines: &[Line], slots: &Slots, kernel: Kernel) -> Self {
        Self {
            asm: Assembler::new(FIRST_SLOT + slots.at_birth().count()),
            kernel,
            slots: registers(slots),
            batches: (0..slots.batches()).map(|n| ids(slots.batch(n))).collect(),
            kernel_mounts: Vec::new(),
            root: None,
            root_covers_host: false,
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
            key_label: None,
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

    /// The register of a slot. The plan receives a batch before it uses a slot of it.
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

    /// The directory from which the container's paths are looked up: its root, which is the process's root from here
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

    /// The directory from which the host's paths are looked up. The process's root is the host's from here on.
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
        let (tolerated, dot) = (self.asm.suspend_tolerance(), self.text(c"."));
        self.asm.call(libc::SYS_fchdir, &[directory.into()]);
        self.asm.call(libc::SYS_chroot, &[dot]);
        self.asm.resume_tolerance(tolerated);
    }

    /// Records that the process has the container's root and working directory, and cannot return to the host's.
    pub(super) fn leave_host(&mut self) {
        self.stand = Stand::Container;
        self.root = None;
        self.host = None;
    }

    /// An `O_PATH` descriptor of a file of the host, which is looked up from the host's root while the process keeps the
    /// container's.
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

    /// openat2(2) of a path below the container's root, with `resolve` in addition to [`IN_ROOT`].
    pub(super) fn open_in_root(&mut self, path: &str, flags: i32, resolve: u64) -> Reg {
        let (root, rest) = self.below(path);
        let (how, path) = (self.how(flags, resolve), self.string(&rest));
        self.asm.call_to(libc::SYS_openat2, &[root, path, how, 24.into()])
    }

    /// `struct open_how` of a lookup below a directory.
    pub(super) fn how(&mut self, flags: i32, resolve: u64) -> Arg {
        self.asm.words(&[(flags | libc::O_CLOEXEC) as u64, 0, IN_ROOT | resolve])
    }

    /// The directory from which a path of the container is looked up, and the rest of the path.
    pub(super) fn below<'p>(&mut self, path: &'p str) -> (Arg, Cow<'p, str>) {
        let root = self.root();
        let place = plain(path);
        let found = self.kernel_mounts.iter().filter_map(|(mount, register)| {
            let place = place.as_deref().filter(|place| is_at_or_below(place, mount))?;
            Some((*register, place.get(mount.len()..)?))
        });
        match found.min_by_key(|(_, rest)| rest.len()) {
            Some((register, "")) => (register.into(), Cow::Borrowed(".")),
            Some((register, rest)) => (register.into(), Cow::Owned(rest.to_owned())),
            None => (root, Cow::Borrowed(path)),
        }
    }

    /// Closes the descriptors of kernel mounts that a new mount at `path` hides.
    pub(super) fn forget_below(&mut self, path: &str) {
        let Some(place) = plain(path) else { return };
        let asm = &mut self.asm;
        self.kernel_mounts.retain(|(mount, register)| {
            let stays = !is_at_or_below(mount, &place);
            if !stays {
                asm.close(*register);
            }
            stays
        });
    }

    /// Keeps the descriptor of a procfs or sysfs, from which paths below it are looked up; `false` if it is not kept.
    pub(super) fn keep_kernel_mount(&mut self, path: &str, mount: Reg) -> bool {
        const MOST: usize = 8;
        match plain(path) {
            Some(place) if self.kernel_mounts.len() < MOST && place.len() > 1 => {
                self.kernel_mounts.push((place.into_owned(), mount));
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

    /// Fails the step unless an open file is on a procfs: something else may be mounted on the host's /proc.
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

    /// Writes a text to an open file, with one write(2).
    pub(super) fn write(&mut self, fd: Reg, text: &str) {
        let data = self.string(text);
        self.asm.call(libc::SYS_write, &[fd.into(), data, text.len().into()]);
    }

    /// The directory from which a file of the host's /proc is looked up, and its path there.
    pub(super) fn in_proc(&mut self, path: &str) -> (Arg, Arg) {
        match self.proc {
            Some(proc) => {
                let below = path.trim_start_matches("/proc/");
                (proc.into(), self.string(below))
            }
            None => (self.at_host(), self.string(path)),
        }
    }

    /// Opens the host's /proc, if later steps in another mount namespace write there.
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

/// The last step that writes to the host's /proc, if it comes after a step that joins a mount namespace.
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

/// The first registers hold the slots that the stub starts with.
fn registers(slots: &Slots) -> Vec<Option<Reg>> {
    let mut registers = vec![None; slots.iter().count()];
    for (register, (id, _)) in (FIRST_SLOT..).zip(slots.at_birth()) {
        if let Some(place) = registers.get_mut(id.index()) {
            *place = Some(Reg(register as u8));
        }
    }
    registers
}
