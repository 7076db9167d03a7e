//! Namespaces: unshare(2), setns(2), and their flags.

use super::syscall::call;
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// A set of `CLONE_NEW*`. It can hold no other flag of clone(2), such as one by which a process shares memory, descriptors
/// or signal handlers with its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceFlags(u64);

impl NamespaceFlags {
    /// A mount namespace.
    pub(crate) const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// A network namespace.
    const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);

    /// `CLONE_NEWTIME`, which has another type in libc on some systems.
    const NEWTIME: u64 = 0x80;
    const ALL: u64 = libc::CLONE_NEWNS as u64
        | libc::CLONE_NEWCGROUP as u64
        | libc::CLONE_NEWUTS as u64
        | libc::CLONE_NEWIPC as u64
        | libc::CLONE_NEWUSER as u64
        | libc::CLONE_NEWPID as u64
        | libc::CLONE_NEWNET as u64
        | Self::NEWTIME;

    /// A set of these flags.
    ///
    /// # Errors
    /// `EINVAL` if one of them is not `CLONE_NEW*`.
    pub(crate) const fn new(flags: u64) -> Result<Self, Errno> {
        if flags & !Self::ALL == 0 { Ok(Self(flags)) } else { Err(Errno::EINVAL) }
    }

    /// The flags as the kernel has them.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }
}

/// unshare(2) of the calling thread.
pub(crate) fn unshare(namespaces: NamespaceFlags) -> Result<(), Errno> {
    // SAFETY: no argument is an address, and a namespace affects neither memory nor descriptors.
    unsafe { call!(libc::SYS_unshare, namespaces.bits()) }.map(drop)
}

/// setns(2) of the calling thread to a network namespace.
pub(super) fn join_network(namespace: impl AsFd) -> Result<(), Errno> {
    let namespace = namespace.as_fd();
    // SAFETY: no argument is an address, and a namespace affects neither memory nor descriptors.
    unsafe { call!(libc::SYS_setns, namespace.as_raw_fd(), NamespaceFlags::NETWORK.bits()) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_are_accepted() {
        assert_eq!(NamespaceFlags::new(0).map(NamespaceFlags::bits), Ok(0));
        assert!(NamespaceFlags::new(0x7e02_0080).is_ok(), "all eight");
        for bit in (0..64).map(|n| 1u64 << n) {
            let flags = NamespaceFlags::new(bit | libc::CLONE_NEWNS as u64);
            assert_eq!(flags.is_ok(), 0x7e02_0080 & bit != 0, "{bit:#x}");
        }
        for flag in
            [libc::CLONE_VM, libc::CLONE_FILES, libc::CLONE_SIGHAND, libc::CLONE_THREAD, libc::CLONE_SETTLS]
        {
            assert_eq!(NamespaceFlags::new(flag as u64), Err(Errno::EINVAL));
        }
    }
}
