//! Existing mounts: copying, changing and attaching them.

use super::super::assemble::{Arg, Reg};
use super::lowering::Lowering;
use crate::mount::Propagation;
use crate::sys::mount::{MoveMountFlags, OpenTreeFlags, SYS_OPEN_TREE_ATTR};

/// `OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC`.
pub(super) const CLONE: u32 = OpenTreeFlags::CLONE.bits() | libc::O_CLOEXEC as u32;
/// `AT_EMPTY_PATH` as an unsigned flag.
pub(super) const EMPTY: u32 = libc::AT_EMPTY_PATH as u32;
/// `AT_RECURSIVE` as an unsigned flag.
pub(super) const RECURSIVE: u32 = OpenTreeFlags::RECURSIVE.bits();

pub(super) fn setattr(code: &mut Lowering, dir: Arg, path: Arg, flags: u32, attributes: Arg) {
    code.asm.call(libc::SYS_mount_setattr, &[dir, path, flags.into(), attributes, 32.into()]);
}

pub(super) fn propagation(code: &mut Lowering, dir: Arg, path: Arg, propagation: Propagation, of_fd: bool) {
    let attributes = code.asm.words(&[0, 0, propagation.kind.flag().bits(), 0]);
    let flags = if propagation.recursive { RECURSIVE } else { 0 } | if of_fd { EMPTY } else { 0 };
    setattr(code, dir, path, flags, attributes);
}

/// Attaches a mount to the file that an `O_PATH` descriptor stands for.
pub(super) fn attach(code: &mut Lowering, mount: Reg, onto: impl Into<Arg>) {
    let empty = code.empty();
    let flags = (MoveMountFlags::F_EMPTY_PATH | MoveMountFlags::T_EMPTY_PATH).bits();
    code.asm.call(libc::SYS_move_mount, &[mount.into(), empty, onto.into(), empty, flags.into()]);
}

/// A detached copy of a tree, with these attributes; they apply to all mounts in it if `flags` has [`RECURSIVE`].
pub(super) fn clone_tree(
    code: &mut Lowering,
    dir: Arg,
    path: Arg,
    flags: u32,
    attributes: Option<Arg>,
) -> Reg {
    match attributes {
        Some(attributes) if code.kernel.open_tree_attr => {
            code.asm.call_to(SYS_OPEN_TREE_ATTR, &[dir, path, flags.into(), attributes, 32.into()])
        }
        Some(attributes) => {
            let copy = code.asm.call_to(libc::SYS_open_tree, &[dir, path, flags.into()]);
            let empty = code.empty();
            setattr(code, copy.into(), empty, EMPTY | (flags & RECURSIVE), attributes);
            copy
        }
        None => code.asm.call_to(libc::SYS_open_tree, &[dir, path, flags.into()]),
    }
}
