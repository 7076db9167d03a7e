//! Files by descriptor: openat2(2), reads and writes of whole files, atomic replacement.

use super::syscall::{call, open, retry};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs, statfs};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `AT_FDCWD`, as a descriptor for functions that take one.
///
/// Only absolute paths may be resolved against it, since the library never depends on the caller's working directory.
pub(crate) fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is not a descriptor that could be closed; the kernel accepts it in place of one.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

/// A path for the kernel; `EINVAL` if it has a NUL byte.
pub(crate) fn cstring(path: impl AsRef<Path>) -> Result<CString, Errno> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// openat2(2): `flags` are `O_*` (`O_CLOEXEC` is added), `resolve` are `RESOLVE_*`.
///
/// # Errors
/// `EAGAIN` if each of many attempts looked up a `..` during a rename.
pub(crate) fn openat2(
    dir: impl AsFd,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    const ATTEMPTS: u32 = 1 << 16;
    let how = [(flags | libc::O_CLOEXEC) as u64, u64::from(mode), resolve];
    let (dir, size) = (dir.as_fd(), size_of_val(&how));
    let mut left = ATTEMPTS;
    loop {
        // SAFETY: the path and `how` outlive the call, which returns a new descriptor.
        match unsafe { open!(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), how.as_ptr(), size) } {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) if left > 0 => left -= 1,
            other => return other,
        }
    }
}

/// openat(2) with `O_CLOEXEC` added.
pub(crate) fn openat(dir: impl AsFd, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    let (dir, flags) = (dir.as_fd(), flags | libc::O_CLOEXEC);
    // SAFETY: the path outlives the call, which returns a new descriptor.
    retry(|| unsafe { open!(libc::SYS_openat, dir.as_raw_fd(), path.as_ptr(), flags, mode) })
}

/// Appends at most `room` bytes to `out` by one read(2); the number of bytes.
fn read_some(fd: BorrowedFd<'_>, room: usize, out: &mut Vec<u8>) -> Result<usize, Errno> {
    let spare = out.spare_capacity_mut();
    let (to, room) = (spare.as_mut_ptr(), room.min(spare.len()));
    // SAFETY: there is room for so many bytes.
    let n = retry(|| unsafe { call!(libc::SYS_read, fd.as_raw_fd(), to, room) })? as usize;
    // SAFETY: read(2) has filled `n` bytes of the spare capacity.
    unsafe { out.set_len(out.len() + n) };
    Ok(n)
}

/// write(2); the number of bytes that were written.
#[inline(never)] // One copy for all callers.
fn write_some(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the data outlives the call.
    retry(|| unsafe { call!(libc::SYS_write, fd.as_raw_fd(), data.as_ptr(), data.len()) }).map(|n| n as usize)
}

/// Reads to the end of the file.
///
/// # Errors
/// `EFBIG` if that are more than `limit` bytes.
pub(crate) fn read_all(fd: impl AsFd, limit: usize) -> Result<Vec<u8>, Errno> {
    read_to_end(fd.as_fd(), limit)
}

fn read_to_end(fd: BorrowedFd<'_>, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut out: Vec<u8> = Vec::with_capacity(4096.min(limit));
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.len().max(4096));
        }
        if read_some(fd, limit + 1 - out.len(), &mut out)? == 0 {
            return Ok(out);
        }
        if out.len() > limit {
            return Err(Errno::EFBIG);
        }
    }
}

/// Reads a regular file (64 MiB at most) from its current offset to its end, which a short read indicates.
pub(crate) fn read_regular(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    const LIMIT: usize = 64 << 20;
    let mut out: Vec<u8> = Vec::with_capacity(16 << 10);
    loop {
        let room = out.capacity() - out.len();
        if read_some(fd.as_fd(), room, &mut out)? < room {
            return Ok(out);
        }
        if out.len() > LIMIT {
            return Err(Errno::EFBIG);
        }
        out.reserve(out.len());
    }
}

