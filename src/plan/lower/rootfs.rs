//! The root file system: attach, mask, protect, pivot. Mounts are in `mount.rs`, devices in `device.rs`.

use super::super::assemble::{Arg, Reg};
use super::super::machine::{compare, last};
use super::super::step::{HostTurn, RootfsStep, SEALED, SlotId};
use super::lowering::{CWD, Lowering, Stand};
use super::tree::{CLONE, EMPTY, RECURSIVE};
use super::{device, file_system, message, mount, place, tree};
use crate::mount::options::{DataOption, MountOptions};
use crate::mount::{Propagation, PropagationKind};
use crate::sys::mount::{MountAttrFlags, MoveMountFlags};
use nix::errno::Errno;

/// More components than a path can have.
const DEEPEST: i32 = 2048;

pub(super) fn rootfs(code: &mut Lowering, step: &RootfsStep) {
    match step {
        RootfsStep::OpenUmask => code.asm.call(libc::SYS_umask, &[0.into()]),
        RootfsStep::HostPropagation(propagation) => host_propagation(code, *propagation),
        RootfsStep::Root { path, slot } => attach_root(code, path, *slot),
        RootfsStep::AttachTree { slot, path } => attach_tree(code, *slot, path),
        RootfsStep::MountPoint { path } => {
            let point = place::mount_point(code, path, false);
            code.asm.close(point);
        }
        RootfsStep::HostRoot => place::own_root(code),
        RootfsStep::ChangeRoot { slot, stay } => change_to_host_root(code, *slot, *stay),
        RootfsStep::DetachedRoot { slot, .. } => {
            code.host = Some(place::open_root(code));
            code.root = Some(code.slot(*slot));
            code.root();
        }
        RootfsStep::StayInRoot => {
            for directory in [code.root, code.host].into_iter().flatten() {
                code.asm.close(directory);
            }
            code.leave_host();
        }
        RootfsStep::JoinRoot { slot } => join_root(code, *slot),
        RootfsStep::EmptyRoot => empty_root(code),
        RootfsStep::SealType { kind } => seal_type(code, kind),
        RootfsStep::SendContext => send_context(code),
        RootfsStep::SendFileSystem { kind, options, of } => send_file_system(code, kind, options, *of),
        RootfsStep::Mount(mount) => mount::mount(code, mount),
        RootfsStep::CgroupMount { destination, options, views, context } => {
            mount::cgroup_v1(code, destination, options, views, context.as_ref());
        }
        RootfsStep::MakeNode(node) => device::node(code, node),
        RootfsStep::DevLinks { kcore } => device::dev_links(code, *kcore),
        RootfsStep::Mask { path, context } => mask(code, path, context.as_ref()),
        RootfsStep::ReadonlyPath { path } => readonly_path(code, path),
        RootfsStep::ReadonlyMount { path } => readonly_mount(code, path),
        RootfsStep::HideKernelMounts { paths } => paths.iter().for_each(|path| hide_kernel_mount(code, path)),
        RootfsStep::Pivot { move_mount } => pivot(code, *move_mount),
        RootfsStep::CreateDirectory { path } => {
            let (root, path) = (code.root(), code.string(path));
            let made = code.asm.make_path(root, path, last::DIRECTORY, 0o755);
            code.asm.close(made);
        }
        RootfsStep::ReadonlyRoot => {
            let attributes = code.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
            let (root, empty) = (code.root(), code.empty());
            tree::setattr(code, root, empty, EMPTY, attributes);
        }
        RootfsStep::RootPropagation(propagation) => {
            let (root, empty) = (code.root(), code.empty());
            tree::propagation(code, root, empty, *propagation, true);
        }
        RootfsStep::Unmount { directory, name } => mount::unmount(code, directory, name.as_str()),
    }
}

fn host_propagation(code: &mut Lowering, propagation: Propagation) {
    let slash = code.text(c"/");
    tree::propagation(code, CWD.into(), slash, propagation, false);
    code.shared_with_host = propagation.kind == PropagationKind::Shared || !propagation.recursive;
    let slave = propagation.kind == PropagationKind::Slave;
    code.root_propagation = if slave { PropagationKind::Slave } else { PropagationKind::Private };
}

fn attach_tree(code: &mut Lowering, slot: SlotId, path: &str) {
    let (tree, empty, path) = (code.slot(slot), code.empty(), code.string(path));
    let (directory, flags) = (code.at_host(), MoveMountFlags::F_EMPTY_PATH.bits());
    code.asm.call(libc::SYS_move_mount, &[tree.into(), empty, directory, path, flags.into()]);
}

