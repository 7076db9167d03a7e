//! The stub as an executable file that no container can change.
//!
//! `/proc/PID/exe` of every process that waits in the stub is this file, and a container may keep it open after the last
//! such process has exited. `ETXTBSY`, which protects a program only while it runs, is therefore not enough. The file is
//!
//! 1. a sealed memfd, shared by all launches of the process;
//! 2. if executable memfds are forbidden (`vm.memfd_noexec=2`), a file on a detached tmpfs that is read-only as a file
//!    system and as a mount, also shared by all launches;
//! 3. if the caller may not mount either, an unlinked file, a new one for each launch: a container can change only its
//!    own, which nothing executes again. What remains is its own first process, if that stays in the stub (`--init`) on a
//!    kernel that does not protect running programs (6.11 and 6.12).

use crate::sys::fs::{cwd, is_open_for_writing, openat, unlinkat, write_all};
use crate::sys::memfd::{SEAL_ALL, memfd_create, seal};
use crate::sys::mount::{self, MountAttr, MountAttrFlags};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));
static SHARED: Mutex<Option<StubFile>> = Mutex::new(None);
const MFD_EXEC: u32 = 0x10;
const F_SEAL_EXEC: i32 = 0x20;
/// No process can read or write the file, not even through `/proc/PID/exe`.
const EXECUTE_ONLY: u32 = 0o111;
/// How often an operation is repeated while another thread's child has the file open for writing.
const BUSY_ATTEMPTS: u32 = 100;
/// The pause between two attempts.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// The stub's size in bytes.
pub fn size() -> usize {
    STUB.len()
}

/// A file that holds the stub, for one launch or for all.
#[derive(Clone, Debug)]
pub(crate) struct StubFile(Arc<OwnedFd>);

impl AsFd for StubFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl StubFile {
    /// Whether it is still executable. Before Linux 6.3 no seal prevents a container's root from changing the mode.
    fn is_executable(&self) -> bool {
        fstat(&self.0).is_ok_and(|stat| stat.st_mode & 0o777 & EXECUTE_ONLY == EXECUTE_ONLY)
    }
}

/// The stub's file. All threads of the process share it if it is immutable.
pub(crate) fn stub_file() -> Result<StubFile> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = shared.as_ref().filter(|file| file.is_executable()) {
        return Ok(file.clone());
    }
    let (file, is_immutable) = create()?;
    let file = StubFile(Arc::new(file));
    *shared = is_immutable.then(|| file.clone());
    Ok(file)
}

/// A new file, and whether it is immutable.
fn create() -> Result<(OwnedFd, bool)> {
    let failed = |call: &'static str| move |errno| Error::sys(Phase::Launch, call, errno);
    match sealed() {
        Ok(file) => return Ok((file, true)),
        // vm.memfd_noexec=2, or a security module that forbids executable memory files.
        Err(Errno::EACCES | Errno::EPERM) => {}
        Err(errno) => return Err(failed("memfd_create of the init stub")(errno)),
    }
    match read_only() {
        Ok(file) => Ok((file, true)),
        // Not permitted, or unknown to an old kernel or to a seccomp filter.
        Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::ENODEV | Errno::EINVAL) => {
            unlinked().map(|file| (file, false))
        }
        Err(errno) => Err(failed("make a read-only file system for the init stub")(errno)),
    }
}

fn sealed() -> Result<OwnedFd, Errno> {
    let sealing = libc::MFD_ALLOW_SEALING;
    let (fd, seals) = match memfd_create(c"orlop-init", sealing | MFD_EXEC) {
        Ok(fd) => (fd, SEAL_ALL | F_SEAL_EXEC),
        // Before Linux 6.3 every memfd is executable, and the flag is unknown.
        Err(Errno::EINVAL) => (memfd_create(c"orlop-init", sealing)?, SEAL_ALL),
        Err(errno) => return Err(errno),
    };
    write_all(&fd, STUB)?;
    execute_only(&fd)?;
    seal(&fd, seals)?;
    Ok(fd)
}

fn execute_only(fd: impl AsFd) -> Result<(), Errno> {
    fchmod(fd.as_fd(), Mode::from_bits_truncate(EXECUTE_ONLY))
}