/// A lock of flock(2) on an open file that is used for nothing else. It is released on drop, explicitly, since a child that
/// another thread has just forked may keep the file open for a moment longer.
#[derive(Debug)]
pub(crate) struct Flock(OwnedFd);

impl Flock {
    /// Takes the lock (`LOCK_EX`, `LOCK_SH`); `None` if that would block.
    pub(crate) fn attempt(file: OwnedFd, how: i32) -> Result<Option<Self>, Errno> {
        match flock(&file, how | libc::LOCK_NB) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::EWOULDBLOCK) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Flock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Flock {
    fn drop(&mut self) {
        // If this fails, the lock is released with the open file.
        let _ = flock(&self.0, libc::LOCK_UN);
    }
}

fn flock(file: &OwnedFd, operation: i32) -> Result<(), Errno> {
    // SAFETY: no argument is an address.
    retry(|| unsafe { call!(libc::SYS_flock, file.as_raw_fd(), operation) }).map(drop)
}

/// The value of an extended attribute of an open file, fgetxattr(2).
///
/// # Errors
/// `ENODATA` if there is none of that name. `ERANGE` if the value is longer than `limit`.
pub(crate) fn attribute(fd: impl AsFd, name: &CStr, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; limit];
    let (fd, at) = (fd.as_fd(), value.as_mut_ptr());
    // SAFETY: the name outlives the call, and the value has room for `limit` bytes.
    let length = retry(|| unsafe { call!(libc::SYS_fgetxattr, fd.as_raw_fd(), name.as_ptr(), at, limit) })?;
    value.truncate(length as usize);
    Ok(value)
}

/// Sets an extended attribute of an open file, fsetxattr(2).
pub(crate) fn set_attribute(fd: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let (fd, at, length) = (fd.as_fd(), value.as_ptr(), value.len());
    // SAFETY: the name and the value outlive the call.
    retry(|| unsafe { call!(libc::SYS_fsetxattr, fd.as_raw_fd(), name.as_ptr(), at, length, 0) }).map(drop)
}

/// The magic number of the file system of an open file, fstatfs(2).
pub(crate) fn file_system(fd: impl AsFd) -> Result<FsType, Errno> {
    retry(|| fstatfs(&fd)).map(|about| about.filesystem_type())
}

/// The magic number of the file system at a path, statfs(2).
pub(crate) fn file_system_at(path: &Path) -> Result<FsType, Errno> {
    retry(|| statfs(path)).map(|about| about.filesystem_type())
}

/// The device and inode number of an open file. statx(2) with `AT_STATX_DONT_SYNC` does not wait for a file system that is
/// served by a process, so this never blocks, wherever the descriptor comes from.
pub(crate) fn identity(fd: impl AsFd) -> Result<(u64, u64), Errno> {
    // SAFETY: an all-zero statx is valid.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let (fd, to, flags) = (fd.as_fd(), &raw mut found, libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC);
    // SAFETY: there is room for the result, and the path is a literal.
    retry(|| unsafe { call!(libc::SYS_statx, fd.as_raw_fd(), c"".as_ptr(), flags, libc::STATX_INO, to) })?;
    Ok((libc::makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino))
}

/// Whether a file is on a tmpfs, which is in memory alone.
pub(crate) fn is_in_memory(fd: impl AsFd) -> Result<bool, Errno> {
    file_system(fd).map(|found| found == TMPFS_MAGIC)
}

/// Whether a process has a regular file open for writing. fcntl(2) then grants no read lease (`F_SETLEASE`). `false` if the
/// file system does not support leases.
pub(crate) fn is_open_for_writing(fd: impl AsFd) -> bool {
    // SAFETY: no argument is an address.
    let lease = |kind: i32| unsafe { call!(libc::SYS_fcntl, fd.as_fd().as_raw_fd(), libc::F_SETLEASE, kind) };
    match lease(libc::F_RDLCK) {
        Ok(_) => {
            let _ = lease(libc::F_UNLCK);
            false
        }
        Err(errno) => errno == Errno::EAGAIN,
    }
}

