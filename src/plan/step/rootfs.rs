//! Steps that set up the root file system: attach, mount, protect, pivot.

use super::control::HostTurn;
use super::mount::{CgroupView, Component, MountStep, Node, option_words};
use super::slot::SlotId;
use crate::Phase;
use crate::mount::Propagation;
use crate::mount::options::{DataOption, MountOptions};
use nix::errno::Errno;
use std::fmt;

/// The address at which [`RootfsStep::SealType`] stores the name of a file system's type. With 39 bits of address space or
/// more, neither the stub nor the kernel uses it for anything else.
pub(crate) const SEALED: u64 = 0x10_0000_0000;

/// A step in the container's mount namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum RootfsStep {
    /// umask(2) to 0 while files are created.
    OpenUmask,
    /// Set the propagation of the host's mounts in the new mount namespace.
    HostPropagation(Propagation),
    /// Attach the root file system.
    Root {
        /// Its path on the host.
        path: String,
        /// The detached copy, if the host side has opened it.
        slot: Option<SlotId>,
    },
    /// Change the root to a detached copy of the root file system: the mount namespace is the caller's.
    DetachedRoot {
        /// Its path on the host.
        path: String,
        /// The detached copy.
        slot: SlotId,
    },
    /// Give up the way back from a detached root to the host's.
    StayInRoot,
    /// Change the root to that of a container that shares the caller's mount namespace.
    JoinRoot {
        /// The root directory of the container's process.
        slot: SlotId,
    },
    /// Change the root to an empty file system that is not attached anywhere.
    EmptyRoot,
    /// Store the name of a file system's type at `SEALED`, where not even a process that can write to this process's memory
    /// can change it. A filter can check the address.
    SealType {
        /// The type.
        kind: String,
    },
    /// Send the context of a new procfs to the host side, which creates the file system: it shows the pid namespace of this
    /// process.
    SendContext,
    /// Create a file system, and send its mount to the host side.
    SendFileSystem {
        /// Its type.
        kind: String,
        /// Its options.
        options: Box<MountOptions>,
        /// The pid namespace that a procfs shows (Linux 6.18); `None` for the process's own.
        of: Option<SlotId>,
    },
    /// Attach the tree in a slot at a path of the host, in the stub's own mount namespace.
    AttachTree {
        /// The detached copy.
        slot: SlotId,
        /// The path.
        path: String,
    },
    /// Create a mount point for another process.
    MountPoint {
        /// Path in the container.
        path: String,
    },
    /// Use the root directory that the stub has; mounts go below it.
    HostRoot,
    /// Change the root to the directory in a slot. A hook's program is the host's, even if the container's root is mounted
    /// over it by then.
    ChangeRoot {
        /// The directory.
        slot: SlotId,
        /// Whether the working directory stays: the container's root.
        stay: bool,
    },
    /// Mount a file system or a tree.
    Mount(Box<MountStep>),
    /// Mount a tmpfs with a bind mount for each cgroup v1 hierarchy.
    CgroupMount {
        /// Path in the container.
        destination: String,
        /// The tmpfs's options.
        options: Box<MountOptions>,
        /// The hierarchies.
        views: Vec<CgroupView>,
        /// The driver's option with the SELinux context.
        context: Option<DataOption>,
    },
    /// Create a device node.
    MakeNode(Node),
    /// Create the symbolic links in /dev.
    DevLinks {
        /// Whether there is one to /proc/kcore.
        kcore: bool,
    },
    /// Hide a path: a directory under an empty tmpfs, a file under /dev/null.
    Mask {
        /// Path in the container.
        path: String,
        /// The driver's option with the SELinux context.
        context: Option<DataOption>,
    },
    /// Make a path read-only, with a read-only copy of its tree.
    ReadonlyPath {
        /// Path in the container.
        path: String,
    },
    /// Make a mount read-only after it was filled.
    ReadonlyMount {
        /// Path in the container.
        path: String,
    },
    /// Unmount every whole procfs and sysfs of the host, or cover those that the user namespace may not unmount. It is one step
    /// however many there are: a plan that is compiled again has the same lines.
    HideKernelMounts {
        /// Their mount points on the host, in the order of unmounting.
        paths: Vec<String>,
    },
    /// pivot_root(2), and unmount the old root.
    Pivot {
        /// Move the root over the old one and chroot(2) into it instead.
        move_mount: bool,
    },
    /// Make the root mount read-only.
    ReadonlyRoot,
    /// Create a directory and its parents, if they are missing, before the root becomes read-only.
    CreateDirectory {
        /// Its path.
        path: String,
    },
    /// Set the propagation of the container's root mount.
    RootPropagation(Propagation),
    /// Unmount what is mounted on `name` in a directory of the container, with all mounts below it. No symbolic link is
    /// followed.
    Unmount {
        /// The directory, with a slash at its end.
        directory: String,
        /// The name in it.
        name: Component,
    },
}

