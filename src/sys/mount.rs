//! The fd-based mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2),
//! mount_setattr(2), and umount2(2), pivot_root(2).

use super::{call, owned};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

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
    pub const IDMAP: u64 = 0x0010_0000;
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// fsconfig(2) commands of linux/mount.h.
pub mod config {
    #![allow(missing_docs)]
    pub const SET_FLAG: u32 = 0;
    pub const SET_STRING: u32 = 1;
    pub const SET_BINARY: u32 = 2;
    pub const SET_PATH: u32 = 3;
    pub const SET_PATH_EMPTY: u32 = 4;
    pub const SET_FD: u32 = 5;
    pub const CMD_CREATE: u32 = 6;
    pub const CMD_RECONFIGURE: u32 = 7;
}

/// `OPEN_TREE_CLONE`.
pub const OPEN_TREE_CLONE: u32 = 1;
/// `MOVE_MOUNT_F_EMPTY_PATH`: the source descriptor is the mount.
pub const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
/// `MOVE_MOUNT_T_EMPTY_PATH`: the target descriptor is the mount point.
pub const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
/// open_tree_attr(2), since Linux 6.15.
pub const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// `struct mount_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE` or 0.
    pub propagation: u64,
    /// A user namespace's descriptor, with [`attr::IDMAP`].
    pub userns_fd: u64,
}

/// fsopen(2): a context for a new file system of `kind`.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    call!(libc::SYS_fsopen, kind.as_ptr(), 1).map(owned)
}

/// fsconfig(2) with a flag (`value` absent) or a string.
pub fn fsconfig(context: impl AsFd, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
    let (command, value) = match value {
        Some(v) => (config::SET_STRING, v.as_ptr()),
        None => (config::SET_FLAG, std::ptr::null()),
    };
    call!(libc::SYS_fsconfig, context.as_fd().as_raw_fd(), command, key.as_ptr(), value, 0).map(drop)
}

/// fsconfig(2) with a descriptor for a value (`lowerdir+` of overlay since Linux 6.13, …).
pub fn fsconfig_fd(context: impl AsFd, key: &CStr, value: impl AsFd) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    let (context, value) = (context.as_fd().as_raw_fd(), value.as_fd().as_raw_fd());
    call!(libc::SYS_fsconfig, context, config::SET_FD, key.as_ptr(), null, value).map(drop)
}

/// fsconfig(2) `FSCONFIG_CMD_CREATE`.
pub fn fsconfig_create(context: impl AsFd) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    call!(libc::SYS_fsconfig, context.as_fd().as_raw_fd(), config::CMD_CREATE, null, null, 0).map(drop)
}

/// fspick(2): a context for a file system that is mounted at `path`.
pub fn fspick(path: &CStr) -> Result<OwnedFd, Errno> {
    const FSPICK_CLOEXEC: i32 = 1;
    call!(libc::SYS_fspick, libc::AT_FDCWD, path.as_ptr(), FSPICK_CLOEXEC).map(owned)
}

/// fsconfig(2) `FSCONFIG_CMD_RECONFIGURE`.
pub fn fsconfig_reconfigure(context: impl AsFd) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    call!(libc::SYS_fsconfig, context.as_fd().as_raw_fd(), config::CMD_RECONFIGURE, null, null, 0).map(drop)
}

/// fsmount(2): the context's file system as a detached mount with `MOUNT_ATTR_*` attributes.
pub fn fsmount(context: impl AsFd, attributes: u64) -> Result<OwnedFd, Errno> {
    call!(libc::SYS_fsmount, context.as_fd().as_raw_fd(), 1, attributes as u32).map(owned)
}

/// What the file system's driver has said on the context: `e message`, `w message`, … one a line.
pub fn context_log(context: impl AsFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0u8; 1024];
    while let Ok(n) = call!(libc::SYS_read, context.as_fd().as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) {
        lines.push(String::from_utf8_lossy(&buffer[..n as usize]).trim_end().to_owned());
    }
    lines.join("; ")
}

/// open_tree(2): `flags` are `OPEN_TREE_CLONE`, `AT_RECURSIVE`, `AT_EMPTY_PATH`, …
pub fn open_tree(dir: impl AsFd, path: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_CLOEXEC as u32;
    call!(libc::SYS_open_tree, dir.as_fd().as_raw_fd(), path.as_ptr(), flags).map(owned)
}

/// move_mount(2) of the mount behind `mount` onto `path` below `dir` (`MOVE_MOUNT_T_*` in `flags`).
pub fn move_mount(mount: impl AsFd, dir: impl AsFd, path: &CStr, flags: u32) -> Result<(), Errno> {
    let (from, to) = (mount.as_fd().as_raw_fd(), dir.as_fd().as_raw_fd());
    let flags = flags | MOVE_MOUNT_F_EMPTY_PATH;
    call!(libc::SYS_move_mount, from, c"".as_ptr(), to, path.as_ptr(), flags).map(drop)
}

/// mount_setattr(2) on the mount behind `mount`; `recursive` for all mounts below it.
pub fn mount_setattr(mount: impl AsFd, recursive: bool, attributes: &MountAttr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let attributes = std::ptr::from_ref(attributes);
    let size = size_of::<MountAttr>();
    call!(libc::SYS_mount_setattr, mount.as_fd().as_raw_fd(), c"".as_ptr(), flags, attributes, size).map(drop)
}

/// umount2(2).
pub fn umount(path: &CStr, flags: i32) -> Result<(), Errno> {
    call!(libc::SYS_umount2, path.as_ptr(), flags).map(drop)
}

/// pivot_root(2).
pub fn pivot_root(new: &CStr, put_old: &CStr) -> Result<(), Errno> {
    call!(libc::SYS_pivot_root, new.as_ptr(), put_old.as_ptr()).map(drop)
}
