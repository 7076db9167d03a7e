//! The parts of a plan that a record and the control page need.

#[path = "../../../src/plan/machine.rs"]
pub(crate) mod machine;
#[path = "../../../src/plan/options.rs"]
mod options;

pub(crate) use options::Options;
