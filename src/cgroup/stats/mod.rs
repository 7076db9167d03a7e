//! Resource usage of the processes of a cgroup.
//!
//! [`types`] are filled by [`read`] from the files of v1 or v2 ([`cpuset`]: those of that controller), whose formats
//! [`parse`] knows.

mod cpuset;
mod parse;
mod read;
mod types;

pub(super) use read::{out_of_memory, read};
pub use types::{
    Counter, CpuSetStats, CpuStats, HugeTlbStats, IoDevice, IoEntry, IoStats, IoTables, MemoryStats,
    PidsStats, Pressure, RdmaStats, Stall, Stats, Throttling,
};

#[cfg(test)]
mod tests;
