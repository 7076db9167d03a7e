//! Making a path below a root which is not to be trusted: one component at a time, each opened with
//! `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, so that no symbolic link leads out.

use crate::arch::{nr, syscall};
use crate::machine::{NO_CALL, last};

const EAGAIN: i64 = -11;
const ENOENT: i64 = -2;
const EEXIST: i64 = -17;
const ELOOP: u32 = 40;
const ENAMETOOLONG: u32 = 36;
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
/// `PATH_MAX`.
const LENGTH: usize = 4096;
/// As many as the kernel follows in one walk.
const MAX_LINKS: u32 = 40;

/// The failing system call's number and errno.
type Failure = (u32, u32);

/// A path in a buffer, ending with a zero byte.
struct Text([u8; LENGTH]);

static mut BUFFERS: [Text; 3] = [const { Text([0; LENGTH]) }; 3];

impl Text {
    fn at(&self, i: usize) -> u8 {
        self.0.get(i).copied().unwrap_or(0)
    }

    fn set(&mut self, i: usize, byte: u8) -> Result<(), Failure> {
        let place = self.0.get_mut(i).ok_or((NO_CALL, ENAMETOOLONG))?;
        *place = byte;
        Ok(())
    }

    fn copy(&mut self, from: *const u8) -> Result<(), Failure> {
        let mut i = 0;
        loop {
            // SAFETY: the path ends with a zero byte, at which this ends.
            let byte = unsafe { *from.add(i) };
            self.set(i, byte)?;
            if byte == 0 {
                return Ok(());
            }
            i += 1;
        }
    }

    /// `self = head[..n] + "/" + self[at..]`.
    fn splice(&mut self, at: usize, head: &Self, n: usize) -> Result<(), Failure> {
        let mut length = 0;
        while self.at(at + length) != 0 {
            length += 1;
        }
        if n + 1 + length + 1 > LENGTH {
            return Err((NO_CALL, ENAMETOOLONG));
        }
        // The tail moves first, from the side that is not overwritten.
        if n + 1 > at {
            let mut i = length + 1;
            while i > 0 {
                i -= 1;
                self.set(n + 1 + i, self.at(at + i))?;
            }
        } else {
            let mut i = 0;
            while i <= length {
                self.set(n + 1 + i, self.at(at + i))?;
                i += 1;
            }
        }
        let mut i = 0;
        while i < n {
            self.set(i, head.at(i))?;
            i += 1;
        }
        self.set(n, b'/')
    }
}

/// See `op::MAKE_PATH`.
pub fn make(root: i32, path: *const u8, kind: u64, mode: u32) -> Result<i64, Failure> {
    let fd = open_in(root, path);
    if fd >= 0 {
        return Ok(fd);
    }
    if fd != ENOENT || kind == last::NOTHING {
        return Err(failure(nr::OPENAT2, fd));
    }
    // SAFETY: the stub has one thread, and `make` is not entered twice.
    let [rest, prefix, link] = unsafe { &mut *(&raw mut BUFFERS) };
    rest.copy(path)?;
    walk(root, rest, prefix, link, kind, mode)
}

/// `rest` is what is still to be walked; `prefix` is what exists. A dangling link's target takes the
/// link's place in `rest`, as if the path had been written so.
fn walk(
    root: i32,
    rest: &mut Text,
    prefix: &mut Text,
    link: &mut Text,
    kind: u64,
    mode: u32,
) -> Result<i64, Failure> {
    let (mut at, mut length, mut links) = (0, 1, 0);
    prefix.set(0, b'/')?;
    prefix.set(1, 0)?;
    let mut parent = open_in(root, prefix.0.as_ptr());
    while parent >= 0 {
        while rest.at(at) == b'/' {
            at += 1;
        }
        if rest.at(at) == 0 {
            return Ok(parent);
        }
        let before = length;
        while rest.at(at) != b'/' && rest.at(at) != 0 {
            prefix.set(length, rest.at(at))?;
            length += 1;
            at += 1;
        }
        prefix.set(length, 0)?;
        // SAFETY: `before` is inside the buffer.
        let name = unsafe { prefix.0.as_ptr().add(before) };
        let mut next = open_in(root, prefix.0.as_ptr());
        if next == ENOENT {
            let n = read_link(parent, name, link);
            if n >= 0 {
                links += 1;
                if links > MAX_LINKS {
                    return Err((NO_CALL, ELOOP));
                }
                rest.splice(at, link, n as usize)?;
                at = 0;
                // An absolute target begins at the root again, a relative one at the link's place.
                length = if link.at(0) == b'/' { 1 } else { before };
                prefix.set(length, 0)?;
                close(parent);
                parent = open_in(root, prefix.0.as_ptr());
                continue;
            }
            next = create(parent, name, is_last(rest, at) && kind == last::FILE, mode)?;
        }
        if next < 0 {
            return Err(failure(nr::OPENAT2, next));
        }
        close(parent);
        parent = next;
        prefix.set(length, b'/')?;
        length += 1;
    }
    Err(failure(nr::OPENAT2, parent))
}

fn is_last(rest: &Text, mut at: usize) -> bool {
    while rest.at(at) == b'/' {
        at += 1;
    }
    rest.at(at) == 0
}

/// Makes one component and opens it; who came first (`EEXIST`) is as good.
fn create(parent: i64, name: *const u8, file: bool, mode: u32) -> Result<i64, Failure> {
    let (dir, name) = (parent as u64, name as u64);
    let (call, made) = if file {
        let flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        (nr::OPENAT, syscall(nr::OPENAT, [dir, name, flags, 0o644, 0, 0]))
    } else {
        (nr::MKDIRAT, syscall(nr::MKDIRAT, [dir, name, u64::from(mode), 0, 0, 0]))
    };
    if made < 0 && made != EEXIST {
        return Err(failure(call, made));
    }
    if file && made >= 0 {
        close(made);
    }
    let fd = syscall(nr::OPENAT, [dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, 0, 0]);
    if fd < 0 { Err(failure(nr::OPENAT, fd)) } else { Ok(fd) }
}

fn open_in(root: i32, path: *const u8) -> i64 {
    let how = [O_PATH | O_CLOEXEC, 0, IN_ROOT];
    loop {
        // EAGAIN: somebody renamed a directory of the walk; the kernel asks to try again.
        let answer = syscall(nr::OPENAT2, [root as u64, path as u64, how.as_ptr() as u64, 24, 0, 0]);
        if answer != EAGAIN {
            return answer;
        }
    }
}

fn read_link(dir: i64, name: *const u8, link: &mut Text) -> i64 {
    let room = LENGTH as u64 - 1;
    syscall(nr::READLINKAT, [dir as u64, name as u64, link.0.as_mut_ptr() as u64, room, 0, 0])
}

fn close(fd: i64) {
    syscall(nr::CLOSE, [fd as u64, 0, 0, 0, 0, 0]);
}

fn failure(call: u64, answer: i64) -> Failure {
    (call as u32, -answer as u32)
}