/// Appends at most `length` bytes of a file from `offset` on to `out`, by one pread(2).
pub(crate) fn append_from(fd: impl AsFd, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<(), Errno> {
    out.reserve(length);
    let before = out.len();
    let (fd, spare) = (fd.as_fd(), out.spare_capacity_mut().as_mut_ptr());
    // SAFETY: there is room for so many bytes.
    let n = retry(|| unsafe { call!(libc::SYS_pread64, fd.as_raw_fd(), spare, length, offset) })?;
    // SAFETY: pread64(2) has filled `n` bytes of the spare capacity, which has at least `length`.
    unsafe { out.set_len(before + n as usize) };
    Ok(())
}

/// Reads a small file below `dir` into `buffer` by one read(2), which is enough for a file of procfs; the bytes read.
pub(crate) fn read_once<'b>(dir: impl AsFd, path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let fd = openat(dir, path, libc::O_RDONLY, 0)?;
    let (to, length) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: there is room for so many bytes.
    let n = retry(|| unsafe { call!(libc::SYS_read, fd.as_raw_fd(), to, length) })?;
    Ok(&buffer[..n as usize])
}

/// Reads a small file below `dir` (64 MiB at most).
pub(crate) fn read_at(dir: impl AsFd, path: &CStr) -> Result<Vec<u8>, Errno> {
    read_all(openat(dir, path, libc::O_RDONLY, 0)?, 64 << 20)
}

/// Writes all bytes; a short write is continued.
pub(crate) fn write_all(fd: impl AsFd, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        data = &data[write_some(fd.as_fd(), data)?..];
    }
    Ok(())
}

/// Writes to an existing file of a kernel file system in one write(2).
pub(crate) fn write_at(dir: impl AsFd, path: &CStr, data: &[u8]) -> Result<(), Errno> {
    let fd = openat(dir, path, libc::O_WRONLY, 0)?;
    write_some(fd.as_fd(), data).map(drop)
}

/// Replaces `name` in `dir` atomically: a reader sees the old or the new content. All files for a caller are written
/// by this function.
///
/// A new temporary file with an unpredictable name is written and renamed over `name`, which is never opened. A file,
/// symbolic link, FIFO or socket of that name is replaced; the target of a link is not touched. The mode is exactly
/// `mode`, whatever the umask. On failure the temporary file is removed.
///
/// # Errors
/// `EISDIR` if `name` is a directory. `EOPNOTSUPP` if it is a device, or a link in `/dev` (such as `/dev/stdout`),
/// which the host needs.
pub(crate) fn replace_at(dir: impl AsFd, name: &CStr, data: &[u8], mode: u32) -> Result<(), Errno> {
    if is_device_or_dev_link(&dir, name)? {
        return Err(Errno::EOPNOTSUPP);
    }
    let (temporary, fd) = temporary_at(&dir)?;
    let done = fill_new(&fd, data, mode).and_then(|()| renameat(&dir, &temporary, &dir, name));
    if done.is_err() {
        let _ = unlinkat(&dir, &temporary, 0);
    }
    done
}

/// Creates the file `name` in `dir` with exactly this mode. On failure it is removed.
///
/// # Errors
/// `EEXIST` if the name is taken, also by a dangling link.
pub(crate) fn create_at(dir: impl AsFd, name: &CStr, data: &[u8], mode: u32) -> Result<(), Errno> {
    let fd = openat(&dir, name, CREATE_NEW, OWNER_ONLY)?;
    let done = fill_new(&fd, data, mode);
    if done.is_err() {
        let _ = unlinkat(&dir, name, 0);
    }
    done
}

/// Fails if the name is taken, and follows no link.
const CREATE_NEW: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
/// The mode at creation.
const OWNER_ONLY: u32 = 0o600;

fn fill_new(fd: &OwnedFd, data: &[u8], mode: u32) -> Result<(), Errno> {
    if mode != OWNER_ONLY {
        nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode))?;
    }
    write_all(fd, data)
}

