//! The fd-based mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

use super::flags::flag_set;
use super::syscall::{call, open};
use nix::errno::Errno;
use nix::sys::statvfs::FsFlags;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

flag_set! {
    /// Attributes of a mount: `MOUNT_ATTR_*` of mount_setattr(2).
    ///
    /// `MOUNT_ATTR_IDMAP` is not among them, since it comes with a descriptor:
    /// [`Detached::idmap`](crate::mount::Detached::idmap).
    pub struct MountAttrFlags: u64 {
        /// Read-only.
        const RDONLY = 0x1;
        /// Set-user-id and set-group-id bits and file capabilities have no effect.
        const NOSUID = 0x2;
        /// Device nodes cannot be opened.
        const NODEV = 0x4;
        /// Programs cannot be executed.
        const NOEXEC = 0x8;
        /// The field of the access time modes.
        const ATIME = 0x70;
        /// Access times are updated relative to modification times; the kernel's default, and no bit.
        const RELATIME = 0x0;
        /// Access times are not updated.
        const NOATIME = 0x10;
        /// Access times are always updated.
        const STRICTATIME = 0x20;
        /// Access times of directories are not updated.
        const NODIRATIME = 0x80;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x0020_0000;
    }
}

flag_set! {
    /// Types of propagation, as mount_setattr(2) takes them.
    pub struct MountPropagationFlags: u64 {
        /// `MS_SHARED`
        const SHARED = libc::MS_SHARED;
        /// `MS_SLAVE`
        const SLAVE = libc::MS_SLAVE;
        /// `MS_PRIVATE`
        const PRIVATE = libc::MS_PRIVATE;
        /// `MS_UNBINDABLE`
        const UNBINDABLE = libc::MS_UNBINDABLE;
    }
}

flag_set! {
    /// Flags of open_tree(2), besides `OPEN_TREE_CLOEXEC`.
    pub(crate) struct OpenTreeFlags: u32 {
        /// A detached copy of the mount.
        const CLONE = 1;
        /// With all mounts below it.
        const RECURSIVE = libc::AT_RECURSIVE as u32;
        /// The descriptor is the file.
        const EMPTY_PATH = libc::AT_EMPTY_PATH as u32;
    }
}

flag_set! {
    /// Flags of move_mount(2).
    pub(crate) struct MoveMountFlags: u32 {
        /// The source descriptor is the mount.
        const F_EMPTY_PATH = 0x04;
        /// The target descriptor is the mount point.
        const T_EMPTY_PATH = 0x40;
    }
}

/// A command of fsconfig(2): `FSCONFIG_*` of linux/mount.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FsconfigCommand {
    /// Sets the option of a key that has no value.
    SetFlag = 0,
    /// Sets a key's value to a string.
    SetString = 1,
    /// Sets a key's value to a descriptor.
    SetFd = 5,
    /// Creates the file system (`FSCONFIG_CMD_CREATE`).
    Create = 6,
    /// Changes the file system that the context was picked from (`FSCONFIG_CMD_RECONFIGURE`).
    Reconfigure = 7,
}

impl FsconfigCommand {
    /// The kernel's number.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }
}

/// open_tree_attr(2), since Linux 6.15.
pub(crate) const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// The context of fsopen(2) is close-on-exec.
pub(crate) const FSOPEN_CLOEXEC: u32 = 1;
/// The mount of fsmount(2) is close-on-exec.
pub(crate) const FSMOUNT_CLOEXEC: u32 = 1;
/// The context of fspick(2) is close-on-exec.
pub(crate) const FSPICK_CLOEXEC: u32 = 1;
/// The descriptor of fspick(2) is the mount.
pub(crate) const FSPICK_EMPTY_PATH: u32 = 8;

