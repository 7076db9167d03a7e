//! Reading and validating a bundle's `config.json`; the only room that knows JSON.
//!
//! [`spec`] is an own, total model of runtime-spec 1.3.0 for Linux.

mod model;
mod node;
mod read;
pub mod spec;

pub use spec::Spec;
