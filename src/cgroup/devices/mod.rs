//! Which devices the processes of a cgroup may use.
//!
//! [`policy`] gives meaning to the configuration's rules, which are about [`access`]. On v1 the devices controller enforces
//! the policy ([`v1`]), on v2 a BPF program ([`program`]) that is attached to the cgroup ([`attach`]).

mod access;
mod attach;
mod policy;
mod program;
mod v1;

pub use access::{DeviceAccess, DeviceException, DeviceKind};
pub(super) use attach::{attach, replace};
pub use policy::DevicePolicy;
pub(super) use v1::{change as change_v1, compile as compile_v1, write as write_v1};

#[cfg(test)]
mod tests;
