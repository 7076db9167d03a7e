//! Filling a new tmpfs with what lies under it (`tmpcopyup`): directories, files, links and nodes with
//! their owners, modes, times and extended attributes. Nothing is followed out of the source.

use super::arch::{nr, syscall};
use super::walk::Failure;

const O_DIRECTORY_READ: u64 = arch_flag::DIRECTORY | arch_flag::NOFOLLOW | O_CLOEXEC;
const O_CLOEXEC: u64 = 0o2_000_000;
const O_NONBLOCK: u64 = 0o4000;
const O_CREATE: u64 = 0o1 | 0o100 | 0o200 | O_CLOEXEC;
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const ELOOP: i64 = -40;
const ERANGE: i64 = -34;
/// Deeper than any image, and what the stack has room for.
const DEPTH: u32 = 128;

#[cfg(target_arch = "x86_64")]
mod arch_flag {
    pub const DIRECTORY: u64 = 0o200_000;
    pub const NOFOLLOW: u64 = 0o400_000;
    /// Offsets in `struct stat`: mode, uid, gid, rdev, atime, mtime.
    pub const STAT: [usize; 6] = [24, 28, 32, 40, 72, 88];
}
#[cfg(target_arch = "aarch64")]
mod arch_flag {
    pub const DIRECTORY: u64 = 0o40_000;
    pub const NOFOLLOW: u64 = 0o100_000;
    pub const STAT: [usize; 6] = [16, 24, 28, 32, 72, 88];
}

/// What is copied of a file's inode.
#[derive(Clone, Copy)]
struct Inode {
    mode: u32,
    uid: u32,
    gid: u32,
    device: u64,
    /// Access and modification time, as utimensat(2) takes them.
    times: [u64; 4],
}

fn checked(call: u64, args: [u64; 6]) -> Result<u64, Failure> {
    let answer = syscall(call, args);
    if (-4095..0).contains(&answer) {
        Err(Failure { call: call as u32, errno: -answer as u32 })
    } else {
        Ok(answer as u64)
    }
}

