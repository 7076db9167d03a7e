//! User namespaces that exist only to carry the id maps of idmapped mounts, and the text of id maps.

use super::fs;
use super::signal_mask::AllSignalsBlocked;
use super::syscall::{call, retry};
use nix::errno::Errno;
use std::fmt::Write;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// A range of ids of a user namespace; user_namespaces(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdMap {
    /// First id inside the namespace.
    pub container: u32,
    /// First id outside the namespace.
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

/// Size of the stack on which the process makes its two system calls.
const STACK: usize = 16 << 10;

/// A process that does nothing but keep a new user namespace alive; it is killed and reaped on drop.
///
/// It shares the caller's memory and table of descriptors, so it copies neither, and keeps no file of the caller open. It
/// dies with the calling thread. It has no exit signal, so no SIGCHLD handler runs, and no wait(2) for any child reaps it.
struct NamespaceKeeper {
    pid: i32,
    pidfd: OwnedFd,
    /// Freed after the process is reaped.
    _stack: Box<[u128]>,
}

extern "C" fn sleep(_: *mut libc::c_void) -> libc::c_int {
    // SAFETY: these system calls cannot fail, so they do not write to errno, which is the parent's. All signals but SIGKILL
    // are blocked, so ppoll(2) never returns.
    unsafe {
        let zero = 0usize;
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize, zero, zero, zero);
        loop {
            libc::syscall(libc::SYS_ppoll, zero, zero, zero, zero, zero);
        }
    }
}

impl NamespaceKeeper {
    fn new() -> Result<Self, Errno> {
        let mut stack = vec![0u128; STACK / 16].into_boxed_slice();
        let mut pidfd: libc::c_int = -1;
        let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_NEWUSER | libc::CLONE_PIDFD;
        let blocked = AllSignalsBlocked::new()?;
        // SAFETY: the child runs `sleep` on a stack of its own, which is freed after `drop` has reaped the child. It touches
        // no memory of the parent. CLONE_PIDFD stores the descriptor in `pidfd` before clone(2) returns.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len());
            libc::clone(sleep, top.cast(), flags, std::ptr::null_mut(), &raw mut pidfd)
        };
        let answer = Errno::result(pid);
        drop(blocked);
        let pid = answer?;
        // SAFETY: CLONE_PIDFD has stored a new descriptor.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { pid, pidfd, _stack: stack })
    }
}

impl Drop for NamespaceKeeper {
    fn drop(&mut self) {
        const P_PIDFD: i32 = 3;
        let _ = super::process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let (pidfd, null) = (self.pidfd.as_raw_fd(), std::ptr::null::<u8>());
        // A child without an exit signal is waited for by __WALL alone.
        let flags = libc::WEXITED | libc::__WALL;
        // SAFETY: the addresses are null.
        let _ = retry(|| unsafe { call!(libc::SYS_waitid, P_PIDFD, pidfd, null, flags, null) });
    }
}

/// A new user namespace with these maps, as a descriptor. It can be called from any thread.
///
/// The caller must be permitted to write the maps: CAP_SETUID and CAP_SETGID in its user namespace, over all of the host
/// ids.
pub(crate) fn with_maps(uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd, Errno> {
    let keeper = NamespaceKeeper::new()?;
    // The process was not reaped, so its pid cannot belong to another one.
    let process = fs::openat(
        fs::cwd(),
        &fs::cstring(format!("/proc/{}", keeper.pid))?,
        libc::O_PATH | libc::O_DIRECTORY,
        0,
    )?;
    fs::write_at(&process, c"uid_map", map_text(uids).as_bytes())?;
    fs::write_at(&process, c"gid_map", map_text(gids).as_bytes())?;
    fs::openat(&process, c"ns/user", libc::O_RDONLY, 0)
}

/// The type (`CLONE_NEW*`) of a namespace, by its descriptor: ioctl_ns(2) `NS_GET_NSTYPE`.
///
/// # Errors
/// `ENOTTY` if it is not a namespace.
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
    fn a_namespace_has_its_maps() {
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
                println!("skipped: may not create a user namespace with two ranges: {e}");
            }
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn many_threads_leave_no_child() {
        let one = [IdMap { container: 0, host: 0, size: 1 }];
        if with_maps(&one, &one).is_err() {
            println!("skipped: may not create a user namespace");
            return;
        }
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10).for_each(|_| drop(with_maps(&one, &one).unwrap())));
            }
        });
    }
}
