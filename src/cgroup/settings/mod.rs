//! Resource limits as values for the files of a cgroup.
//!
//! Compilation touches no cgroup, so that its result can be printed and tested without one. From the bottom up:
//!
//! - [`setting`]: a value for a file, and what to do if the kernel refuses it;
//! - [`common`]: what v1 and v2 have in common; [`convert`]: conversion between their scales;
//! - [`builder`]: collects settings; [`cpu_common`], [`v1`] and [`v2`]: the settings of the controllers;
//! - [`compile`]: from `linux.resources` to settings;
//! - [`compare`]: whether a file contains a value; [`write`]: writes to a new cgroup;
//! - [`transaction`]: changes the values of a cgroup in use, and undoes this on failure;
//! - [`other_manager`]: writes values again that another manager of the cgroup has replaced.

mod builder;
mod common;
mod compare;
mod compile;
mod convert;
mod cpu_common;
mod other_manager;
mod setting;
mod transaction;
mod v1;
mod v2;
mod write;

pub(super) use common::{escape, unsupported};
pub use compile::compile_settings;
pub(crate) use compile::needs_unified_controllers;
pub(super) use other_manager::{KeptLimits, with_current_values};
pub use setting::{Setting, Settings};
pub(super) use transaction::LimitTransaction;
pub(super) use write::{check_usage, write_all};

#[cfg(test)]
mod tests;
