//! Mounts: new file systems, binds, and cgroup v1's directory of hierarchies.

use super::super::assemble::{Arg, Reg};
use super::super::machine::{compare, last};
use super::super::step::{CgroupView, HostTurn, MountSource, MountStep, SlotId};
use super::lowering::Lowering;
use super::place::{Spot, is_kernels_place};
use super::tree::{CLONE, EMPTY, RECURSIVE};
use super::{file_system, message, place, tree};
use crate::mount::options::{DataOption, MountOptions};
use crate::sys::mount::{
    FSPICK_CLOEXEC, FSPICK_EMPTY_PATH, FsconfigCommand, MountAttr, MountAttrFlags, MoveMountFlags,
};
use nix::errno::Errno;

pub(super) fn mount(code: &mut Lowering, mount: &MountStep) {
    let (made, point) = match &mount.source {
        MountSource::New { kind, source } => file_system(code, mount, kind, source, None, false),
        MountSource::CreatedByHost { kind, source, slot, idmapped } => {
            file_system(code, mount, kind, source, Some(*slot), *idmapped)
        }
        MountSource::HostPath(path) => {
            let copy = copy_of(code, path, &mount.options);
            bind(code, mount, copy)
        }
        MountSource::ContainerPath { path, idmap } => {
            let copy = copy_of_container_path(code, path, &mount.options);
            if idmap.is_some() {
                let socket = Lowering::control_socket();
                message::send(code, socket, copy, &[HostTurn::Idmap.code()], false);
                message::await_byte(code);
            }
            bind(code, mount, copy)
        }
        MountSource::OpenedByHost { slot, .. } => {
            let copy = code.slot(*slot);
            change(code, copy, mount.options.attributes().as_ref(), 0);
            bind(code, mount, copy)
        }
        MountSource::Mounted { .. } => return remount(code, mount),
    };
    tree::attach(code, made, point);
    if let Some(label) = &mount.label {
        set_label(code, made, label);
    }
    propagations(code, made, &mount.options);
    code.asm.close(point);
    code.forget_below(&mount.destination);
    if !(mount.shows_the_kernel() && code.keep_kernel_mount(&mount.destination, made)) {
        code.asm.close(made);
    }
}

/// Gives the root directory of a mount an SELinux context.
fn set_label(code: &mut Lowering, mount: Reg, context: &str) {
    let (dot, flags) = (code.text(c"."), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
    let root = code.asm.call_to(libc::SYS_openat, &[mount.into(), dot, flags.into()]);
    let (name, value) = (code.text(c"security.selinux"), code.string(context));
    code.asm.call(libc::SYS_fsetxattr, &[root.into(), name, value, context.len().into(), 0.into()]);
    code.asm.close(root);
}

/// Unmounts what is on `name` in a directory of the process's root. Renaming directories meanwhile cannot redirect it to
/// another mount: a mount point cannot be renamed, and no symbolic link is followed.
pub(super) fn unmount(code: &mut Lowering, directory: &str, name: &str) {
    if code.root.is_none() {
        place::own_root(code);
    }
    let (root, flags) = (code.root(), libc::O_PATH | libc::O_DIRECTORY);
    let place = code.open_in_root(directory, flags, libc::RESOLVE_NO_SYMLINKS);
    code.asm.call(libc::SYS_fchdir, &[place.into()]);
    let (name, flags) = (code.string(name), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW);
    code.asm.call(libc::SYS_umount2, &[name, flags.into()]);
    code.asm.call(libc::SYS_fchdir, &[root]);
    code.asm.close(place);
}

fn propagations(code: &mut Lowering, mount: Reg, options: &MountOptions) {
    for change in &options.propagation {
        let empty = code.empty();
        tree::propagation(code, mount.into(), empty, *change, true);
    }
}

/// A new mount, or the one in a slot, and its mount point.
fn file_system(
    code: &mut Lowering,
    mount: &MountStep,
    kind: &str,
    source: &str,
    slot: Option<SlotId>,
    idmapped: bool,
) -> (Reg, Reg) {
    // A tmpfs without a mode option gets the mode of the directory that it covers, if that existed: as an option, which
    // the mount then shows, or if the host side has created it, by chmod(2).
    let inherits = kind == "tmpfs" && mount.options.data_value("mode").is_none();
    let (point, absent) = if inherits {
        let (point, absent) = mount_point_if_there(code, &mount.destination);
        (point, Some(absent))
    } else {
        (place::mount_point(code, &mount.destination, mount.no_symlinks), None)
    };
    let attributes = mount.options.new_mount_attributes();
    let copies = mount.options.tmpcopyup.is_some();
    let first =
        if inherits || copies || slot.is_some() { attributes - MountAttrFlags::RDONLY } else { attributes };
    let made = match (slot, absent) {
        // The host side has set all its attributes except read-only.
        (Some(slot), _) => code.slot(slot),
        (None, Some(absent)) => {
            let (what, mode) = ((kind, source), (point, absent));
            file_system::new_with_mode_of(code, what, &mount.options, first, mode)
        }
        (None, None) => file_system::new_file_system(code, kind, source, &mount.options, first),
    };
    if let Some(absent) = absent {
        if slot.is_some() {
            let default = code.asm.label();
            code.asm.jump_if(compare::EQUAL, absent, 1, default);
            inherit_mode(code, made, point, idmapped);
            code.asm.place(default);
        }
        code.asm.release(absent);
    }
    if copies {
        code.asm.copy_tree(point, made);
    }
    if first != attributes {
        let (empty, change) = (code.empty(), code.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]));
        tree::setattr(code, made.into(), empty, EMPTY, change);
    }
    (made, point)
}

