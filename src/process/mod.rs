//! What a process is given: identity, capabilities, limits, labels, scheduling.
//!
//! Pure functions: names of the runtime-spec become the numbers and texts which the kernel takes.
//! Nothing here changes a process. Problems carry the JSON pointer of the value; `at` is the pointer
//! of the structure that is read (`/process`, or empty for a process given by itself).

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

use crate::Problem;

/// A problem with the value at `pointer`.
fn problem(pointer: String, message: impl Into<String>, section: &'static str) -> Problem {
    Problem { pointer, message: message.into(), section }
}
