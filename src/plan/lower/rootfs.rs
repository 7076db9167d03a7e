//! The root file system: attach, mask, protect, pivot. What is mounted is in `mount.rs`, devices in `device.rs`.

use super::super::machine::{compare, last};
use super::super::step::{RootfsStep, SEALED, SlotId, Turn, plain};
use super::{CWD, Lower, Stand};
use crate::mount::options::{DataOption, MountOptions};
use crate::mount::{Propagation, PropagationKind};
use crate::plan::assemble::{Arg, Reg};
use crate::sys::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, SYS_OPEN_TREE_ATTR, config};
use nix::errno::Errno;

/// `OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC`.
pub(super) const CLONE: u32 = OpenTreeFlags::CLONE.bits() | libc::O_CLOEXEC as u32;
/// `AT_EMPTY_PATH` as an unsigned flag.
pub(super) const EMPTY: u32 = libc::AT_EMPTY_PATH as u32;
/// `AT_RECURSIVE` as an unsigned flag.
pub(super) const RECURSIVE: u32 = OpenTreeFlags::RECURSIVE.bits();

/// More directories than a path can have.
const DEEPEST: i32 = 2048;

impl Lower {
    pub(super) fn rootfs(&mut self, step: &RootfsStep) {
        match step {
            RootfsStep::OpenUmask => self.asm.call(libc::SYS_umask, &[0.into()]),
            RootfsStep::HostPropagation(propagation) => self.host_propagation(*propagation),
            RootfsStep::Root { path, slot } => self.attach_root(path, *slot),
            RootfsStep::AttachTree { slot, path } => self.attach_tree(*slot, path),
            RootfsStep::MountPoint { path } => {
                let point = self.mount_point(path, false);
                self.asm.close(point);
            }
            RootfsStep::HostRoot => self.own_root(),
            RootfsStep::ChangeRoot { slot } => {
                let directory = self.slot(*slot);
                self.change_root(directory);
                self.stand = Stand::Host;
                self.asm.close(directory);
            }
            RootfsStep::EmptyRoot => self.empty_root(),
            RootfsStep::SealType { kind } => self.seal_type(kind),
            RootfsStep::SendContext => self.send_context(),
            RootfsStep::SendFileSystem { kind, options, of } => self.send_file_system(kind, options, *of),
            RootfsStep::Mount(mount) => self.mount(mount),
            RootfsStep::CgroupMount { destination, options, views, context } => {
                self.cgroup_v1(destination, options, views, context.as_ref());
            }
            RootfsStep::MakeNode(node) => self.node(node),
            RootfsStep::DevLinks { kcore } => self.dev_links(*kcore),
            RootfsStep::Mask { path, context } => self.mask(path, context.as_ref()),
            RootfsStep::ReadonlyPath { path } => self.readonly_path(path),
            RootfsStep::ReadonlyMount { path } => self.readonly_mount(path),
            RootfsStep::Pivot { move_mount } => self.pivot(*move_mount),
            RootfsStep::ReadonlyRoot => {
                let attributes = self.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
                let (root, empty) = (self.root(), self.empty());
                self.setattr(root, empty, EMPTY, attributes);
            }
            RootfsStep::RootPropagation(propagation) => {
                let (root, empty) = (self.root(), self.empty());
                self.propagation(root, empty, *propagation, true);
            }
            RootfsStep::Unmount { directory, name } => self.unmount(directory, name.as_str()),
        }
    }

    fn host_propagation(&mut self, propagation: Propagation) {
        let slash = self.text(c"/");
        self.propagation(CWD.into(), slash, propagation, false);
        self.host_hears = propagation.kind == PropagationKind::Shared || !propagation.recursive;
        let slave = propagation.kind == PropagationKind::Slave;
        self.root_leaves = if slave { PropagationKind::Slave } else { PropagationKind::Private };
    }

    fn attach_tree(&mut self, slot: SlotId, path: &str) {
        let (tree, empty, path) = (self.slot(slot), self.empty(), self.string(path));
        let (directory, flags) = (self.at_host(), MoveMountFlags::F_EMPTY_PATH.bits());
        self.asm.call(libc::SYS_move_mount, &[tree.into(), empty, directory, path, flags.into()]);
    }

