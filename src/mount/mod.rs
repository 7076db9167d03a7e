//! Mount options, root file systems, overlays and pivot_root.
//!
//! Everything here works on descriptors: a file system or a directory becomes a *detached mount* (fsmount(2),
//! open_tree(2)), gets its attributes before anything can see it, and is then attached to a directory that was opened
//! before (move_mount(2)). Nothing appears in the caller's mount namespace unless the caller attaches it there.
//!
//! Each file uses only files above it in this list:
//!
//! 1. `error`, `walk`, `propagation`, `filesystem_type`, `idmap_option`
//! 2. `options`: the mount options of the runtime-spec
//! 3. `detached`: a detached mount; `in_root`: paths inside a root
//! 4. `idmap`, `pivot`
//! 5. `overlay`
//! 6. `rootfs`

mod detached;
mod error;
pub mod filesystem_type;
pub mod idmap;
pub mod idmap_option;
pub mod in_root;
pub mod options;
pub mod overlay;
pub mod pivot;
mod propagation;
pub mod rootfs;
mod walk;

pub use crate::sys::mount::{MountAttr, MountAttrFlags, MountPropagationFlags};
pub use detached::Detached;
pub use options::MountOptions;
pub use overlay::{Layer, Overlay};
pub use propagation::{Propagation, PropagationKind};
pub use rootfs::Rootfs;
