//! Only the record.

#[path = "../../../src/container/store/record.rs"]
mod record;

pub(crate) use record::Record;
