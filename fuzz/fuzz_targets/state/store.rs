//! The record and the journal alone.

#[path = "../../../src/container/store/journal.rs"]
pub(crate) mod journal;
#[path = "../../../src/container/store/record.rs"]
mod record;

pub(crate) use record::StateRecord;