    fn readonly_mount(&mut self, path: &str) {
        let mount = self.open_in_root(path, libc::O_PATH, 0);
        let attributes = self.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
        let empty = self.empty();
        self.setattr(mount.into(), empty, EMPTY, attributes);
        self.asm.close(mount);
    }

    pub(super) fn setattr(&mut self, dir: Arg, path: Arg, flags: u32, attributes: Arg) {
        self.asm.call(libc::SYS_mount_setattr, &[dir, path, flags.into(), attributes, 32.into()]);
    }

    pub(super) fn propagation(&mut self, dir: Arg, path: Arg, propagation: Propagation, of_fd: bool) {
        let attributes = self.asm.words(&[0, 0, propagation.kind.flag().bits(), 0]);
        let flags = if propagation.recursive { RECURSIVE } else { 0 } | if of_fd { EMPTY } else { 0 };
        self.setattr(dir, path, flags, attributes);
    }

    /// Attaches a mount onto what an `O_PATH` descriptor stands for.
    pub(super) fn attach(&mut self, mount: Reg, onto: impl Into<Arg>) {
        let empty = self.empty();
        let flags = (MoveMountFlags::F_EMPTY_PATH | MoveMountFlags::T_EMPTY_PATH).bits();
        self.asm.call(libc::SYS_move_mount, &[mount.into(), empty, onto.into(), empty, flags.into()]);
    }

    fn attach_root(&mut self, path: &str, slot: Option<SlotId>) {
        let text = self.string(path);
        let root = match slot {
            Some(slot) => self.slot(slot),
            None => {
                let flags = CLONE | RECURSIVE;
                self.asm.call_to(libc::SYS_open_tree, &[CWD.into(), text, flags.into()])
            }
        };
        self.host = Some(self.open_root());
        let empty = self.empty();
        if slot.is_some() {
            // A mount that was handed over may be a peer of the host's.
            self.propagation(root.into(), empty, Propagation::recursive(PropagationKind::Slave), true);
        }
        if self.host_hears {
            // The copy is a peer of the mount that it was taken from, which may be any of the host's.
            self.propagation(root.into(), empty, Propagation::single(self.root_leaves), true);
        }
        if self.host_hears && slot.is_none() {
            self.keep_to_itself(text);
        }
        // A detached tree may be attached anywhere: over the root, where its own path is out of reach for
        // this user namespace.
        let target = if slot.is_some() { self.text(c"/") } else { text };
        self.asm.call(
            libc::SYS_move_mount,
            &[root.into(), empty, CWD.into(), target, MoveMountFlags::F_EMPTY_PATH.bits().into()],
        );
        self.root = Some(root);
        // Nothing in it is touched before it is the process's root.
        self.root();
    }

    /// The process's root directory.
    fn open_root(&mut self) -> Reg {
        let (slash, flags) = (self.text(c"/"), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
        self.asm.call_to(libc::SYS_openat, &[CWD.into(), slash, flags.into()])
    }

    /// The root that the process has is the one that is worked on.
    pub(super) fn own_root(&mut self) {
        let root = self.open_root();
        self.root = Some(root);
        self.stand = Stand::Container;
    }

    /// An empty tmpfs becomes the process's root and working directory; the host's can be reached no more.
    fn empty_root(&mut self) {
        let (kind, dot) = (self.text(c"tmpfs"), self.text(c"."));
        let context = self.asm.call_to(libc::SYS_fsopen, &[kind, 1.into()]);
        let create = crate::sys::mount::config::CMD_CREATE;
        self.asm.call(libc::SYS_fsconfig, &[context.into(), create.into(), 0.into(), 0.into(), 0.into()]);
        let root = self
            .asm
            .call_to(libc::SYS_fsmount, &[context.into(), 1.into(), MountAttrFlags::RDONLY.bits().into()]);
        self.asm.close(context);
        self.asm.call(libc::SYS_fchdir, &[root.into()]);
        self.asm.call(libc::SYS_chroot, &[dot]);
        self.asm.close(root);
        self.leave_host();
    }

    /// A new file system that needs nothing but the process's namespaces, sent to the host side.
    /// In a page that is shared with nobody, and read-only: what writes to another process's memory is refused there,
    /// as it would have no copy of its own.
    fn seal_type(&mut self, kind: &str) {
        const LENGTH: u64 = 4096;
        let (both, read) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ);
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let args = [SEALED.into(), LENGTH.into(), both.into(), flags.into(), (-1).into(), 0.into()];
        self.asm.call(libc::SYS_mmap, &args);
        let (pipe, text, length) = (self.asm.scratch(8), self.string(kind), kind.len() as u64 + 1);
        self.asm.call(libc::SYS_pipe2, &[pipe, libc::O_CLOEXEC.into()]);
        let (from, to) = (self.asm.load(4, pipe, u64::MAX), self.asm.load(4, pipe.plus(4), u64::MAX));
        self.asm.call(libc::SYS_write, &[to.into(), text, length.into()]);
        self.asm.call(libc::SYS_read, &[from.into(), SEALED.into(), length.into()]);
        for end in [from, to] {
            self.asm.close(end);
        }
        self.asm.call(libc::SYS_mprotect, &[SEALED.into(), LENGTH.into(), read.into()]);
        self.sealed = Some(kind.to_owned());
    }

