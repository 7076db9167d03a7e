//! The init stub as a file to execute: a sealed memfd, made once a process.

use crate::sys::fs::{cwd, openat, write_all};
use crate::sys::memfd::{SEAL_ALL, memfd_create, seal};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));
static PROGRAM: OnceLock<OwnedFd> = OnceLock::new();
const MFD_EXEC: u32 = 0x10;
const F_SEAL_EXEC: i32 = 0x20;

/// The stub's size in bytes.
pub fn size() -> usize {
    STUB.len()
}

/// The stub's descriptor, shared by all threads of the process.
///
/// `/proc/PID/exe` of every process that waits in the stub is this memory, which cannot be written
/// to: nothing of the host's can be overwritten through it.
pub(crate) fn program() -> Result<BorrowedFd<'static>> {
    if let Some(fd) = PROGRAM.get() {
        return Ok(fd.as_fd());
    }
    let fd = match sealed() {
        Ok(fd) => fd,
        // vm.memfd_noexec=2, or a security module that forbids executable memory files.
        Err(Errno::EACCES | Errno::EPERM) => unlinked()?,
        Err(errno) => return Err(Error::sys(Phase::Launch, "memfd_create of the init stub", errno)),
    };
    Ok(PROGRAM.get_or_init(|| fd).as_fd())
}

fn sealed() -> Result<OwnedFd, Errno> {
    let sealing = libc::MFD_ALLOW_SEALING;
    let (fd, seals) = match memfd_create(c"orlop-init", sealing | MFD_EXEC) {
        Ok(fd) => (fd, SEAL_ALL | F_SEAL_EXEC),
        // Before Linux 6.3 every memfd was executable, and this flag unknown.
        Err(Errno::EINVAL) => (memfd_create(c"orlop-init", sealing)?, SEAL_ALL),
        Err(errno) => return Err(errno),
    };
    write_all(&fd, STUB)?;
    execute_only(&fd)?;
    seal(&fd, seals)?;
    Ok(fd)
}

/// Nobody may read or write it, not even through `/proc/PID/exe`.
fn execute_only(fd: impl AsFd) -> Result<(), Errno> {
    nix::sys::stat::fchmod(fd.as_fd(), nix::sys::stat::Mode::from_bits_truncate(0o111))
}

/// A file without a name, open for reading only, in the first directory that allows execution.
fn unlinked() -> Result<OwnedFd> {
    let mut last = Errno::EACCES;
    for directory in [c"/run", c"/dev/shm", c"/var/tmp", c"/tmp"] {
        match unlinked_in(directory) {
            Ok(fd) => return Ok(fd),
            Err(errno) => last = errno,
        }
    }
    Err(Error::sys(Phase::Launch, "make the init stub's file", last).with_hint(
        "executable memory files are forbidden (vm.memfd_noexec=2?) and /run, /dev/shm, /var/tmp and /tmp are not writable or noexec",
    ))
}

fn unlinked_in(directory: &std::ffi::CStr) -> Result<OwnedFd, Errno> {
    if nix::sys::statvfs::statvfs(directory)?.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC) {
        return Err(Errno::EACCES);
    }
    let writer = openat(cwd(), directory, libc::O_TMPFILE | libc::O_RDWR, 0o500)?;
    write_all(&writer, STUB)?;
    let path =
        std::ffi::CString::new(format!("/proc/self/fd/{}", writer.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let reader = openat(cwd(), &path, libc::O_RDONLY, 0)?;
    execute_only(&reader)?;
    // Closing the writer: a file that is open for writing cannot be executed.
    drop(writer);
    Ok(reader)
}
