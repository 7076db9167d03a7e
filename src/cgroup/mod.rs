//! Control groups: create, limit, join, measure, freeze, kill and remove.
//!
//! The same calls work on pure cgroup v2, v1 and hybrid hosts, without a container.
//!
//! ```no_run
//! use orlop::bundle::spec::{Pids, Resources};
//! use orlop::cgroup::{Cgroup, CgroupOptions, CgroupPath, Layout};
//!
//! # fn main() -> orlop::Result<()> {
//! let layout = Layout::require()?;
//! let path = CgroupPath::new("/jobs/one")?;
//! let resources = Resources { pids: Some(Pids { limit: Some(100), ..Pids::default() }), ..Resources::default() };
//! let (cgroup, _join) = Cgroup::create(&layout, &path, &resources, &CgroupOptions::default())?;
//! cgroup.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! **Starting processes.** [`Join`] holds what is needed to start a process in a cgroup: on v2 the directory for
//! `CLONE_INTO_CGROUP`, on v1 the open `tasks` files to which a *single-threaded* child writes `0`. Neither waits for an
//! RCU grace period, unlike moving another process through `cgroup.procs` ([`Cgroup::add`]).
//!
//! **Controllers on v2.** All known controllers of the root are enabled on the way down, even without a limit, because
//! statistics (`memory.current`, `pids.current`, ...) need them. A missing controller is an error if a limit needs it.
//!
//! **Layers.** A file uses files of the layers below its own. Within a layer, there are no circles: `kill` uses `freeze`,
//! for example.
//!
//! | layer | files |
//! | --- | --- |
//! | other managers and file systems | [`systemd`], [`resctrl`] |
//! | a cgroup | `cgroup` |
//! | operations, each a few functions on a record | `create`, `delegate`, `freeze`, `kill`, `oom`, `remove`, `stats`, `update` |
//! | processes | `join`, `pidfds`, `procs` |
//! | limits | `settings` and `unlimited` over `devices`, `limit_fields`, `options` |
//! | the host | `layout` over `default_mounts`, `proc_cgroup`, `hierarchy`; `superblock` |
//! | files | `walk` over `dir` over `file`; `procfs` |
//! | words | `controller`, `manager`, `path`, `record`, `version` |

#[allow(clippy::module_inception, reason = "the type that the room is named after")]
mod cgroup;
mod controller;
mod create;
mod default_mounts;
mod delegate;
mod devices;
mod dir;
mod file;
mod freeze;
mod hierarchy;
mod join;
mod kill;
mod layout;
mod limit_fields;
mod manager;
mod oom;
mod options;
mod path;
mod pidfds;
mod proc_cgroup;
mod procfs;
mod procs;
mod record;
mod remove;
pub mod resctrl;
mod settings;
mod stats;
mod superblock;
pub mod systemd;
#[cfg(test)]
mod testing;
mod unlimited;
mod update;
mod version;
mod walk;

pub use cgroup::Cgroup;
pub use controller::{Controller, Controllers};
pub use devices::{DeviceAccess, DeviceException, DeviceKind, DevicePolicy};
pub use freeze::FreezerState;
pub use hierarchy::Hierarchy;
pub use join::Join;
pub use layout::Layout;
pub(crate) use limit_fields::merged;
pub use manager::CgroupManager;
pub use oom::OomWatch;
pub use options::CgroupOptions;
pub use path::CgroupPath;
pub(crate) use pidfds::in_batches;
pub use record::{CgroupRecord, V1Directory};
pub(crate) use settings::needs_unified_controllers;
pub use settings::{Setting, Settings, compile_settings};
pub use stats::{
    Counter, CpuSetStats, CpuStats, HugeTlbStats, IoDevice, IoEntry, IoStats, IoTables, MemoryStats,
    PidsStats, Pressure, RdmaStats, Stall, Stats, Throttling,
};
pub(crate) use superblock::Superblock;
pub(crate) use unlimited::reject_limits;
pub use version::{CgroupMode, CgroupVersion};
