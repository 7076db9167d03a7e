//! The operation `COPY_TREE`: fills a new tmpfs with the content of the directory that it covers (`tmpcopyup`): directories,
//! files, symbolic links and device nodes, with their owners, modes, times and extended attributes. No link in the source
//! is followed.

use super::abi::{
    AT_SYMLINK_NOFOLLOW, DIRENT_HEADER, DIRENT_LENGTH, EIO, ELOOP, ERANGE, O_CLOEXEC, O_CREAT, O_DIRECTORY,
    O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_WRONLY, PATH_MAX, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Stat, Timespec,
};
use super::arch::{nr, syscall};
use super::call::checked;
use super::walk::CallFailure;

const READ_DIRECTORY: u64 = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const READ_FILE: u64 = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
const CREATE_FILE: u64 = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
/// Deeper than any image, and as much as fits on the stack.
const MAX_DEPTH: u32 = 128;

/// Memory that the kernel writes to, aligned for its structures.
#[repr(C, align(8))]
struct Buffer<const N: usize>([u8; N]);

impl<const N: usize> Buffer<N> {
    const fn new() -> Self {
        Self([0; N])
    }

    fn address(&mut self) -> u64 {
        self.0.as_mut_ptr() as u64
    }

    fn filled(&self, length: i64) -> &[u8] {
        self.0.get(..length as usize).unwrap_or(&[])
    }
}

fn close(fd: u64) {
    syscall(nr::CLOSE, [fd, 0, 0, 0, 0, 0]);
}

fn open(directory: u64, name: u64, flags: u64, mode: u64) -> Result<u64, CallFailure> {
    checked(nr::OPENAT, [directory, name, flags, mode, 0, 0]).map(|fd| fd as u64)
}

/// Copies the content of the directory `from` into the directory `to`.
pub fn copy(from: u64, to: u64) -> Result<(), CallFailure> {
    let source = open(from, c".".as_ptr() as u64, READ_DIRECTORY, 0)?;
    let copied = directory(source, to, MAX_DEPTH);
    close(source);
    copied
}

/// See [`copy`]; `from` is open for reading.
fn directory(from: u64, to: u64, depth: u32) -> Result<(), CallFailure> {
    let failed = |errno| CallFailure { call: nr::GETDENTS64 as u32, errno };
    if depth == 0 {
        return Err(failed(ELOOP));
    }
    let mut entries = Buffer::<2048>::new();
    loop {
        let length = checked(nr::GETDENTS64, [from, entries.address(), 2048, 0, 0, 0])?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = entries.filled(length);
        while let Some((header, name)) = rest.split_first_chunk::<DIRENT_HEADER>() {
            let length = u16::from_ne_bytes([header[DIRENT_LENGTH], header[DIRENT_LENGTH + 1]]);
            match name {
                [b'.', 0, ..] | [b'.', b'.', 0, ..] => {}
                _ => entry(from, to, name.as_ptr() as u64, depth)?,
            }
            // An entry of length 0 would make the loop endless.
            rest = rest.get((length as usize).max(DIRENT_HEADER)..).ok_or(failed(EIO))?;
        }
    }
}

fn entry(from: u64, to: u64, name: u64, depth: u32) -> Result<(), CallFailure> {
    let mut stat = Stat::default();
    checked(nr::NEWFSTATAT, [from, name, (&raw mut stat) as u64, AT_SYMLINK_NOFOLLOW, 0, 0])?;
    match stat.mode & S_IFMT {
        S_IFDIR => {
            checked(nr::MKDIRAT, [to, name, 0o700, 0, 0, 0])?;
            let source = open(from, name, READ_DIRECTORY, 0)?;
            let target = open(to, name, READ_DIRECTORY, 0)?;
            directory(source, target, depth - 1)?;
            attributes(source, target)?;
            close(source);
            close(target);
        }
        S_IFREG => {
            let source = open(from, name, READ_FILE, 0)?;
            let target = open(to, name, CREATE_FILE, 0o600)?;
            while checked(nr::SENDFILE, [target, source, 0, 1 << 30, 0, 0])? > 0 {}
            attributes(source, target)?;
            close(source);
            close(target);
        }
        S_IFLNK => {
            let mut target = Buffer::<PATH_MAX>::new();
            let address = target.address();
            // One byte is left for the zero byte.
            checked(nr::READLINKAT, [from, name, address, PATH_MAX as u64 - 1, 0, 0])?;
            checked(nr::SYMLINKAT, [address, to, name, 0, 0, 0])?;
        }
        _ => {
            checked(nr::MKNODAT, [to, name, u64::from(stat.mode), stat.rdev, 0, 0])?;
        }
    }
    inode(to, name, &stat)
}

/// Sets owner, mode (from which a change of owner takes bits) and times.
fn inode(dir: u64, name: u64, stat: &Stat) -> Result<(), CallFailure> {
    let (uid, gid) = (u64::from(stat.uid), u64::from(stat.gid));
    checked(nr::FCHOWNAT, [dir, name, uid, gid, AT_SYMLINK_NOFOLLOW, 0])?;
    if stat.mode & S_IFMT != S_IFLNK {
        checked(nr::FCHMODAT, [dir, name, u64::from(stat.mode & 0o7777), 0, 0, 0])?;
    }
    let times: [Timespec; 2] = [stat.atime, stat.mtime];
    checked(nr::UTIMENSAT, [dir, name, times.as_ptr() as u64, AT_SYMLINK_NOFOLLOW, 0, 0]).map(drop)
}

/// Copies the extended attributes that a tmpfs accepts, which depends on the kernel.
fn attributes(from: u64, to: u64) -> Result<(), CallFailure> {
    let (mut names, mut value) = (Buffer::<2048>::new(), Buffer::<4096>::new());
    let address = value.address();
    let length = syscall(nr::FLISTXATTR, [from, names.address(), 2048, 0, 0, 0]);
    if length == -i64::from(ERANGE) {
        return Err(CallFailure { call: nr::FLISTXATTR as u32, errno: ERANGE });
    }
    if length < 0 {
        return Ok(());
    }
    let mut rest = names.filled(length);
    while !rest.is_empty() {
        let name = rest.as_ptr() as u64;
        let size = syscall(nr::FGETXATTR, [from, name, address, 4096, 0, 0]);
        if size >= 0 {
            syscall(nr::FSETXATTR, [to, name, address, size as u64, 0, 0]);
        }
        while let [first, after @ ..] = rest {
            rest = after;
            if *first == 0 {
                break;
            }
        }
    }
    Ok(())
}