/// The mount point, created if it is missing; the second register is 1 if it was missing.
fn mount_point_if_there(code: &mut Lowering, path: &str) -> (Reg, Reg) {
    let (found, absent) = (code.asm.label(), code.asm.register());
    code.asm.set(absent, 0u64);
    let (spot, links) = if is_kernels_place(path) {
        let (root, rest) = code.below(path);
        (Spot { root, rest, opened: None }, libc::RESOLVE_NO_SYMLINKS)
    } else {
        (place::spot(code, path), 0)
    };
    let (text, how) = (code.string(&spot.rest), code.how(libc::O_PATH, links));
    code.asm.tolerating(&[Errno::ENOENT]);
    let point = code.asm.call_to(libc::SYS_openat2, &[spot.root, text, how, 24.into()]);
    code.asm.jump_if(compare::GREATER_EQUAL, point, 0, found);
    let made = code.asm.make_path(spot.root, text, last::DIRECTORY, 0o755);
    code.asm.set(point, made);
    code.asm.release(made);
    code.asm.set(absent, 1u64);
    code.asm.place(found);
    if let Some(opened) = spot.opened {
        code.asm.close(opened);
    }
    (point, absent)
}

/// Gives the root directory of a mount the mode of its mount point. If it is idmapped, its owner may have no ID in the
/// container, and its mode cannot be changed.
fn inherit_mode(code: &mut Lowering, made: Reg, point: Reg, idmapped: bool) {
    let stat = code.stat(point);
    let at = std::mem::offset_of!(libc::stat, st_mode) as u64;
    let mode = code.asm.load(4, stat.plus(at), 0o7777);
    let dot = code.text(c".");
    if idmapped {
        code.asm.tolerating(&[Errno::EPERM, Errno::EOVERFLOW]);
    }
    code.asm.call(libc::SYS_fchmodat, &[made.into(), dot, mode.into()]);
    code.asm.release(mode);
}

/// A copy of the tree at a path of the host.
fn copy_of(code: &mut Lowering, path: &str, options: &MountOptions) -> Reg {
    let (directory, path) = (code.at_host(), code.string(path));
    copy_at(code, directory, path, 0, options)
}

/// A copy of the tree at a path of the container.
fn copy_of_container_path(code: &mut Lowering, path: &str, options: &MountOptions) -> Reg {
    let found = code.open_in_root(path, libc::O_PATH, 0);
    let empty = code.empty();
    let copy = copy_at(code, found.into(), empty, EMPTY, options);
    code.asm.close(found);
    copy
}

fn copy_at(code: &mut Lowering, directory: Arg, path: Arg, flags: u32, options: &MountOptions) -> Reg {
    let depth = if options.bind.is_some_and(|b| b.recursive) { RECURSIVE } else { 0 };
    let attributes = options.attributes();
    // The call may set attributes only if it copies one mount: they are not for the mounts below it.
    let together = attributes.as_ref().filter(|_| depth == 0).map(|a| mount_attr(code, a));
    let copy = tree::clone_tree(code, directory, path, CLONE | flags | depth, together);
    if together.is_none() {
        change(code, copy, attributes.as_ref(), 0);
    }
    copy
}

/// The copy of a tree, and its mount point: a directory or a file, as the tree's root is.
fn bind(code: &mut Lowering, mount: &MountStep, made: Reg) -> (Reg, Reg) {
    change(code, made, mount.options.recursive_attributes().as_ref(), RECURSIVE);
    let kind = code.file_type(made);
    let make = code.asm.register();
    let directory = code.asm.label();
    code.asm.set(make, last::DIRECTORY);
    code.asm.jump_if(compare::EQUAL, kind, u64::from(libc::S_IFDIR), directory);
    code.asm.set(make, last::FILE);
    code.asm.place(directory);
    let point = if is_kernels_place(&mount.destination) {
        place::mount_point(code, &mount.destination, true)
    } else {
        let spot = place::spot(code, &mount.destination);
        place::make_at(code, &spot, make.into())
    };
    code.asm.release(kind);
    code.asm.release(make);
    (made, point)
}