fn readonly_mount(code: &mut Lowering, path: &str) {
    let mount = code.open_in_root(path, libc::O_PATH, 0);
    let attributes = code.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
    let empty = code.empty();
    tree::setattr(code, mount.into(), empty, EMPTY, attributes);
    code.asm.close(mount);
}

fn attach_root(code: &mut Lowering, path: &str, slot: Option<SlotId>) {
    let text = code.string(path);
    let root = match slot {
        Some(slot) => code.slot(slot),
        None => {
            let flags = CLONE | RECURSIVE;
            code.asm.call_to(libc::SYS_open_tree, &[CWD.into(), text, flags.into()])
        }
    };
    // In a joined mount namespace, its root.
    code.stand = Stand::Host;
    code.host = Some(place::open_root(code));
    let empty = code.empty();
    if slot.is_some() {
        // The mount may be a peer of one of the host's mounts.
        tree::propagation(code, root.into(), empty, Propagation::recursive(PropagationKind::Slave), true);
    }
    if code.shared_with_host {
        // The copy is a peer of the host's mount that it was copied from.
        tree::propagation(code, root.into(), empty, Propagation::single(code.root_propagation), true);
    }
    if code.shared_with_host && slot.is_none() {
        make_mount_private(code, text);
    }
    // A tree of the host side is attached on `/`: this user namespace may not reach the tree's own path.
    let target = if slot.is_some() { code.text(c"/") } else { text };
    code.asm.call(
        libc::SYS_move_mount,
        &[root.into(), empty, CWD.into(), target, MoveMountFlags::F_EMPTY_PATH.bits().into()],
    );
    code.root = Some(root);
    code.root_covers_host = slot.is_some();
    // From the start, paths of the container are looked up with its root as the process's root.
    code.root();
}

/// Changes to a hook's root, the host's. If `stay`, the working directory stays the one that joining has set.
fn change_to_host_root(code: &mut Lowering, slot: SlotId, stay: bool) {
    let joined = stay.then(|| place::open_root(code));
    let directory = code.slot(slot);
    code.change_root(directory);
    code.stand = Stand::Host;
    code.asm.close(directory);
    if let Some(joined) = joined {
        code.asm.call(libc::SYS_fchdir, &[joined.into()]);
        code.asm.close(joined);
    }
}

/// Changes to the root of a container that has no mount namespace of its own.
fn join_root(code: &mut Lowering, slot: SlotId) {
    let root = code.slot(slot);
    code.change_root(root);
    code.asm.close(root);
    code.leave_host();
}

/// Makes an empty tmpfs the process's root and working directory. The host's root cannot be reached any more.
fn empty_root(code: &mut Lowering) {
    let (kind, dot) = (code.text(c"tmpfs"), code.text(c"."));
    let context = file_system::open(code, kind);
    let root = file_system::create_file_system(code, context, MountAttrFlags::RDONLY);
    code.asm.call(libc::SYS_fchdir, &[root.into()]);
    code.asm.call(libc::SYS_chroot, &[dot]);
    code.asm.close(root);
    code.leave_host();
}

/// Writes the name of a file system's type into a page that is shared and then read-only. A write to it through
/// `/proc/PID/mem` or ptrace(2) fails: the kernel makes a copy for such a write only of a private page.
fn seal_type(code: &mut Lowering, kind: &str) {
    const LENGTH: u64 = 4096;
    let (both, read) = (libc::PROT_READ | libc::PROT_WRITE, libc::PROT_READ);
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let args = [SEALED.into(), LENGTH.into(), both.into(), flags.into(), (-1).into(), 0.into()];
    code.asm.call(libc::SYS_mmap, &args);
    let (pipe, text, length) = (code.asm.scratch(8), code.string(kind), kind.len() as u64 + 1);
    code.asm.call(libc::SYS_pipe2, &[pipe, libc::O_CLOEXEC.into()]);
    let (from, to) = (code.asm.load(4, pipe, u64::MAX), code.asm.load(4, pipe.plus(4), u64::MAX));
    code.asm.call(libc::SYS_write, &[to.into(), text, length.into()]);
    code.asm.call(libc::SYS_read, &[from.into(), SEALED.into(), length.into()]);
    for end in [from, to] {
        code.asm.close(end);
    }
    code.asm.call(libc::SYS_mprotect, &[SEALED.into(), LENGTH.into(), read.into()]);
    code.sealed = Some(kind.to_owned());
}

fn send_context(code: &mut Lowering) {
    let context = file_system::open(code, SEALED.into());
    message::send(code, Lowering::control_socket(), context, &[HostTurn::NewMount.code()], false);
    code.asm.release(context);
}

