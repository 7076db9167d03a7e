//! The files of `src/container` that read and write a record.

#[path = "../../../src/container/journal.rs"]
mod journal;
#[path = "../../../src/container/liveness.rs"]
mod liveness;
#[path = "../../bodies/state.rs"]
pub(crate) mod state;
#[path = "store.rs"]
mod store;

use store::Record;