/// What mount_setattr(2) changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// The attributes to set.
    pub set: MountAttrFlags,
    /// The attributes to clear.
    pub clear: MountAttrFlags,
    /// The new type of propagation; empty to keep it.
    pub propagation: MountPropagationFlags,
}

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr`.
#[repr(C)]
struct RawMountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The attributes of an open mount that fstatvfs(3) reports. A read-only file system makes all its mounts read-only.
pub(crate) fn attributes(mount: impl AsFd) -> Result<MountAttrFlags, Errno> {
    let flags = nix::sys::statvfs::fstatvfs(mount)?.flags();
    let known = [
        (FsFlags::ST_RDONLY, MountAttrFlags::RDONLY),
        (FsFlags::ST_NOSUID, MountAttrFlags::NOSUID),
        (FsFlags::ST_NODEV, MountAttrFlags::NODEV),
        (FsFlags::ST_NOEXEC, MountAttrFlags::NOEXEC),
        (FsFlags::ST_NODIRATIME, MountAttrFlags::NODIRATIME),
        (FsFlags::ST_NOATIME, MountAttrFlags::NOATIME),
    ];
    // The mode that neither flag stands for.
    let strict = !flags.intersects(FsFlags::ST_NOATIME | FsFlags::ST_RELATIME);
    let mode = if strict { MountAttrFlags::STRICTATIME } else { MountAttrFlags::empty() };
    let has = known.into_iter().filter(|(flag, _)| flags.contains(*flag));
    Ok(has.fold(mode, |all, (_, attribute)| all | attribute))
}

/// fsopen(2): a context for a new file system of this type.
pub(crate) fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the name outlives the call, which returns a new descriptor.
    unsafe { open!(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }
}

/// fsconfig(2) with a flag (`value` is `None`) or a string.
pub(crate) fn fsconfig(context: impl AsFd, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
    let (command, value) = match value {
        Some(v) => (FsconfigCommand::SetString, v.as_ptr()),
        None => (FsconfigCommand::SetFlag, std::ptr::null()),
    };
    let context = context.as_fd();
    // SAFETY: the key and the value outlive the call.
    unsafe { call!(libc::SYS_fsconfig, context.as_raw_fd(), command.number(), key.as_ptr(), value, 0) }
        .map(drop)
}

/// fsconfig(2) with a descriptor as the value (`lowerdir+` of overlay since Linux 6.13, …).
pub(crate) fn fsconfig_fd(context: impl AsFd, key: &CStr, value: impl AsFd) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    let (context, value) = (context.as_fd(), value.as_fd());
    let (context, value) = (context.as_raw_fd(), value.as_raw_fd());
    let command = FsconfigCommand::SetFd.number();
    // SAFETY: the key outlives the call.
    unsafe { call!(libc::SYS_fsconfig, context, command, key.as_ptr(), null, value) }.map(drop)
}

/// fsconfig(2) `FSCONFIG_CMD_CREATE`.
pub(crate) fn fsconfig_create(context: impl AsFd) -> Result<(), Errno> {
    command(context.as_fd(), FsconfigCommand::Create)
}

/// fspick(2): a context for the file system that is mounted at `path`.
pub(crate) fn fspick(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the path outlives the call, which returns a new descriptor.
    unsafe { open!(libc::SYS_fspick, libc::AT_FDCWD, path.as_ptr(), FSPICK_CLOEXEC) }
}

/// fsconfig(2) `FSCONFIG_CMD_RECONFIGURE`.
pub(crate) fn fsconfig_reconfigure(context: impl AsFd) -> Result<(), Errno> {
    command(context.as_fd(), FsconfigCommand::Reconfigure)
}

/// A command of fsconfig(2) that has neither a key nor a value.
fn command(context: BorrowedFd<'_>, command: FsconfigCommand) -> Result<(), Errno> {
    let null = std::ptr::null::<u8>();
    // SAFETY: the addresses are null.
    unsafe { call!(libc::SYS_fsconfig, context.as_raw_fd(), command.number(), null, null, 0) }.map(drop)
}

/// fsmount(2): the context's file system as a detached mount with these attributes.
pub(crate) fn fsmount(context: impl AsFd, attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let (context, attributes) = (context.as_fd(), attributes.bits() as u32);
    // SAFETY: no argument is an address; the call returns a new descriptor.
    unsafe { open!(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) }
}

/// The messages of the file system's driver in the context: `e message`, `w message`, …, joined by semicolons.
pub(crate) fn context_log(context: impl AsFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0u8; 1024];
    while let Ok(n) = nix::unistd::read(&context, &mut buffer) {
        lines.push(String::from_utf8_lossy(&buffer[..n]).trim_end().to_owned());
    }
    lines.join("; ")
}

/// open_tree(2) with `OPEN_TREE_CLOEXEC`.
pub(crate) fn open_tree(dir: impl AsFd, path: &CStr, flags: OpenTreeFlags) -> Result<OwnedFd, Errno> {
    let (dir, flags) = (dir.as_fd(), flags.bits() | libc::O_CLOEXEC as u32);
    // SAFETY: the path outlives the call, which returns a new descriptor.
    unsafe { open!(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) }
}

/// move_mount(2) of a mount, by its descriptor, to `path` below `dir`.
pub(crate) fn move_mount(
    mount: impl AsFd,
    dir: impl AsFd,
    path: &CStr,
    flags: MoveMountFlags,
) -> Result<(), Errno> {
    let flags = (flags | MoveMountFlags::F_EMPTY_PATH).bits();
    let (mount, dir) = (mount.as_fd(), dir.as_fd());
    let (from, to) = (mount.as_raw_fd(), dir.as_raw_fd());
    // SAFETY: the path outlives the call.
    unsafe { call!(libc::SYS_move_mount, from, c"".as_ptr(), to, path.as_ptr(), flags) }.map(drop)
}

/// mount_setattr(2) on a mount, by its descriptor; on all mounts below it too if `recursive`.
pub(crate) fn mount_setattr(mount: impl AsFd, recursive: bool, attributes: &MountAttr) -> Result<(), Errno> {
    let MountAttr { set, clear, propagation } = *attributes;
    let (set, clear, propagation) = (set.bits(), clear.bits(), propagation.bits());
    // SAFETY: without MOUNT_ATTR_IDMAP, which no set of attributes has, the kernel ignores the descriptor's number.
    unsafe { setattr(mount.as_fd(), recursive, &RawMountAttr { set, clear, propagation, userns_fd: 0 }) }
}

/// mount_setattr(2) with `MOUNT_ATTR_IDMAP`: owners are mapped as in the user namespace.
pub(crate) fn mount_idmap(mount: impl AsFd, recursive: bool, userns: impl AsFd) -> Result<(), Errno> {
    let (userns, set) = (userns.as_fd(), MOUNT_ATTR_IDMAP);
    let attributes = RawMountAttr { set, clear: 0, propagation: 0, userns_fd: userns.as_raw_fd() as u64 };
    // SAFETY: the descriptor is borrowed until the call returns.
    unsafe { setattr(mount.as_fd(), recursive, &attributes) }
}

/// # Safety
/// With `MOUNT_ATTR_IDMAP`, the number is that of a descriptor which the caller may use.
unsafe fn setattr(mount: BorrowedFd<'_>, recursive: bool, attributes: &RawMountAttr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let (fd, empty, size) = (mount.as_raw_fd(), c"".as_ptr(), size_of::<RawMountAttr>());
    let attributes = std::ptr::from_ref(attributes);
    // SAFETY: the structure is complete, and outlives the call.
    unsafe { call!(libc::SYS_mount_setattr, fd, empty, flags, attributes, size) }.map(drop)
}