/// A file on a file system of its own that stays read-only: only the context can change that, and it never leaves this
/// function.
fn read_only() -> Result<OwnedFd, Errno> {
    let context = mount::fsopen(c"tmpfs")?;
    for (key, value) in [(c"size", c"128k"), (c"nr_inodes", c"4"), (c"mode", c"0700")] {
        mount::fsconfig(&context, key, Some(value))?;
    }
    mount::fsconfig_create(&context)?;
    let root = mount::fsmount(&context, MountAttrFlags::NOSUID | MountAttrFlags::NODEV)?;
    let writer = openat(&root, c"orlop-init", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o500)?;
    write_all(&writer, STUB)?;
    execute_only(&writer)?;
    // The file has two names, and the one that it is opened by is removed. So `/proc/PID/exe` ends with "(deleted)", which
    // distinguishes the stub from a program of the container. A file without any name would prevent the file system from
    // becoming read-only.
    nix::unistd::linkat(&root, c"orlop-init", &root, c"linked", nix::fcntl::AtFlags::empty())?;
    let file = openat(&root, c"orlop-init", libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    unlinkat(&root, c"orlop-init", 0)?;
    drop(writer);
    mount::fsconfig(&context, c"ro", None)?;
    retry_busy(|| mount::fsconfig_reconfigure(&context))?;
    let attributes = MountAttr { set: MountAttrFlags::RDONLY, ..MountAttr::default() };
    retry_busy(|| mount::mount_setattr(&root, false, &attributes))?;
    match openat(&root, c"linked", libc::O_RDWR, 0) {
        Err(Errno::EROFS) => Ok(file),
        // Every call has succeeded, and still the file can be written to.
        _ => Err(Errno::EIO),
    }
}

/// Repeats what fails with `EBUSY` while the file is open for writing. A child that another thread has just forked holds
/// a copy of every descriptor until its execve(2).
fn retry_busy(mut act: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..BUSY_ATTEMPTS {
        match act() {
            Err(Errno::EBUSY) => std::thread::sleep(BUSY_PAUSE),
            done => return done,
        }
    }
    act()
}

/// A file without a name, open for reading only, in the first directory that permits execution.
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

fn unlinked_in(directory: &CStr) -> Result<OwnedFd, Errno> {
    if statvfs(directory)?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(Errno::EACCES);
    }
    let writer = openat(cwd(), directory, libc::O_TMPFILE | libc::O_RDWR, 0o500)?;
    write_all(&writer, STUB)?;
    let path = CString::new(format!("/proc/self/fd/{}", writer.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let reader = openat(cwd(), &path, libc::O_RDONLY, 0)?;
    execute_only(&reader)?;
    // A file that is open for writing cannot be executed.
    drop(writer);
    retry_busy(|| if is_open_for_writing(&reader) { Err(Errno::EBUSY) } else { Ok(()) })?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;
    use crate::sys::spawn::{Request, spawn};

    /// Tries to change a file through every descriptor of it that can be opened.
    fn refuses_changes(file: &OwnedFd) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let options = || std::fs::OpenOptions::new();
        for opened in [options().write(true).open(&path), options().read(true).write(true).open(&path)] {
            let Ok(opened) = opened else { continue };
            assert!(nix::sys::uio::pwrite(&opened, b"x", 0).is_err());
            assert!(opened.set_len(1).is_err());
        }
        assert!(options().write(true).truncate(true).open(&path).is_err());
        let content = std::fs::read(&path);
        assert!(content.map_or_else(|e| e.kind() == std::io::ErrorKind::PermissionDenied, |c| c == STUB));
    }

    fn exit_of(file: &OwnedFd) -> process::Exit {
        let request = Request {
            namespaces: crate::sys::namespace::NamespaceFlags::new(0).unwrap(),
            cgroup: None,
            program: file.as_fd(),
            // Without a plan it exits at once.
            args: &[c"orlop-init"],
            stdio: [None; 3],
            keep: &[],
            preserve: 0,
        };
        let spawned = spawn(&request).unwrap();
        process::wait(&spawned.pidfd, true).unwrap().unwrap()
    }

    #[test]
    fn every_variant_is_executable_and_immutable() {
        let sealed = sealed().unwrap();
        let expected = exit_of(&sealed);
        refuses_changes(&sealed);
        match read_only() {
            Ok(file) => {
                refuses_changes(&file);
                assert_eq!(exit_of(&file), expected);
                let link =
                    nix::fcntl::readlink(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str()).unwrap();
                assert!(link.as_encoded_bytes().ends_with(b" (deleted)"), "{link:?}");
            }
            Err(e) => println!("skipped: may not mount: {e}"),
        }
        let (one, other) = (unlinked().unwrap(), unlinked().unwrap());
        assert_ne!(fstat(&one).unwrap().st_ino, fstat(&other).unwrap().st_ino, "one for each launch");
        assert_eq!(exit_of(&one), expected);
    }

    #[test]
    fn a_file_that_is_no_longer_executable_is_replaced() {
        // As on a kernel without F_SEAL_EXEC.
        let file = memfd_create(c"test", libc::MFD_ALLOW_SEALING).unwrap();
        let file = StubFile(Arc::new(file));
        execute_only(&file).unwrap();
        assert!(file.is_executable());
        fchmod(file.as_fd(), Mode::from_bits_truncate(0o100)).unwrap();
        assert!(!file.is_executable());
        *SHARED.lock().unwrap() = Some(file.clone());
        let again = super::stub_file().unwrap();
        assert!(again.is_executable());
        assert_ne!(fstat(&again).unwrap().st_ino, fstat(&file).unwrap().st_ino);
    }

    /// A child of another thread holds such a descriptor until its execve(2).
    #[test]
    fn an_open_writer_is_waited_for() {
        let writer = openat(cwd(), c"/tmp", libc::O_TMPFILE | libc::O_RDWR, 0o500).unwrap();
        let path = CString::new(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
        let reader = openat(cwd(), &path, libc::O_RDONLY, 0).unwrap();
        let waited = || retry_busy(|| if is_open_for_writing(&reader) { Err(Errno::EBUSY) } else { Ok(()) });
        assert!(is_open_for_writing(&reader));
        assert_eq!(waited(), Err(Errno::EBUSY), "the wait is bounded");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(10 * BUSY_PAUSE);
                drop(writer);
            });
            assert_eq!(waited(), Ok(()));
        });
        assert!(!is_open_for_writing(&reader));
        assert_eq!(retry_busy(|| Err(Errno::EROFS)), Err(Errno::EROFS), "no other error is repeated");
    }
}