fn close(fd: u64) {
    syscall(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

/// Copies what is in the directory `from` into the directory `to`.
pub fn tree(from: u64, to: u64) -> Result<(), Failure> {
    let empty = c".".as_ptr() as u64;
    let source = checked(nr::OPENAT, [from, empty, O_DIRECTORY_READ, 0, 0, 0])?;
    let done = directory(source, to, DEPTH);
    close(source);
    done
}

/// See [`tree`]; `from` is open for reading.
fn directory(from: u64, to: u64, depth: u32) -> Result<(), Failure> {
    if depth == 0 {
        return Err(Failure { call: nr::GETDENTS64 as u32, errno: -ELOOP as u32 });
    }
    let mut entries = [0u64; 256];
    let start = entries.as_mut_ptr().cast::<u8>();
    loop {
        let filled = checked(nr::GETDENTS64, [from, start as u64, 2048, 0, 0, 0])? as usize;
        if filled == 0 {
            return Ok(());
        }
        let mut at = 0;
        while at < filled {
            // SAFETY: the kernel wrote whole entries: inode and offset of eight bytes each, length of
            // two, type of one, then the name with its zero byte.
            let (length, name) = unsafe {
                let entry = start.add(at);
                (entry.add(16).cast::<u16>().read_unaligned() as usize, entry.add(19))
            };
            at += length;
            if !is_dots(name) {
                entry(from, to, name as u64, depth)?;
            }
        }
    }
}

/// `.` or `..`.
fn is_dots(name: *const u8) -> bool {
    // SAFETY: a name ends with a zero byte, which is looked at no later than third.
    unsafe { *name == b'.' && (*name.add(1) == 0 || *name.add(1) == b'.' && *name.add(2) == 0) }
}

fn entry(from: u64, to: u64, name: u64, depth: u32) -> Result<(), Failure> {
    let inode = inode(from, name)?;
    match inode.mode & 0o170_000 {
        0o040_000 => {
            checked(nr::MKDIRAT, [to, name, 0o700, 0, 0, 0])?;
            let source = checked(nr::OPENAT, [from, name, O_DIRECTORY_READ, 0, 0, 0])?;
            let target = checked(nr::OPENAT, [to, name, O_DIRECTORY_READ, 0, 0, 0])?;
            directory(source, target, depth - 1)?;
            attributes(source, target)?;
            close(source);
            close(target);
            finish(to, name, &inode)
        }
        0o100_000 => {
            let flags = O_NONBLOCK | arch_flag::NOFOLLOW | O_CLOEXEC;
            let source = checked(nr::OPENAT, [from, name, flags, 0, 0, 0])?;
            let target = checked(nr::OPENAT, [to, name, O_CREATE, 0o600, 0, 0])?;
            while checked(nr::SENDFILE, [target, source, 0, 1 << 30, 0, 0])? > 0 {}
            attributes(source, target)?;
            close(source);
            close(target);
            finish(to, name, &inode)
        }
        0o120_000 => {
            let mut link = [0u64; 512];
            let place = link.as_mut_ptr() as u64;
            // One byte is left for the zero at the end.
            checked(nr::READLINKAT, [from, name, place, 4095, 0, 0])?;
            checked(nr::SYMLINKAT, [place, to, name, 0, 0, 0])?;
            finish(to, name, &inode)
        }
        _ => {
            checked(nr::MKNODAT, [to, name, u64::from(inode.mode), inode.device, 0, 0])?;
            finish(to, name, &inode)
        }
    }
}

fn inode(dir: u64, name: u64) -> Result<Inode, Failure> {
    let mut stat = [0u64; 18];
    let place = stat.as_mut_ptr();
    checked(nr::NEWFSTATAT, [dir, name, place as u64, AT_SYMLINK_NOFOLLOW, 0, 0])?;
    let at = |field: usize| {
        // SAFETY: `field` is below six, and every offset in `STAT` is inside the structure.
        unsafe { place.cast::<u8>().add(*arch_flag::STAT.get_unchecked(field)) }
    };
    // SAFETY: as above; the kernel has filled the structure.
    unsafe {
        Ok(Inode {
            mode: at(0).cast::<u32>().read(),
            uid: at(1).cast::<u32>().read(),
            gid: at(2).cast::<u32>().read(),
            device: at(3).cast::<u64>().read(),
            times: [
                at(4).cast::<u64>().read(),
                at(4).cast::<u64>().add(1).read(),
                at(5).cast::<u64>().read(),
                at(5).cast::<u64>().add(1).read(),
            ],
        })
    }
}

/// Owner, mode (which a change of owner takes bits from), times.
fn finish(dir: u64, name: u64, inode: &Inode) -> Result<(), Failure> {
    let (uid, gid) = (u64::from(inode.uid), u64::from(inode.gid));
    checked(nr::FCHOWNAT, [dir, name, uid, gid, AT_SYMLINK_NOFOLLOW, 0])?;
    if inode.mode & 0o170_000 != 0o120_000 {
        checked(nr::FCHMODAT, [dir, name, u64::from(inode.mode & 0o7777), 0, 0, 0])?;
    }
    let times = inode.times.as_ptr() as u64;
    checked(nr::UTIMENSAT, [dir, name, times, AT_SYMLINK_NOFOLLOW, 0, 0]).map(drop)
}

/// Extended attributes, as far as a tmpfs takes them: which kinds it does depends on the kernel.
fn attributes(from: u64, to: u64) -> Result<(), Failure> {
    let (mut names, mut value) = ([0u64; 256], [0u64; 512]);
    let (list, place) = (names.as_mut_ptr().cast::<u8>(), value.as_mut_ptr() as u64);
    let length = syscall(nr::FLISTXATTR, [from, list as u64, 2048, 0, 0, 0]);
    if length == ERANGE {
        return Err(Failure { call: nr::FLISTXATTR as u32, errno: -ERANGE as u32 });
    }
    let mut at = 0;
    while at < length {
        // SAFETY: below the length that the kernel has filled with names, each ended by a zero byte.
        let name = unsafe { list.add(at as usize) };
        let size = syscall(nr::FGETXATTR, [from, name as u64, place, 4096, 0, 0]);
        if size >= 0 {
            syscall(nr::FSETXATTR, [to, name as u64, place, size as u64, 0, 0]);
        }
        // SAFETY: as above; volatile keeps this loop from becoming strlen.
        while unsafe { list.add(at as usize).read_volatile() } != 0 {
            at += 1;
        }
        at += 1;
    }
    Ok(())
}