/// Creates a file in `dir` under an unpredictable name.
fn temporary_at(dir: &impl AsFd) -> Result<(CString, OwnedFd), Errno> {
    const TRIES: u32 = 8;
    let mut tries = 0;
    loop {
        let name = unguessable_name()?;
        match openat(dir, &name, CREATE_NEW, OWNER_ONLY) {
            Err(Errno::EEXIST) if tries < TRIES => tries += 1,
            other => return other.map(|fd| (name, fd)),
        }
    }
}

/// A file name that cannot be predicted, so no other program can have created it.
pub(crate) fn unguessable_name() -> Result<CString, Errno> {
    CString::new(format!(".orlop-{:032x}", random()?)).map_err(|_| Errno::EINVAL)
}

/// getrandom(2) with `GRND_INSECURE`, which never blocks.
fn random() -> Result<u128, Errno> {
    let mut bytes = [0u8; 16];
    // SAFETY: the bytes outlive the call.
    let n = retry(|| unsafe {
        call!(libc::SYS_getrandom, bytes.as_mut_ptr(), bytes.len(), libc::GRND_INSECURE)
    })?;
    if n as usize == bytes.len() { Ok(u128::from_ne_bytes(bytes)) } else { Err(Errno::EIO) }
}

/// Whether the name is a device, or a link in `/dev`.
fn is_device_or_dev_link(dir: &impl AsFd, name: &CStr) -> Result<bool, Errno> {
    use nix::sys::stat::{SFlag, fstat, fstatat, stat};
    let found = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT),
        Err(Errno::ENOENT) => return Ok(false),
        Err(e) => return Err(e),
    };
    match found {
        SFlag::S_IFCHR | SFlag::S_IFBLK => Ok(true),
        SFlag::S_IFLNK => {
            let (here, devices) = (fstat(dir)?, stat(c"/dev"));
            Ok(devices.is_ok_and(|d| (d.st_dev, d.st_ino) == (here.st_dev, here.st_ino)))
        }
        _ => Ok(false),
    }
}

/// Reads the regular file `name` in `dir` (`limit` bytes at most). Follows no link, and does not block on a FIFO or a
/// device.
///
/// # Errors
/// `ELOOP` if it is a link, `EINVAL` if it is not a regular file, `EFBIG`.
pub(crate) fn read_plain_at(dir: impl AsFd, name: &CStr, limit: usize) -> Result<Vec<u8>, Errno> {
    read_all(open_plain_at(dir, name)?, limit)
}

/// Opens the regular file `name` in `dir` for reading, as [`read_plain_at`] does.
pub(crate) fn open_plain_at(dir: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let fd = openat(dir, name, flags, 0)?;
    if is_regular(&fd)? { Ok(fd) } else { Err(Errno::EINVAL) }
}

fn is_regular(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(nix::sys::stat::fstat(fd)?.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// renameat(2).
pub(crate) fn renameat(from_dir: impl AsFd, from: &CStr, to_dir: impl AsFd, to: &CStr) -> Result<(), Errno> {
    let (from_dir, to_dir) = (from_dir.as_fd(), to_dir.as_fd());
    let numbers = (from_dir.as_raw_fd(), to_dir.as_raw_fd());
    // SAFETY: the names outlive the call.
    unsafe { call!(libc::SYS_renameat2, numbers.0, from.as_ptr(), numbers.1, to.as_ptr(), 0) }.map(drop)
}

/// unlinkat(2); `AT_REMOVEDIR` removes a directory.
pub(crate) fn unlinkat(dir: impl AsFd, path: &CStr, flags: i32) -> Result<(), Errno> {
    let dir = dir.as_fd();
    // SAFETY: the path outlives the call.
    unsafe { call!(libc::SYS_unlinkat, dir.as_raw_fd(), path.as_ptr(), flags) }.map(drop)
}

/// mkdirat(2).
pub(crate) fn mkdirat(dir: impl AsFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    let dir = dir.as_fd();
    // SAFETY: the path outlives the call.
    unsafe { call!(libc::SYS_mkdirat, dir.as_raw_fd(), path.as_ptr(), mode) }.map(drop)
}

#[cfg(test)]
#[path = "fs_tests.rs"]
mod tests;
