//! Creates a cgroup's directories with their limits: all of them, or none.
//!
//! From the bottom up: [`directories`] creates directories and removes them on failure; [`cpuset`] and
//! [`subtree_control`] prepare them for processes and limits; [`existing`] checks directories that exist already;
//! [`build`] does all of this for each hierarchy. [`plan`] decides on the directories beforehand.

mod build;
mod cpuset;
mod directories;
mod existing;
mod plan;
mod subtree_control;

pub(super) use build::{adopt, create};
pub(super) use plan::plan;
