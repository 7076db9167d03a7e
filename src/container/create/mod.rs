//! Creating a container: the host side of a plan, and undoing it if a step fails.
//!
//! Layers, each of which uses only those before it: [`creation`]; [`new_scope`]; [`host_side`]; [`spawn`]; [`sequence`].

mod creation;
mod host_side;
mod new_scope;
mod sequence;
mod spawn;

pub(super) use creation::Goal;
pub(super) use sequence::create;
