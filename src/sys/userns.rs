//! User namespaces for their own sake: a namespace that exists only to carry id maps, for idmapped
//! mounts; the text of id maps.

use super::fs;
use super::signal_mask::AllSignalsBlocked;
use super::syscall::{call, retry};
use nix::errno::Errno;
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A range of ids of a user namespace; user_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdMap {
    /// First id inside.
    pub container: u32,
    /// First id outside.
    pub host: u32,
    /// Number of ids.
    pub size: u32,
}

/// The text for `/proc/<pid>/uid_map` and `gid_map`: one range a line.
pub(crate) fn map_text(maps: &[IdMap]) -> String {
    let mut text = String::with_capacity(maps.len() * 24);
    for m in maps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", m.container, m.host, m.size);
    }
    text
}

/// Size of the stack on which the helper makes its two system calls.
const STACK: usize = 16 << 10;

/// A process that does nothing but hold a new user namespace; ended and reaped when dropped.
///
/// It shares the caller's memory and table of descriptors, so that it copies neither and keeps no file of
/// the caller open by itself, and dies with the calling thread. It
/// has no exit signal: nobody's SIGCHLD handler runs, and no wait(2) for any child picks it up.
struct Holder {
    pid: i32,
    pidfd: OwnedFd,
    /// Kept until the process is gone.
    _stack: Box<[u128]>,
}

extern "C" fn hold(_: *mut libc::c_void) -> libc::c_int {
    // SAFETY: system calls only, which cannot fail and so leave errno (shared with the parent) alone;
    // all signals but SIGKILL are blocked, so ppoll(2) never returns.
    unsafe {
        let zero = 0usize;
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize, zero, zero, zero);
        loop {
            libc::syscall(libc::SYS_ppoll, zero, zero, zero, zero, zero);
        }
    }
}

impl Holder {
    fn new() -> Result<Self, Errno> {
        let mut stack = vec![0u128; STACK / 16].into_boxed_slice();
        let mut pidfd: libc::c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_NEWUSER | libc::CLONE_PIDFD;
        let blocked = AllSignalsBlocked::new()?;
        // SAFETY: the child runs `hold` on a stack of its own, which lives until the child has been
        // reaped (see `drop`); it touches no memory of the parent. CLONE_PIDFD stores the descriptor in
        // `pidfd` before clone(2) returns.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len());
            libc::clone(hold, top.cast(), flags, std::ptr::null_mut(), &raw mut pidfd)
        };
        let answer = Errno::result(pid);
        drop(blocked);
        let pid = answer?;
        // SAFETY: CLONE_PIDFD has put a new descriptor there.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { pid, pidfd, _stack: stack })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        const P_PIDFD: i32 = 3;
        let _ = super::process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let (pidfd, null) = (self.pidfd.as_raw_fd(), std::ptr::null::<u8>());
        // Without an exit signal only __WALL sees it.
        let flags = libc::WEXITED | libc::__WALL;
        // SAFETY: the addresses are null.
        let _ = retry(|| unsafe { call!(libc::SYS_waitid, P_PIDFD, pidfd, null, flags, null) });
    }
}

/// A new user namespace with these maps, as a descriptor.
///
/// The caller must be allowed to write the maps (CAP_SETUID and CAP_SETGID in its user namespace over
/// all of the host ids). Works from any thread.
pub(crate) fn with_maps(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd, Errno> {
    let holder = Holder::new()?;
    // The process has not been reaped, so its number is its own.
    let process = fs::openat(
        fs::cwd(),
        &fs::cstring(format!("/proc/{}", holder.pid))?,
        libc::O_PATH | libc::O_DIRECTORY,
        0,
    )?;
    fs::write_at(&process, c"uid_map", map_text(uids).as_bytes())?;
    fs::write_at(&process, c"gid_map", map_text(gids).as_bytes())?;
    fs::openat(&process, c"ns/user", libc::O_RDONLY, 0)
}

/// The type of the namespace behind a descriptor (`CLONE_NEW*`): ioctl_ns(2) `NS_GET_NSTYPE`; ENOTTY
/// where it is no namespace.
pub(crate) fn namespace_type(fd: impl AsFd) -> Result<i32, Errno> {
    const NS_GET_NSTYPE: u32 = 0xb703;
    let fd = fd.as_fd();
    // SAFETY: the request takes no address.
    unsafe { call!(libc::SYS_ioctl, fd.as_raw_fd(), NS_GET_NSTYPE, 0) }.map(|t| t as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_maps() {
        let maps =
            [IdMap { container: 0, host: 100_000, size: 10 }, IdMap { container: 20, host: 7, size: 1 }];
        assert_eq!(map_text(&maps), "0 100000 10\n20 7 1\n");
        match with_maps(&maps, &maps) {
            Ok(fd) => {
                assert_eq!(namespace_type(&fd), Ok(libc::CLONE_NEWUSER));
                assert_eq!(nix::sys::prctl::get_dumpable(), Ok(true), "the caller stays dumpable");
                let own = std::fs::File::open("/proc/self/ns/user").unwrap();
                assert_ne!(
                    nix::sys::stat::fstat(&fd).unwrap().st_ino,
                    nix::sys::stat::fstat(&own).unwrap().st_ino
                );
            }
            Err(e @ (Errno::EPERM | Errno::ENOSPC | Errno::EACCES)) => {
                println!("skipped: may not make a user namespace with two ranges: {e}");
            }
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn many_threads_leave_no_child() {
        let one = [IdMap { container: 0, host: 0, size: 1 }];
        if with_maps(&one, &one).is_err() {
            println!("skipped: may not make a user namespace");
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| drop(with_maps(&one, &one).unwrap())));
            }
        });
    }
}