/// A new file system that needs nothing but the process's namespaces, sent to the host side.
fn send_file_system(code: &mut Lowering, kind: &str, options: &MountOptions, of: Option<SlotId>) {
    let context = file_system::file_system_context(code, kind, kind, options);
    if let Some(slot) = of {
        let namespace = code.slot(slot);
        file_system::configure_fd(code, context, c"pidns", namespace);
        code.asm.close(namespace);
    }
    let made = file_system::create_file_system(code, context, options.new_mount_attributes());
    let socket = Lowering::control_socket();
    message::send(code, socket, made, &[HostTurn::NewMount.code()], false);
    code.asm.close(made);
}

/// Makes the mount in which a directory lies private, so that mounts below it do not propagate to the host. That mount is
/// found by going up to the nearest directory that is the root of a mount. Other mounts keep their peers.
fn make_mount_private(code: &mut Lowering, path: Arg) {
    let (again, done) = (code.asm.label(), code.asm.label());
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let above = code.asm.call_to(libc::SYS_openat, &[CWD.into(), path, flags.into()]);
    let attributes = code.asm.words(&[0, 0, libc::MS_PRIVATE, 0]);
    let (empty, parent) = (code.empty(), code.text(c".."));
    let (answer, left) = (code.asm.register(), code.asm.register());
    code.asm.set(left, DEEPEST);
    code.asm.place(again);
    code.asm.tolerating(&[Errno::EINVAL]);
    let args = [above.into(), empty, EMPTY.into(), attributes, 32.into()];
    code.asm.call_into(answer, libc::SYS_mount_setattr, &args);
    code.asm.jump_if(compare::EQUAL, answer, 0, done);
    code.asm.call_into(answer, libc::SYS_openat, &[above.into(), parent, flags.into()]);
    code.asm.call(libc::SYS_dup3, &[answer.into(), above.into(), libc::O_CLOEXEC.into()]);
    code.asm.call(libc::SYS_close, &[answer.into()]);
    code.asm.add(left, -1);
    code.asm.jump_if(compare::GREATER_EQUAL, left, 0, again);
    // In a chroot(2) to a directory that is not a mount's root, there is none.
    code.asm.fail(Errno::EINVAL);
    code.asm.place(done);
    code.asm.close(above);
    code.asm.release(answer);
    code.asm.release(left);
}

/// Unmounts what is mounted at a path of the host. What belongs to the mount namespace of another user namespace cannot be
/// unmounted, and is covered.
fn hide_kernel_mount(code: &mut Lowering, path: &str) {
    let hidden = code.asm.label();
    let (directory, text) = (code.at_host(), code.string(path));
    if code.shared_with_host {
        // The unmount would propagate to the host.
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let above = code.string(if above.is_empty() { "/" } else { above });
        make_mount_private(code, above);
    }
    code.asm.tolerating(&[Errno::EINVAL, Errno::EPERM, Errno::ENOENT]);
    let flags = libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW;
    let done = code.asm.call_to(libc::SYS_umount2, &[text, flags.into()]);
    code.asm.jump_if(compare::GREATER_EQUAL, done, 0, hidden);
    let kind = code.text(c"tmpfs");
    let context = file_system::open(code, kind);
    let tmpfs = file_system::create_file_system(code, context, MountAttrFlags::RDONLY);
    let (empty, flags) = (code.empty(), MoveMountFlags::F_EMPTY_PATH.bits());
    // It is gone if it was mounted in another one.
    code.asm.tolerating(&[Errno::ENOENT]);
    code.asm.call(libc::SYS_move_mount, &[tmpfs.into(), empty, directory, text, flags.into()]);
    code.asm.close(tmpfs);
    code.asm.place(hidden);
    code.asm.release(done);
}

