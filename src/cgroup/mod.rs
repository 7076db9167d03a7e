//! Control groups: create, limit, join, measure, freeze, kill and remove.
//!
//! The same calls on pure cgroup v2, v1 and hybrid hosts; nothing here knows what a container is.
//!
//! ```no_run
//! use orlop::bundle::spec::{Pids, Resources};
//! use orlop::cgroup::{Cgroup, CgroupPath, Layout, Options};
//!
//! # fn main() -> orlop::Result<()> {
//! let layout = Layout::require()?;
//! let path = CgroupPath::new("/jobs/one")?;
//! let resources = Resources { pids: Some(Pids { limit: Some(100), ..Pids::default() }), ..Resources::default() };
//! let (cgroup, _join) = Cgroup::create(&layout, &path, &resources, &Options::default())?;
//! cgroup.remove()?;
//! # Ok(())
//! # }
//! ```
//!
//! **How a process gets in.** [`Join`] holds what the creator of the process needs: on v2 the
//! directory for `CLONE_INTO_CGROUP`, on v1 the open `tasks` files into which a *single-threaded*
//! child writes `0` for itself. Neither waits for an RCU grace period, as moving another process
//! through `cgroup.procs` does ([`Cgroup::add`]).
//!
//! **Controllers on v2.** All controllers that the root offers and this layer knows are enabled on
//! the way down, not only those with a limit: statistics (`memory.current`, `pids.current`, ...)
//! exist only where the controller does. What a limit needs and is missing is an error.

mod controller;
mod create;
mod devices;
mod dir;
mod file;
mod freeze;
mod join;
mod kill;
mod layout;
mod make;
mod manager;
mod merge;
mod mountinfo;
mod oom;
mod path;
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
mod unified;
mod update;
mod usual;
mod walk;

pub use controller::{Controller, Controllers};
pub use create::{Cgroup, Options};
pub use devices::{Access, DeviceKind, DevicePolicy, Exception};
pub use freeze::FreezerState;
pub use join::Join;
pub(crate) use kill::in_batches;
pub use layout::{Hierarchy, Layout, Mode};
pub use manager::Manager;
pub(crate) use manager::refuse_limits;
pub(crate) use merge::merged;
pub use oom::OomWatch;
pub use path::CgroupPath;
pub use record::{Place, Record};
pub use settings::{Setting, Settings, Side};
pub use stats::{
    Counter, CpuSetStats, CpuStats, HugeTlbStats, IoDevice, IoEntry, IoStats, IoTables, MemoryStats,
    PidsStats, Pressure, RdmaStats, Stall, Stats, Throttling,
};
pub(crate) use superblock::Superblock;
