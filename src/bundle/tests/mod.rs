//! Tests of the whole room.

mod load;
mod oci;
mod read;
mod rules;
mod template;