/// Makes the container's root the root of the mount namespace. The process takes the host's root once more for this.
fn pivot(code: &mut Lowering, move_mount: bool) {
    let (Some(root), Some(old)) = (code.root, code.host) else {
        code.asm.refuse();
        return;
    };
    let (dot, host) = (code.text(c"."), code.at_host());
    if move_mount {
        let slash = code.text(c"/");
        if code.shared_with_host {
            // The moved mount would propagate to the host.
            tree::propagation(code, host, slash, Propagation::single(PropagationKind::Private), false);
        }
        if !code.root_covers_host {
            let (empty, flags) = (code.empty(), MoveMountFlags::F_EMPTY_PATH.bits());
            code.asm.call(libc::SYS_move_mount, &[root.into(), empty, host, slash, flags.into()]);
        }
        code.change_root(root);
    } else {
        code.asm.call(libc::SYS_fchdir, &[root.into()]);
        // After pivot_root(".", ".") the old root is mounted over the new one, at the working directory. Only umount2(2)
        // resolves "." to the upper mount, so the change of propagation uses a descriptor.
        code.asm.call(libc::SYS_pivot_root, &[dot, dot]);
        if code.shared_with_host {
            // The unmount must not propagate to the host.
            let (empty, slave) = (code.empty(), Propagation::recursive(PropagationKind::Slave));
            tree::propagation(code, old.into(), empty, slave, true);
        }
        code.asm.call(libc::SYS_umount2, &[dot, libc::MNT_DETACH.into()]);
    }
    let slash = code.text(c"/");
    code.asm.call(libc::SYS_chdir, &[slash]);
    code.forget_below("/");
    code.asm.close(root);
    code.asm.close(old);
    if let Some(null) = code.null.take() {
        code.asm.close(null);
    }
    if let Some(empty) = code.empty.take() {
        // It exists only if a directory was masked.
        code.asm.tolerating(&[Errno::EBADF]);
        code.asm.close(empty);
    }
    code.leave_host();
}

/// The host's null device, which an image cannot replace by another file.
fn host_null(code: &mut Lowering) -> Reg {
    if let Some(null) = code.null {
        return null;
    }
    let null = code.open_on_host("/dev/null");
    code.must_be_device(null, libc::S_IFCHR, libc::makedev(1, 3), Errno::ENODEV);
    code.null = Some(null);
    null
}

/// Hides a directory under an empty read-only tmpfs, of which there is one for all, and a file under /dev/null.
fn mask(code: &mut Lowering, path: &str, context: Option<&DataOption>) {
    let null = host_null(code);
    let empty_dir = match code.empty {
        Some(register) => register,
        None => {
            let register = code.asm.register();
            code.asm.set(register, -1);
            code.empty = Some(register);
            register
        }
    };
    let (done, file, attach) = (code.asm.label(), code.asm.label(), code.asm.label());
    // A path that does not exist needs no mask.
    code.asm.tolerating(&[Errno::ENOENT]);
    let target = code.open_in_root(path, libc::O_PATH, 0);
    code.asm.jump_if_failed(target, done);
    let kind = code.file_type(target);
    code.asm.jump_if(compare::NOT_EQUAL, kind, u64::from(libc::S_IFDIR), file);
    let copy = code.asm.register();
    let clone = code.asm.label();
    code.asm.jump_if(compare::GREATER_EQUAL, empty_dir, 0, clone);
    make_empty(code, empty_dir, context);
    tree::attach(code, empty_dir, target);
    let close = code.asm.label();
    code.asm.jump(close);
    code.asm.place(clone);
    let (nothing, flags) = (code.empty(), CLONE | EMPTY);
    code.asm.call_into(copy, libc::SYS_open_tree, &[empty_dir.into(), nothing, flags.into()]);
    code.asm.jump(attach);
    code.asm.place(file);
    code.asm.call_into(copy, libc::SYS_open_tree, &[null.into(), nothing, flags.into()]);
    code.asm.place(attach);
    tree::attach(code, copy, target);
    code.asm.call(libc::SYS_close, &[copy.into()]);
    code.asm.place(close);
    code.asm.call(libc::SYS_close, &[target.into()]);
    code.asm.place(done);
    for register in [target, kind, copy] {
        code.asm.release(register);
    }
}

/// Creates the tmpfs that masks directories.
fn make_empty(code: &mut Lowering, into: Reg, label: Option<&DataOption>) {
    let kind = code.text(c"tmpfs");
    let context = file_system::open(code, kind);
    if let Some(label) = label {
        file_system::configure(code, context, &label.key, label.value.as_deref());
    }
    file_system::create_into(code, into, context, MountAttrFlags::RDONLY);
}

/// Mounts a read-only copy of the tree over itself.
fn readonly_path(code: &mut Lowering, path: &str) {
    let done = code.asm.label();
    let flags = CLONE | RECURSIVE | EMPTY;
    code.asm.tolerating(&[Errno::ENOENT]);
    let target = code.open_in_root(path, libc::O_PATH, 0);
    code.asm.jump_if_failed(target, done);
    let attributes = code.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]);
    let empty = code.empty();
    let copy = tree::clone_tree(code, target.into(), empty, flags, Some(attributes));
    tree::attach(code, copy, target);
    code.asm.close(copy);
    code.asm.close(target);
    code.asm.place(done);
}