    fn send_context(&mut self) {
        let context = self.asm.call_to(libc::SYS_fsopen, &[SEALED.into(), 1.into()]);
        self.send(Self::control_socket(), context, &[Turn::Made.code()], false);
        self.asm.release(context);
    }

    fn send_file_system(&mut self, kind: &str, options: &MountOptions, of: Option<SlotId>) {
        let context = self.file_system_context(kind, kind, options);
        if let Some(slot) = of {
            let (namespace, key) = (self.slot(slot), self.text(c"pidns"));
            let args = [context.into(), config::SET_FD.into(), key, 0.into(), namespace.into()];
            self.asm.call(libc::SYS_fsconfig, &args);
            self.asm.close(namespace);
        }
        let made = self.create_file_system(context, options.new_mount_attributes());
        let socket = Self::control_socket();
        self.send(socket, made, &[Turn::Made.code()], false);
        self.asm.close(made);
    }

    /// The mount in which a directory lies passes nothing on: that of the nearest directory above which is a
    /// mount's root. Volumes of other mounts of the host's stay its peers.
    fn keep_to_itself(&mut self, path: Arg) {
        let (again, done) = (self.asm.label(), self.asm.label());
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let above = self.asm.call_to(libc::SYS_openat, &[CWD.into(), path, flags.into()]);
        let attributes = self.asm.words(&[0, 0, libc::MS_PRIVATE, 0]);
        let (empty, parent) = (self.empty(), self.text(c".."));
        let (answer, left) = (self.asm.register(), self.asm.register());
        self.asm.set(left, DEEPEST);
        self.asm.place(again);
        self.asm.tolerating(&[Errno::EINVAL]);
        let args = [above.into(), empty, EMPTY.into(), attributes, 32.into()];
        self.asm.call_into(answer, libc::SYS_mount_setattr, &args);
        self.asm.jump_if(compare::EQUAL, answer, 0, done);
        self.asm.call_into(answer, libc::SYS_openat, &[above.into(), parent, flags.into()]);
        self.asm.call(libc::SYS_dup3, &[answer.into(), above.into(), libc::O_CLOEXEC.into()]);
        self.asm.call(libc::SYS_close, &[answer.into()]);
        self.asm.add(left, -1);
        self.asm.jump_if(compare::GREATER_EQUAL, left, 0, again);
        // In a chroot(2) that is no mount's root there is none above.
        self.asm.fail(Errno::EINVAL, 0);
        self.asm.place(done);
        self.asm.close(above);
        self.asm.release(answer);
        self.asm.release(left);
    }

