//! The operation `MAKE_PATH`: the walk of `mount/walk.rs`, by system calls.

use super::abi::{
    EAGAIN, O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH, OpenHow, RESOLVE_BENEATH, RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
};
use super::arch::{nr, syscall};
use super::call::{checked, result};
use super::walk::{self, Buffers, CallFailure, Last, Tree};

/// How often a lookup is repeated that the kernel gave up because of a rename.
const LOOKUP_ATTEMPTS: u32 = 1 << 16;

/// A root directory, and the mode of the directories that are created in it.
struct Root {
    fd: u64,
    mode: u64,
}

/// openat2(2), repeated after `EAGAIN`: a `..` was looked up during a rename.
pub fn openat2(args: [u64; 6]) -> i64 {
    let mut left = LOOKUP_ATTEMPTS;
    loop {
        let answer = syscall(nr::OPENAT2, args);
        if answer != -i64::from(EAGAIN) || left == 0 {
            return answer;
        }
        left -= 1;
    }
}

fn open(directory: u64, path: &[u8], resolve: u64) -> Result<i64, CallFailure> {
    let how = OpenHow { flags: O_PATH | O_CLOEXEC, mode: 0, resolve };
    let size = size_of::<OpenHow>() as u64;
    result(nr::OPENAT2, openat2([directory, path.as_ptr() as u64, (&raw const how) as u64, size, 0, 0]))
}

impl Tree for Root {
    fn find(&mut self, path: &[u8]) -> Result<i64, CallFailure> {
        open(self.fd, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    }

    fn make(&mut self, directory: i64, name: &[u8], file: bool, _: bool) -> Result<i64, CallFailure> {
        let (directory, text) = (directory as u64, name.as_ptr() as u64);
        if file {
            let flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
            let created = checked(nr::OPENAT, [directory, text, flags, 0o644, 0, 0])?;
            self.close(created);
        } else {
            checked(nr::MKDIRAT, [directory, text, self.mode, 0, 0, 0])?;
        }
        open(directory, name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
    }

    fn link(&mut self, directory: i64, name: &[u8], target: &mut [u8]) -> Option<usize> {
        let (text, room) = (name.as_ptr() as u64, target.len() as u64 - 1);
        let target = target.as_mut_ptr() as u64;
        let n = syscall(nr::READLINKAT, [directory as u64, text, target, room, 0, 0]);
        usize::try_from(n).ok()
    }

    fn close(&mut self, fd: i64) {
        syscall(nr::CLOSE, [fd as u64, 0, 0, 0, 0, 0]);
    }
}

/// Opens `path` below `root`, and creates what is missing of it: see `op::MAKE_PATH`.
pub fn make(
    root: i32,
    path: &[u8],
    last: Last,
    mode: u32,
    buffers: &mut Buffers,
) -> Result<i64, CallFailure> {
    let mut root = Root { fd: root as u64, mode: u64::from(mode) };
    walk::make(&mut root, path, last, buffers).map(|found| found.fd)
}
