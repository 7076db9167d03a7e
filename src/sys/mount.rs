//! The fd-based mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2),
//! mount_setattr(2), and umount2(2), pivot_root(2).

use super::{call, open};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `MOUNT_ATTR_*` of linux/mount.h.
pub mod attr {
    #![allow(missing_docs)]
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    pub const ATIME: u64 = 0x70;
    pub const RELATIME: u64 = 0x0;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// fsconfig(2) commands of linux/mount.h.
pub(crate) mod config {
    #![allow(missing_docs)]
    pub(crate) const SET_FLAG: u32 = 0;
    pub(crate) const SET_STRING: u32 = 1;
    pub(crate) const SET_FD: u32 = 5;
    pub(crate) const CMD_CREATE: u32 = 6;
    pub(crate) const CMD_RECONFIGURE: u32 = 7;
}

/// `OPEN_TREE_CLONE`.
pub(crate) const OPEN_TREE_CLONE: u32 = 1;
/// `MOVE_MOUNT_F_EMPTY_PATH`: the source descriptor is the mount.
pub(crate) const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
/// `MOVE_MOUNT_T_EMPTY_PATH`: the target descriptor is the mount point.
pub(crate) const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
/// open_tree_attr(2), since Linux 6.15.
pub(crate) const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// What mount_setattr(2) changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set. Not `MOUNT_ATTR_IDMAP`, which comes with a descriptor:
    /// [`Detached::idmap`](crate::mount::Detached::idmap).
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` or 0.
    pub propagation: u64,
}

/// `MOUNT_ATTR_IDMAP`
const IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr`.
#[repr(C)]
struct RawAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// fsopen(2): a context for a new file system of `kind`.
pub(crate) fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is there until the call has returned, which makes a descriptor.
    unsafe { open!(libc::SYS_fsopen, kind.as_ptr(), 1) }
}

/// fsconfig(2) with a flag (`value` absent) or a string.
pub(crate) fn fsconfig(context: impl AsFd, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
    let (command, value) = match value {
        Some(v) => (config::SET_STRING, v.as_ptr()),
        None => (config::SET_FLAG, std::ptr::null()),
    };
    let context = context.as_fd();
    // SAFETY: the key and the value are there until the call has returned.
    unsafe { call!(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), value, 0) }.map(drop)
}

/// fsconfig(2) with a descriptor for a value (`lowerdir+` of overlay since Linux 6.13, …).
pub(crate) fn fsconfig_fd(context: impl AsFd, key: &CStr, value: impl AsFd) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    let (context, value) = (context.as_fd(), value.as_fd());
    let numbers = (context.as_raw_fd(), value.as_raw_fd());
    // SAFETY: the key is there until the call has returned.
    unsafe { call!(libc::SYS_fsconfig, numbers.0, config::SET_FD, key.as_ptr(), null, numbers.1) }.map(drop)
}

/// fsconfig(2) `FSCONFIG_CMD_CREATE`.
pub(crate) fn fsconfig_create(context: impl AsFd) -> Result<(), Errno> {
    command(context.as_fd(), config::CMD_CREATE)
}

/// fspick(2): a context for a file system that is mounted at `path`.
pub(crate) fn fspick(path: &CStr) -> Result<OwnedFd, Errno> {
    const FSPICK_CLOEXEC: i32 = 1;
    // SAFETY: the path is there until the call has returned, which makes a descriptor.
    unsafe { open!(libc::SYS_fspick, libc::AT_FDCWD, path.as_ptr(), FSPICK_CLOEXEC) }
}

/// fsconfig(2) `FSCONFIG_CMD_RECONFIGURE`.
pub(crate) fn fsconfig_reconfigure(context: impl AsFd) -> Result<(), Errno> {
    command(context.as_fd(), config::CMD_RECONFIGURE)
}

/// A command of fsconfig(2) that has neither key nor value.
fn command(context: BorrowedFd<'_>, command: u32) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    // SAFETY: the addresses are null.
    unsafe { call!(libc::SYS_fsconfig, context.as_raw_fd(), command, null, null, 0) }.map(drop)
}

