//! Tests of the whole room.

mod annotations;
mod load;
mod oci;
mod read;
mod rules;
mod template;
