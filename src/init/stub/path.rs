//! Making a path below a root which is not to be trusted: the walk of `mount/walk.rs` by system calls.

use super::arch::{nr, syscall};
use super::machine::last;
use super::walk::{self, Buffers, Failure, Last, Tree};

const EAGAIN: i64 = -11;
const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_CLOEXEC: u64 = 0o2_000_000;
const O_PATH: u64 = 0o10_000_000;
#[cfg(target_arch = "x86_64")]
const O_NOFOLLOW: u64 = 0o400_000;
#[cfg(target_arch = "aarch64")]
const O_NOFOLLOW: u64 = 0o100_000;
/// `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`.
const IN_ROOT: u64 = 0x10 | 0x02;
/// `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`.
const BENEATH: u64 = 0x08 | 0x04 | 0x02;
/// How often a lookup is tried again that the kernel gave up because of a rename.
const PATIENCE: u32 = 1 << 16;

static mut BUFFERS: Buffers = Buffers::new();

/// A root, and the mode of the directories made in it.
struct Root {
    fd: u64,
    mode: u64,
}

fn checked(call: u64, args: [u64; 6]) -> Result<i64, Failure> {
    let answer = syscall(call, args);
    if (-4095..0).contains(&answer) {
        Err(Failure { call: call as u32, errno: -answer as u32 })
    } else {
        Ok(answer)
    }
}

/// openat2(2), again if a `..` was looked up while something was renamed (`EAGAIN`).
pub fn openat2(args: [u64; 6]) -> i64 {
    let mut left = PATIENCE;
    loop {
        let answer = syscall(nr::OPENAT2, args);
        if answer != EAGAIN || left == 0 {
            return answer;
        }
        left -= 1;
    }
}

fn open(directory: u64, path: &[u8], resolve: u64) -> Result<i64, Failure> {
    let how = [O_PATH | O_CLOEXEC, 0, resolve];
    let answer = openat2([directory, path.as_ptr() as u64, how.as_ptr() as u64, 24, 0, 0]);
    if answer < 0 { Err(Failure { call: nr::OPENAT2 as u32, errno: -answer as u32 }) } else { Ok(answer) }
}

impl Tree for Root {
    fn find(&mut self, path: &[u8]) -> Result<i64, Failure> {
        open(self.fd, path, IN_ROOT)
    }

    fn make(&mut self, directory: i64, name: &[u8], file: bool, _: bool) -> Result<i64, Failure> {
        let (directory, text) = (directory as u64, name.as_ptr() as u64);
        if file {
            let flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
            let made = checked(nr::OPENAT, [directory, text, flags, 0o644, 0, 0])?;
            self.close(made);
        } else {
            checked(nr::MKDIRAT, [directory, text, self.mode, 0, 0, 0])?;
        }
        open(directory, name, BENEATH)
    }

    fn link(&mut self, directory: i64, name: &[u8], target: &mut [u8]) -> Option<usize> {
        let (text, room) = (name.as_ptr() as u64, target.len() as u64 - 1);
        let place = target.as_mut_ptr() as u64;
        let n = syscall(nr::READLINKAT, [directory as u64, text, place, room, 0, 0]);
        usize::try_from(n).ok()
    }

    fn close(&mut self, fd: i64) {
        syscall(nr::CLOSE, [fd as u64, 0, 0, 0, 0, 0]);
    }
}

/// See `op::MAKE_PATH`.
pub fn make(root: i32, path: &[u8], kind: u64, mode: u32) -> Result<i64, Failure> {
    let last = match kind {
        last::DIRECTORY => Last::Directory,
        last::FILE => Last::File,
        _ => Last::Nothing,
    };
    // SAFETY: the stub has one thread, and `make` is not entered twice.
    let memory = unsafe { &mut *(&raw mut BUFFERS) };
    walk::make(&mut Root { fd: root as u64, mode: u64::from(mode) }, path, last, memory).map(|found| found.fd)
}
