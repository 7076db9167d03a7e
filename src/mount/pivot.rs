//! Entering a root file system; pivot_root(2).

use super::detached::Detached;
use super::error::failed;
use crate::Result;
use crate::sys::fs;
use crate::sys::mount::{self as sys, MountAttr, MountPropagationFlags};
use crate::sys::namespace::{NamespaceFlags, unshare};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// Moves the calling thread to a new mount namespace. The host's mounts still propagate into it, but nothing propagates back.
/// The thread no longer shares its root and working directory with the other threads of the process, which are not affected.
pub fn unshare_mounts() -> Result<()> {
    unshare(NamespaceFlags::MOUNT).map_err(|e| failed("unshare CLONE_NEWNS", e))?;
    let slave = MountAttr { propagation: MountPropagationFlags::SLAVE, ..MountAttr::default() };
    sys::mount_setattr(root_directory()?, true, &slave).map_err(|e| failed("mount_setattr", e).on("/"))
}

fn root_directory() -> Result<OwnedFd> {
    fs::openat(fs::cwd(), c"/", libc::O_PATH | libc::O_DIRECTORY, 0).map_err(|e| failed("open", e).on("/"))
}

/// Makes a detached mount the root of the calling thread's mount namespace, moves the thread there, and unmounts all old
/// mounts.
///
/// The thread must have a mount namespace of its own: see [`unshare_mounts`]. Descriptors that were opened before still reach
/// the old mounts.
///
/// # Errors
/// EINVAL if the current root is the initial ramdisk, for which pivot_root(2) does not work: see [`move_root_into`].
pub fn pivot_root_into(root: &Detached) -> Result<()> {
    // The new root can be attached to any directory; the old root always exists.
    root.attach(root_directory()?)?;
    enter(root)?;
    // pivot_root(2): with "." twice the old root ends up on top of the new one, where "." finds it.
    nix::unistd::pivot_root(c".", c".").map_err(|e| failed("pivot_root", e))?;
    nix::mount::umount2(c".", nix::mount::MntFlags::MNT_DETACH)
        .map_err(|e| failed("umount2", e).on("the old root"))?;
    change_directory(c"/")
}

/// Makes a detached mount the root of the calling thread by mounting it over the old root. It is for an initial ramdisk, where
/// pivot_root(2) does not work. Elsewhere [`pivot_root_into`] is better, since here the old mounts stay in the namespace, below
/// the new root.
pub fn move_root_into(root: &Detached) -> Result<()> {
    root.attach(root_directory()?)?;
    enter(root)?;
    nix::unistd::chroot(".").map_err(|e| failed("chroot", e))?;
    change_directory(c"/")
}

fn enter(root: &Detached) -> Result<()> {
    nix::unistd::fchdir(root.as_fd()).map_err(|e: Errno| failed("fchdir", e).on("the new root"))
}

fn change_directory(path: &std::ffi::CStr) -> Result<()> {
    nix::unistd::chdir(path).map_err(|e| failed("chdir", e).on("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::MountOptions;

    #[test]
    fn pivot_root_changes_the_root_of_one_thread() {
        let before = std::env::current_dir().unwrap();
        let inside = std::thread::spawn(|| -> Result<Vec<String>> {
            unshare_mounts()?;
            let root = Detached::filesystem("tmpfs", None, &MountOptions::default())?;
            crate::mount::in_root::mkdir_all(&root, "only/here", 0o755)?;
            pivot_root_into(&root)?;
            assert_eq!(std::env::current_dir().unwrap(), std::path::Path::new("/"));
            let names = std::fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name());
            Ok(names.map(|n| n.into_string().unwrap()).collect())
        })
        .join()
        .unwrap();
        match inside {
            Ok(names) => assert_eq!(names, ["only"]),
            Err(e) if e.errno() == Some(Errno::EPERM) => println!("skipped: {e}"),
            Err(e) => panic!("{e}"),
        }
        assert_eq!(std::env::current_dir().unwrap(), before);
        assert!(!std::path::Path::new("/only").exists());
    }

    #[test]
    fn move_root_changes_the_root() {
        let inside = std::thread::spawn(|| -> Result<usize> {
            unshare_mounts()?;
            let root = Detached::filesystem("tmpfs", None, &MountOptions::default())?;
            move_root_into(&root)?;
            Ok(std::fs::read_dir("/").unwrap().count())
        });
        match inside.join().unwrap() {
            Ok(count) => assert_eq!(count, 0),
            Err(e) if e.errno() == Some(Errno::EPERM) => println!("skipped: {e}"),
            Err(e) => panic!("{e}"),
        }
    }
}
