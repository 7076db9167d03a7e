//! Mount options, root file systems, overlay and pivot_root.
//!
//! Everything here works on descriptors: a file system or a directory becomes a *detached mount*
//! (fsmount(2), open_tree(2)) which is given its attributes before anything can see it, and is then
//! attached to a directory that was opened before (move_mount(2)). Nothing appears in the caller's
//! mount namespace unless the caller attaches it there.

pub mod kind;
pub mod options;
