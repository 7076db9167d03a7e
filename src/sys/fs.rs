//! Files by descriptor: openat2, whole-file reads and writes, atomic replacement.

use super::{call, owned, retry};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `AT_FDCWD`, as a descriptor for functions that take one.
///
/// Only absolute paths may be resolved against it: the library never depends on the caller's
/// working directory.
pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD is no descriptor that could be closed; the kernel knows it.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}

/// A path for the kernel; `EINVAL` where it has a NUL byte.
pub fn cstring(path: impl AsRef<Path>) -> Result<CString, Errno> {
    CString::new(path.as_ref().as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// openat2(2): `flags` are `O_*` (`O_CLOEXEC` is added), `resolve` are `RESOLVE_*`.
pub fn openat2(dir: impl AsFd, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd, Errno> {
    let how = [(flags | libc::O_CLOEXEC) as u64, u64::from(mode), resolve];
    retry(|| {
        call!(libc::SYS_openat2, dir.as_fd().as_raw_fd(), path.as_ptr(), how.as_ptr(), size_of_val(&how))
            .map(owned)
    })
}

/// openat(2) with `O_CLOEXEC` added.
pub fn openat(dir: impl AsFd, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    retry(|| {
        call!(libc::SYS_openat, dir.as_fd().as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC, mode)
            .map(owned)
    })
}

/// Reads until the end of the file.
pub fn read_all(fd: impl AsFd, limit: usize) -> Result<Vec<u8>, Errno> {
    let mut out: Vec<u8> = Vec::with_capacity(4096.min(limit));
    loop {
        if out.len() == out.capacity() {
            out.reserve(out.len().max(4096));
        }
        let room = (out.capacity() - out.len()).min(limit + 1 - out.len());
        let n = retry(|| {
            call!(libc::SYS_read, fd.as_fd().as_raw_fd(), out.as_mut_ptr().wrapping_add(out.len()), room)
        })? as usize;
        if n == 0 {
            return Ok(out);
        }
        // SAFETY: read(2) filled `n` bytes of the spare capacity.
        unsafe { out.set_len(out.len() + n) };
        if out.len() > limit {
            return Err(Errno::EFBIG);
        }
    }
}

/// Reads a regular file (64 MiB at most) from where it stands to its end, which a short read tells.
pub fn read_regular(fd: impl AsFd) -> Result<Vec<u8>, Errno> {
    const LIMIT: usize = 64 << 20;
    let mut out: Vec<u8> = Vec::with_capacity(16 << 10);
    loop {
        let room = out.capacity() - out.len();
        let n = retry(|| {
            call!(libc::SYS_read, fd.as_fd().as_raw_fd(), out.as_mut_ptr().wrapping_add(out.len()), room)
        })? as usize;
        // SAFETY: read(2) filled `n` bytes of the spare capacity.
        unsafe { out.set_len(out.len() + n) };
        if n < room {
            return Ok(out);
        }
        if out.len() > LIMIT {
            return Err(Errno::EFBIG);
        }
        out.reserve(out.len());
    }
}

/// Whether the file system of a file is one that lives in memory alone: a tmpfs.
pub fn is_in_memory(fd: impl AsFd) -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
    fstatfs(fd).is_ok_and(|about| about.filesystem_type() == TMPFS_MAGIC)
}

/// Whether anything has a regular file open for writing: fcntl(2) gives no read lease on it then (`F_SETLEASE`). `false` where
/// the file system knows no leases.
pub fn is_open_for_writing(fd: impl AsFd) -> bool {
    let lease = |kind: i32| call!(libc::SYS_fcntl, fd.as_fd().as_raw_fd(), libc::F_SETLEASE, kind);
    match lease(libc::F_RDLCK) {
        Ok(_) => {
            let _ = lease(libc::F_UNLCK);
            false
        }
        Err(errno) => errno == Errno::EAGAIN,
    }
}

/// Adds what a file holds from `offset` on, `length` bytes of it at most, to `out`; by one pread(2).
pub fn append_from(fd: impl AsFd, offset: u64, length: usize, out: &mut Vec<u8>) -> Result<(), Errno> {
    out.reserve(length);
    let held = out.len();
    let spare = out.spare_capacity_mut().as_mut_ptr();
    let n = retry(|| call!(libc::SYS_pread64, fd.as_fd().as_raw_fd(), spare, length, offset))?;
    // SAFETY: pread64(2) filled `n` bytes of the spare capacity, which is `length` at least.
    unsafe { out.set_len(held + n as usize) };
    Ok(())
}

/// Reads a small file below `dir` into `buffer` by one read(2), as files of procfs can be; what was read.
pub fn read_once<'b>(dir: impl AsFd, path: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8], Errno> {
    let fd = openat(dir, path, libc::O_RDONLY, 0)?;
    let n = retry(|| call!(libc::SYS_read, fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()))?;
    Ok(&buffer[..n as usize])
}

/// Reads a small file below `dir` (64 MiB at most).
pub fn read_at(dir: impl AsFd, path: &CStr) -> Result<Vec<u8>, Errno> {
    read_all(openat(dir, path, libc::O_RDONLY, 0)?, 64 << 20)
}

/// Writes all bytes; a short write goes on.
pub fn write_all(fd: impl AsFd, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        let n = retry(|| call!(libc::SYS_write, fd.as_fd().as_raw_fd(), data.as_ptr(), data.len()))?;
        data = &data[n as usize..];
    }
    Ok(())
}

/// Writes to an existing file of a kernel file system in one write(2).
pub fn write_at(dir: impl AsFd, path: &CStr, data: &[u8]) -> Result<(), Errno> {
    let fd = openat(dir, path, libc::O_WRONLY, 0)?;
    retry(|| call!(libc::SYS_write, fd.as_raw_fd(), data.as_ptr(), data.len())).map(drop)
}

/// Replaces `name` in `dir` so that a reader sees the old or the new content, never a part: a
/// hidden temporary file is written and renamed over it.
pub fn replace_at(dir: impl AsFd, name: &CStr, data: &[u8], mode: u32) -> Result<(), Errno> {
    let mut temporary = b".".to_vec();
    temporary.extend_from_slice(name.to_bytes());
    temporary.extend_from_slice(format!(".{}", std::process::id()).as_bytes());
    let temporary = CString::new(temporary).map_err(|_| Errno::EINVAL)?;
    let fd = openat(&dir, &temporary, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC, mode)?;
    let done = write_all(&fd, data).and_then(|()| renameat(&dir, &temporary, &dir, name));
    if done.is_err() {
        let _ = unlinkat(&dir, &temporary, 0);
    }
    done
}

/// renameat(2).
pub fn renameat(from_dir: impl AsFd, from: &CStr, to_dir: impl AsFd, to: &CStr) -> Result<(), Errno> {
    call!(
        libc::SYS_renameat2,
        from_dir.as_fd().as_raw_fd(),
        from.as_ptr(),
        to_dir.as_fd().as_raw_fd(),
        to.as_ptr(),
        0
    )
    .map(drop)
}

/// unlinkat(2); `AT_REMOVEDIR` removes a directory.
pub fn unlinkat(dir: impl AsFd, path: &CStr, flags: i32) -> Result<(), Errno> {
    call!(libc::SYS_unlinkat, dir.as_fd().as_raw_fd(), path.as_ptr(), flags).map(drop)
}

/// mkdirat(2).
pub fn mkdirat(dir: impl AsFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    call!(libc::SYS_mkdirat, dir.as_fd().as_raw_fd(), path.as_ptr(), mode).map(drop)
}
