//! The attributes of a process: identity, capabilities, limits, labels, scheduling.
//!
//! Names of the runtime-spec become the numbers and texts that the kernel accepts. No function here changes a
//! process. A problem has the JSON pointer of the value; `at` is the pointer of the structure that is read
//! (`/process`, or empty for a process on its own).
//!
//! # Layers
//! `memory_policy` uses `cpu_set`; all other files are independent of each other.

pub mod capability;
pub mod cpu_set;
pub mod env;
pub mod io_priority;
pub mod label;
pub mod memory_policy;
pub mod passwd;
pub mod personality;
pub mod rlimit;
pub mod scheduler;
pub mod sysctl;
pub mod user;

#[cfg(test)]
mod tests {
    use super::{io_priority, memory_policy, rlimit, scheduler};
    use crate::bundle::names;

    /// The validator and this room have the same names.
    #[test]
    fn tables_have_the_names_that_the_validator_accepts() {
        fn same(table: impl Iterator<Item = &'static str>, accepted: &[&'static str]) {
            let mut names: Vec<&str> = table.collect();
            let mut accepted = accepted.to_vec();
            names.sort_unstable();
            accepted.sort_unstable();
            assert_eq!(names, accepted);
        }
        same(rlimit::NAMES.into_iter().map(|(name, _)| name), &names::RLIMITS);
        same(scheduler::POLICIES.into_iter().map(|(name, _)| name), &names::SCHED_POLICIES);
        same(scheduler::FLAGS.into_iter().map(|(name, _)| name), &names::SCHED_FLAGS);
        same(io_priority::CLASSES.into_iter().map(|(name, _)| name), &names::IO_CLASSES);
        same(memory_policy::MODES.into_iter().map(|(name, _)| name), &names::MEMORY_MODES);
        same(memory_policy::FLAGS.into_iter().map(|(name, _)| name), &names::MEMORY_FLAGS);
    }
}
