//! The identity of a recorded process.

#[path = "../../../src/container/process/identity.rs"]
pub(crate) mod identity;
#[path = "../../../src/container/process/stat.rs"]
pub(crate) mod stat;
