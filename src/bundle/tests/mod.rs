//! Tests of the module as a whole.

mod annotations;
mod load;
mod oci;
mod read;
mod rules;
mod template;
