//! Mount options, root file systems, overlay and pivot_root.
//!
//! Everything here works on descriptors: a file system or a directory becomes a *detached mount*
//! (fsmount(2), open_tree(2)) which is given its attributes before anything can see it, and is then
//! attached to a directory that was opened before (move_mount(2)). Nothing appears in the caller's
//! mount namespace unless the caller attaches it there.

mod detached;
pub mod idmap;
pub mod in_root;
pub mod kind;
pub mod options;
pub mod overlay;
pub mod pivot;
mod propagation;
pub mod rootfs;
mod walk;

pub use crate::sys::mount::{MountAttr, attr};
pub use detached::Detached;
pub use options::MountOptions;
pub use overlay::{Layer, Overlay};
pub use propagation::{Propagation, PropagationKind};
pub use rootfs::Rootfs;

use crate::{Error, Phase};
use nix::errno::Errno;

/// A failed system call on a mount.
fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::sys(Phase::Mount, operation, errno)
}
