//! Processes as procfs(5) shows them: which one a recorded pid names, and which ones share a pid namespace or a process
//! group.
//!
//! Layers, each of which uses only those before it: [`stat`], [`status_file`]; [`identity`], [`procfs`]; [`group`], [`pid_namespace`].

pub(super) mod group;
pub(super) mod identity;
pub(super) mod pid_namespace;
mod procfs;
pub(super) mod stat;
pub(super) mod status_file;