/// fsmount(2): the context's file system as a detached mount with `MOUNT_ATTR_*` attributes.
pub(crate) fn fsmount(context: impl AsFd, attributes: u64) -> Result<OwnedFd, Errno> {
    let context = context.as_fd();
    // SAFETY: no argument is an address; the call makes a descriptor.
    unsafe { open!(libc::SYS_fsmount, context.as_raw_fd(), 1, attributes as u32) }
}

/// What the file system's driver has said on the context: `e message`, `w message`, … one a line.
pub(crate) fn context_log(context: impl AsFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0u8; 1024];
    while let Ok(n) = nix::unistd::read(&context, &mut buffer) {
        lines.push(String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned());
    }
    lines.join("; ")
}

/// open_tree(2): `flags` are `OPEN_TREE_CLONE`, `AT_RECURSIVE`, `AT_EMPTY_PATH`, …
pub(crate) fn open_tree(dir: impl AsFd, path: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    let (dir, flags) = (dir.as_fd(), flags | libc::O_CLOEXEC as u32);
    // SAFETY: the path is there until the call has returned, which makes a descriptor.
    unsafe { open!(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) }
}

/// move_mount(2) of the mount behind `mount` onto `path` below `dir` (`MOVE_MOUNT_T_*` in `flags`).
pub(crate) fn move_mount(mount: impl AsFd, dir: impl AsFd, path: &CStr, flags: u32) -> Result<(), Errno> {
    let (mount, dir, flags) = (mount.as_fd(), dir.as_fd(), flags | MOVE_MOUNT_F_EMPTY_PATH);
    let (from, to) = (mount.as_raw_fd(), dir.as_raw_fd());
    // SAFETY: the path is there until the call has returned.
    unsafe { call!(libc::SYS_move_mount, from, c"".as_ptr(), to, path.as_ptr(), flags) }.map(drop)
}

/// mount_setattr(2) on the mount behind `mount`; `recursive` for all mounts below it.
///
/// # Errors
/// `EINVAL` with `MOUNT_ATTR_IDMAP`: see [`mount_idmap`].
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, attributes: &MountAttr) -> Result<(), Errno> {
    let MountAttr { set, clear, propagation } = *attributes;
    if set & IDMAP != 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: without MOUNT_ATTR_IDMAP the descriptor's number is not looked at.
    unsafe { setattr(mount.as_fd(), recursive, &RawAttr { set, clear, propagation, userns_fd: 0 }) }
}

/// mount_setattr(2) with `MOUNT_ATTR_IDMAP`: owners are mapped as the user namespace says.
pub(crate) fn mount_idmap(mount: impl AsFd, recursive: bool, userns: impl AsFd) -> Result<(), Errno> {
    let userns = userns.as_fd();
    let attributes = RawAttr { set: IDMAP, clear: 0, propagation: 0, userns_fd: userns.as_raw_fd() as u64 };
    // SAFETY: the descriptor is borrowed until the call has returned.
    unsafe { setattr(mount.as_fd(), recursive, &attributes) }
}

/// # Safety
/// With `MOUNT_ATTR_IDMAP` the number is that of a descriptor which the caller may use.
unsafe fn setattr(mount: BorrowedFd<'_>, recursive: bool, attributes: &RawAttr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, empty, size) = (mount.as_raw_fd(), c"".as_ptr(), size_of::<RawAttr>());
    let attributes = std::ptr::from_ref(attributes);
    // SAFETY: the attributes are whole, and there until the call has returned.
    unsafe { call!(libc::SYS_mount_setattr, fd, empty, flags, attributes, size) }.map(drop)
}

/// umount2(2).
pub(crate) fn umount(path: &CStr, flags: i32) -> Result<(), Errno> {
    // SAFETY: the path is there until the call has returned.
    unsafe { call!(libc::SYS_umount2, path.as_ptr(), flags) }.map(drop)
}

/// pivot_root(2).
pub(crate) fn pivot_root(new: &CStr, put_old: &CStr) -> Result<(), Errno> {
    // SAFETY: the paths are there until the call has returned.
    unsafe { call!(libc::SYS_pivot_root, new.as_ptr(), put_old.as_ptr()) }.map(drop)
}