    /// The container's root becomes that of the mount namespace. For this alone the process goes back to the host's.
    fn pivot(&mut self, move_mount: bool) {
        let (Some(root), Some(old)) = (self.root, self.host) else {
            self.asm.refuse();
            return;
        };
        let (dot, host) = (self.text(c"."), self.at_host());
        if move_mount {
            let slash = self.text(c"/");
            if self.host_hears {
                // What is moved onto it would come to the host.
                self.propagation(host, slash, Propagation::single(PropagationKind::Private), false);
            }
            let (empty, flags) = (self.empty(), MoveMountFlags::F_EMPTY_PATH.bits());
            self.asm.call(libc::SYS_move_mount, &[root.into(), empty, host, slash, flags.into()]);
            self.change_root(root);
        } else {
            self.asm.call(libc::SYS_fchdir, &[root.into()]);
            // After pivot_root(2) the old root lies over the new one, where we stand; of these calls only
            // umount2(2) looks up from there, so the other one needs a descriptor.
            self.asm.call(libc::SYS_pivot_root, &[dot, dot]);
            if self.host_hears {
                // What is unmounted here must not be unmounted on the host.
                let (empty, slave) = (self.empty(), Propagation::recursive(PropagationKind::Slave));
                self.propagation(old.into(), empty, slave, true);
            }
            self.asm.call(libc::SYS_umount2, &[dot, libc::MNT_DETACH.into()]);
        }
        let slash = self.text(c"/");
        self.asm.call(libc::SYS_chdir, &[slash]);
        self.forget_below("/");
        self.asm.close(root);
        self.asm.close(old);
        if let Some(null) = self.null.take() {
            self.asm.close(null);
        }
        if let Some(empty) = self.empty.take() {
            // There is one only if a directory was masked.
            self.asm.tolerating(&[Errno::EBADF]);
            self.asm.close(empty);
        }
        self.leave_host();
    }

    /// The host's null device: it cannot be what an image has put in its place.
    fn host_null(&mut self) -> Reg {
        if let Some(null) = self.null {
            return null;
        }
        let null = self.open_on_host("/dev/null");
        self.must_be_device(null, libc::S_IFCHR, libc::makedev(1, 3), Errno::ENODEV);
        self.null = Some(null);
        null
    }

    /// A directory disappears under an empty read-only tmpfs (one for all), a file under /dev/null.
    fn mask(&mut self, path: &str, context: Option<&DataOption>) {
        let null = self.host_null();
        let empty_dir = match self.empty {
            Some(register) => register,
            None => {
                let register = self.asm.register();
                self.asm.set(register, -1);
                self.empty = Some(register);
                register
            }
        };
        let (done, file, attach) = (self.asm.label(), self.asm.label(), self.asm.label());
        // There is nothing of that name to be hidden.
        self.asm.tolerating(&[Errno::ENOENT]);
        let target = self.open_in_root(path, libc::O_PATH, 0);
        self.asm.jump_if_failed(target, done);
        let kind = self.file_type(target);
        self.asm.jump_if(compare::NOT_EQUAL, kind, u64::from(libc::S_IFDIR), file);
        let copy = self.asm.register();
        let clone = self.asm.label();
        self.asm.jump_if(compare::GREATER_EQUAL, empty_dir, 0, clone);
        self.make_empty(empty_dir, context);
        self.attach(empty_dir, target);
        let close = self.asm.label();
        self.asm.jump(close);
        self.asm.place(clone);
        let (nothing, flags) = (self.empty(), CLONE | EMPTY);
        self.asm.call_into(copy, libc::SYS_open_tree, &[empty_dir.into(), nothing, flags.into()]);
        self.asm.jump(attach);
        self.asm.place(file);
        self.asm.call_into(copy, libc::SYS_open_tree, &[null.into(), nothing, flags.into()]);
        self.asm.place(attach);
        self.attach(copy, target);
        self.asm.call(libc::SYS_close, &[copy.into()]);
        self.asm.place(close);
        self.asm.call(libc::SYS_close, &[target.into()]);
        self.asm.place(done);
        for register in [target, kind, copy] {
            self.asm.release(register);
        }
    }

    /// The tmpfs which masks directories.
    fn make_empty(&mut self, into: Reg, label: Option<&DataOption>) {
        let kind = self.text(c"tmpfs");
        let context = self.asm.call_to(libc::SYS_fsopen, &[kind, 1.into()]);
        if let Some(label) = label {
            self.configure(context, &label.key, label.value.as_deref());
        }
        let create = crate::sys::mount::config::CMD_CREATE;
        self.asm.call(libc::SYS_fsconfig, &[context.into(), create.into(), 0.into(), 0.into(), 0.into()]);
        self.asm.call_into(
            into,
            libc::SYS_fsmount,
            &[context.into(), 1.into(), MountAttrFlags::RDONLY.bits().into()],
        );
        self.asm.close(context);
    }