fn mount_attr(code: &mut Lowering, a: &MountAttr) -> Arg {
    code.asm.words(&[a.set.bits(), a.clear.bits(), a.propagation.bits(), 0])
}

fn change(code: &mut Lowering, mount: Reg, attributes: Option<&MountAttr>, depth: u32) {
    if let Some(attributes) = attributes {
        let (empty, words) = (code.empty(), mount_attr(code, attributes));
        tree::setattr(code, mount.into(), empty, EMPTY | depth, words);
    }
}

/// Changes an existing mount: its attributes, and unless it is a bind, the options of its file system.
fn remount(code: &mut Lowering, mount: &MountStep) {
    let links = if mount.no_symlinks { libc::RESOLVE_NO_SYMLINKS } else { 0 };
    let point = code.open_in_root(&mount.destination, libc::O_PATH, links);
    let options = &mount.options;
    if options.bind.is_none() {
        let empty = code.empty();
        let flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
        let context = code.asm.call_to(libc::SYS_fspick, &[point.into(), empty, flags.into()]);
        for flag in &options.superblock {
            file_system::configure(code, context, flag.key, None);
        }
        for option in &options.data {
            file_system::configure(code, context, &option.key, option.value.as_deref());
        }
        file_system::command(code, context, FsconfigCommand::Reconfigure);
        code.asm.close(context);
    }
    change(code, point, options.attributes().as_ref(), 0);
    change(code, point, options.recursive_attributes().as_ref(), RECURSIVE);
    propagations(code, point, options);
    code.asm.close(point);
}

/// cgroup v1: a tmpfs with a directory for each hierarchy, on it the container's own cgroup.
pub(super) fn cgroup_v1(
    code: &mut Lowering,
    destination: &str,
    options: &MountOptions,
    views: &[CgroupView],
    label: Option<&DataOption>,
) {
    let point = place::mount_point(code, destination, false);
    let kind = code.text(c"tmpfs");
    let context = file_system::open(code, kind);
    file_system::configure(code, context, "mode", Some("755"));
    if let Some(label) = label {
        file_system::configure(code, context, &label.key, label.value.as_deref());
    }
    let attributes = options.new_mount_attributes();
    let writable = attributes - MountAttrFlags::RDONLY;
    let dir = file_system::create_file_system(code, context, writable);
    for view in views {
        let name = code.string(view.name.as_str());
        code.asm.call(libc::SYS_mkdirat, &[dir.into(), name, 0o755.into()]);
        for link in &view.links {
            let link = code.string(link.as_str());
            code.asm.call(libc::SYS_symlinkat, &[name, dir.into(), link]);
        }
    }
    tree::attach(code, dir, point);
    for view in views {
        cgroup_view(code, dir, view, attributes);
    }
    if writable != attributes {
        let (empty, change) = (code.empty(), code.asm.words(&[MountAttrFlags::RDONLY.bits(), 0, 0, 0]));
        tree::setattr(code, dir.into(), empty, EMPTY, change);
    }
    propagations(code, dir, options);
    code.forget_below(destination);
    code.asm.close(dir);
    code.asm.close(point);
}

/// Binds the container's cgroup in one hierarchy to its directory.
fn cgroup_view(code: &mut Lowering, dir: Reg, view: &CgroupView, attributes: MountAttrFlags) {
    let missing = code.asm.label();
    let (directory, path) = (code.at_host(), code.string(&view.path));
    if view.optional {
        code.asm.tolerating(&[Errno::ENOENT]);
        let found =
            code.asm.call_to(libc::SYS_openat, &[directory, path, (libc::O_PATH | libc::O_CLOEXEC).into()]);
        code.asm.jump_if_failed(found, missing);
        code.asm.close(found);
    }
    let words = code.asm.words(&[attributes.bits(), 0, 0, 0]);
    let copy = tree::clone_tree(code, directory, path, CLONE, Some(words));
    let (empty, name) = (code.empty(), code.string(view.name.as_str()));
    let flags = MoveMountFlags::F_EMPTY_PATH.bits();
    code.asm.call(libc::SYS_move_mount, &[copy.into(), empty, dir.into(), name, flags.into()]);
    code.asm.close(copy);
    code.asm.place(missing);
}
