//! The kernel's constants and structures that the stub itself uses (a plan brings its own). They are those of the
//! kernel's headers, as libc has them.

/// The errnos that the kernel returns lie in `-4095..0`.
pub const MAX_ERRNO: i64 = 4095;

pub const EIO: u32 = 5;
pub const EAGAIN: u32 = 11;
pub const EFAULT: u32 = 14;
pub const EINVAL: u32 = 22;
pub const ERANGE: u32 = 34;
pub const ENOSYS: u32 = 38;
pub const ELOOP: u32 = 40;
pub const ETIMEDOUT: u32 = 110;

pub const AT_SYMLINK_NOFOLLOW: u64 = 0x100;

pub const O_WRONLY: u64 = 0o1;
pub const O_CREAT: u64 = 0o100;
pub const O_EXCL: u64 = 0o200;
pub const O_NONBLOCK: u64 = 0o4000;
pub const O_CLOEXEC: u64 = 0o2_000_000;
pub const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
pub const O_DIRECTORY: u64 = 0o200_000;
#[cfg(target_arch = "x86_64")]
pub const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub const O_DIRECTORY: u64 = 0o40_000;
#[cfg(target_arch = "aarch64")]
pub const O_NOFOLLOW: u64 = 0o100_000;

pub const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
pub const RESOLVE_NO_SYMLINKS: u64 = 0x04;
pub const RESOLVE_BENEATH: u64 = 0x08;
pub const RESOLVE_IN_ROOT: u64 = 0x10;

pub const S_IFMT: u32 = 0o170_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFLNK: u32 = 0o120_000;

pub const PROT_READ: u64 = 1;
pub const PROT_WRITE: u64 = 2;
pub const MAP_SHARED: u64 = 1;
pub const MAP_PRIVATE: u64 = 2;
pub const MADV_DONTFORK: u64 = 10;

pub const F_ADD_SEALS: u64 = 1033;
pub const F_SEAL_SEAL: u64 = 0x01;
pub const F_SEAL_SHRINK: u64 = 0x02;
pub const F_SEAL_GROW: u64 = 0x04;
pub const F_SEAL_FUTURE_WRITE: u64 = 0x10;

pub const CLONE_VM: u64 = 0x100;
pub const CLONE_FS: u64 = 0x200;
pub const CLONE_FILES: u64 = 0x400;
pub const CLONE_SIGHAND: u64 = 0x800;
pub const CLONE_THREAD: u64 = 0x1_0000;
pub const CLONE_SYSVSEM: u64 = 0x4_0000;
pub const CLONE_PARENT_SETTID: u64 = 0x10_0000;

pub const SIGCHLD: i64 = 17;
pub const WNOHANG: u64 = 1;

pub const SECCOMP_SET_MODE_FILTER: u64 = 1;
pub const MSG_NOSIGNAL: u64 = 0x4000;

/// `struct open_how`.
#[repr(C)]
pub struct OpenHow {
    pub flags: u64,
    pub mode: u64,
    pub resolve: u64,
}

/// The kernel's `struct sigaction`.
#[repr(C)]
pub struct Sigaction {
    handler: extern "C" fn(i32),
    flags: u64,
    /// x86 wants one even for a handler that does not return.
    restorer: extern "C" fn(i32),
    mask: u64,
}

impl Sigaction {
    /// The action of a handler that does not return.
    pub fn handler(handler: extern "C" fn(i32)) -> Self {
        const SA_RESTORER: u64 = 0x0400_0000;
        let flags = if cfg!(target_arch = "x86_64") { SA_RESTORER } else { 0 };
        Self { handler, flags, restorer: handler, mask: 0 }
    }
}

/// `struct stat`.
#[cfg(target_arch = "x86_64")]
#[repr(C)]
#[derive(Default)]
pub struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    padding: u32,
    pub rdev: u64,
    size: i64,
    blksize: i64,
    blocks: i64,
    pub atime: Timespec,
    pub mtime: Timespec,
    ctime: Timespec,
    unused: [i64; 3],
}
/// `struct stat`.
#[cfg(target_arch = "aarch64")]
#[repr(C)]
#[derive(Default)]
pub struct Stat {
    dev: u64,
    ino: u64,
    pub mode: u32,
    nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    padding: u64,
    size: i64,
    blksize: i32,
    padding_2: i32,
    blocks: i64,
    pub atime: Timespec,
    pub mtime: Timespec,
    ctime: Timespec,
    unused: [u32; 2],
}

/// `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// Fixed part of `struct linux_dirent64`: inode and offset of eight bytes each, length of two, type of one. The name
/// follows, with its zero byte.
pub const DIRENT_HEADER: usize = 19;
/// Where the length of the entry is in it.
pub const DIRENT_LENGTH: usize = 16;

/// Longest path, with its zero byte.
pub const PATH_MAX: usize = 4096;