    /// A read-only copy of the tree lies over it.
    fn readonly_path(&mut self, path: &str) {
        let done = self.asm.label();
        let flags = CLONE | RECURSIVE | EMPTY;
        self.asm.tolerating(&[Errno::ENOENT]);
        let target = self.open_in_root(path, libc::O_PATH, 0);
        self.asm.jump_if_failed(target, done);
        let attributes = self.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
        let empty = self.empty();
        let copy = self.clone_tree(target.into(), empty, flags, Some(attributes));
        self.attach(copy, target);
        self.asm.close(copy);
        self.asm.close(target);
        self.asm.place(done);
    }

    /// A detached copy of a tree, with attributes changed (for all mounts in it if `flags` say so).
    pub(super) fn clone_tree(&mut self, dir: Arg, path: Arg, flags: u32, attributes: Option<Arg>) -> Reg {
        match attributes {
            Some(attributes) if self.kernel.open_tree_attr => {
                self.asm.call_to(SYS_OPEN_TREE_ATTR, &[dir, path, flags.into(), attributes, 32.into()])
            }
            Some(attributes) => {
                let copy = self.asm.call_to(libc::SYS_open_tree, &[dir, path, flags.into()]);
                let empty = self.empty();
                self.setattr(copy.into(), empty, EMPTY | (flags & RECURSIVE), attributes);
                copy
            }
            None => self.asm.call_to(libc::SYS_open_tree, &[dir, path, flags.into()]),
        }
    }

    /// An `O_PATH` descriptor of a mount point, made if it is missing. No link leads to one for procfs or sysfs, nor to
    /// one at their places.
    pub(super) fn mount_point(&mut self, path: &str, no_symlinks: bool) -> Reg {
        if !no_symlinks && !is_kernels_place(path) {
            let spot = self.spot(path);
            return self.make_at(&spot, last::DIRECTORY.into());
        }
        let (root, rest) = self.below(path);
        let (found, flags) = (self.asm.label(), libc::O_PATH | libc::O_DIRECTORY);
        let (text, how) = (self.string(&rest), self.how(flags, libc::RESOLVE_NO_SYMLINKS));
        self.asm.tolerating(&[Errno::ENOENT]);
        let point = self.asm.call_to(libc::SYS_openat2, &[root, text, how, 24.into()]);
        self.asm.jump_if(compare::GREATER_EQUAL, point, 0, found);
        let made = self.asm.make_path(root, text, last::DIRECTORY, 0o755);
        self.asm.close(made);
        self.asm.call_into(point, libc::SYS_openat2, &[root, text, how, 24.into()]);
        self.asm.place(found);
        point
    }

    /// From where a mount point is looked up. What lies below /proc and /sys is found from these, and they are no
    /// links.
    pub(super) fn spot(&mut self, path: &str) -> Spot {
        let (root, rest) = self.below(path);
        let place = plain(path).filter(|_| rest == path);
        let above = place.as_deref().and_then(|place| {
            KERNELS_PLACES.into_iter().find_map(|above| Some((above, place.strip_prefix(above)?)))
        });
        match above {
            Some((above, below)) if below.starts_with('/') => {
                let (below, opened) = (below.to_owned(), self.mount_point(above, true));
                Spot { root: opened.into(), rest: below, opened: Some(opened) }
            }
            _ => Spot { root, rest, opened: None },
        }
    }

    /// Makes what is missing of it, the last component as `kind` says.
    pub(super) fn make_at(&mut self, spot: &Spot, kind: Arg) -> Reg {
        let text = self.string(&spot.rest);
        let point = self.asm.make_path(spot.root, text, kind, 0o755);
        if let Some(opened) = spot.opened {
            self.asm.close(opened);
        }
        point
    }
}

/// Where the kernel's own file systems are looked for by everything.
const KERNELS_PLACES: [&str; 2] = ["/proc", "/sys"];

pub(super) fn is_kernels_place(path: &str) -> bool {
    plain(path).is_some_and(|place| KERNELS_PLACES.contains(&place.as_str()))
}

/// A path below a directory that is found.
pub(super) struct Spot {
    pub(super) root: Arg,
    pub(super) rest: String,
    /// The directory, if it was opened for this path.
    pub(super) opened: Option<Reg>,
}