impl RootfsStep {
    pub(super) fn turn(&self) -> Option<HostTurn> {
        if let Self::Mount(mount) = self {
            return mount.idmap_of_copy().map(|_| HostTurn::Idmap);
        }
        matches!(self, Self::SendFileSystem { .. } | Self::SendContext).then_some(HostTurn::NewMount)
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::HostPropagation(_)
            | Self::Root { .. }
            | Self::HostRoot
            | Self::Mount(_)
            | Self::CgroupMount { .. }
            | Self::MakeNode(_)
            | Self::DevLinks { .. }
            | Self::Mask { .. }
            | Self::ReadonlyPath { .. }
            | Self::ReadonlyMount { .. }
            | Self::Pivot { .. }
            | Self::ReadonlyRoot
            | Self::CreateDirectory { .. }
            | Self::RootPropagation(_)
            | Self::HideKernelMounts { .. }
            | Self::DetachedRoot { .. }
            | Self::StayInRoot
            | Self::JoinRoot { .. }
            | Self::EmptyRoot
            | Self::SealType { .. }
            | Self::SendContext
            | Self::SendFileSystem { .. }
            | Self::Unmount { .. } => Phase::Mount,
            Self::OpenUmask | Self::AttachTree { .. } | Self::MountPoint { .. } | Self::ChangeRoot { .. } => {
                Phase::Process
            }
        }
    }

    pub(super) fn hint(&self, call: Option<u32>, errno: Errno) -> Option<&'static str> {
        let when = |expected: Errno, hint: &'static str| (errno == expected).then_some(hint);
        match self {
            Self::Mount(mount) => mount.hint(call, errno),
            Self::MakeNode(_) => when(Errno::EEXIST, "the image has something else at this path"),
            Self::Pivot { .. } => when(Errno::EINVAL, "is the host's root an initramfs? then use --no-pivot"),
            Self::Unmount { .. } => {
                let nothing = "nothing is mounted there, or not for this container alone";
                let link = "name the mount point itself, not a symbolic link that leads there";
                when(Errno::EINVAL, nothing).or(when(Errno::ELOOP, link))
            }
            Self::SendFileSystem { .. } => {
                when(Errno::EPERM, "in a user namespace the host's own /proc must be wholly visible")
            }
            Self::OpenUmask
            | Self::HideKernelMounts { .. }
            | Self::DetachedRoot { .. }
            | Self::StayInRoot
            | Self::JoinRoot { .. }
            | Self::EmptyRoot
            | Self::SealType { .. }
            | Self::SendContext
            | Self::HostPropagation(_)
            | Self::Root { .. }
            | Self::AttachTree { .. }
            | Self::MountPoint { .. }
            | Self::HostRoot
            | Self::ChangeRoot { .. }
            | Self::CgroupMount { .. }
            | Self::DevLinks { .. }
            | Self::Mask { .. }
            | Self::ReadonlyPath { .. }
            | Self::ReadonlyMount { .. }
            | Self::ReadonlyRoot
            | Self::CreateDirectory { .. }
            | Self::RootPropagation(_) => None,
        }
    }
}

impl fmt::Display for RootfsStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenUmask => f.write_str("umask 0"),
            Self::HostPropagation(propagation) => write!(f, "make the host's mounts {propagation}"),
            Self::Root { path, slot: None } => write!(f, "root {path}"),
            Self::Root { path, slot: Some(_) } => write!(f, "root {path}, opened by the host"),
            Self::DetachedRoot { path, .. } => write!(f, "root {path}, not mounted on the host"),
            Self::StayInRoot => f.write_str("stay in the root"),
            Self::JoinRoot { .. } => f.write_str("change to the container's root"),
            Self::EmptyRoot => f.write_str("leave for an empty root"),
            Self::SealType { kind } => write!(f, "{kind}, where nothing can change it"),
            Self::SendContext => f.write_str("send the context of a new file system to the host"),
            Self::SendFileSystem { kind, .. } => write!(f, "create {kind} and send it to the host"),
            Self::AttachTree { path, .. } => write!(f, "attach a tree on {path}"),
            Self::MountPoint { path } => write!(f, "create the mount point {path}"),
            Self::HostRoot => f.write_str("keep the root"),
            Self::ChangeRoot { stay: false, .. } => f.write_str("change to the host's root"),
            Self::ChangeRoot { stay: true, .. } => {
                f.write_str("change to the host's root, working directory as it is")
            }
            Self::Mount(mount) => mount.fmt(f),
            Self::CgroupMount { destination, options, views, .. } => {
                let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
                let names = names.join(" ");
                write!(f, "cgroup hierarchies on {destination}: {names}{}", option_words(options))
            }
            Self::MakeNode(node) => node.fmt(f),
            Self::DevLinks { .. } => f.write_str("create /dev symlinks"),
            Self::Mask { path, .. } => write!(f, "mask {path}"),
            Self::ReadonlyPath { path } => write!(f, "read-only {path}"),
            Self::ReadonlyMount { path } => write!(f, "mount {path} becomes read-only"),
            Self::HideKernelMounts { paths } => write!(f, "hide the host's {}", paths.join(" ")),
            Self::Pivot { move_mount: false } => f.write_str("pivot root"),
            Self::Pivot { move_mount: true } => f.write_str("move the root, chroot"),
            Self::CreateDirectory { path } => write!(f, "create directory {path}, if it is missing"),
            Self::ReadonlyRoot => f.write_str("root read-only"),
            Self::RootPropagation(propagation) => write!(f, "root {propagation}"),
            Self::Unmount { directory, name } => write!(f, "unmount {directory}{}", name.as_str()),
        }
    }
}
