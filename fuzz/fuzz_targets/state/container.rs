//! The files of `src/container` that read and write a record.

#[path = "process.rs"]
pub(crate) mod process;
#[path = "../../bodies/state.rs"]
pub(crate) mod state;
#[path = "store.rs"]
mod store;

use store::{StateRecord, journal};
