//! Systemd as the manager of cgroups: a transient scope for each container, over D-Bus.
//!
//! Systemd creates a scope around an existing process (`StartTransientUnit` with `PIDs`). The container's first process
//! therefore starts in the cgroup of its parent, and waits until systemd has moved it. The new cgroup is delegated
//! (`Delegate=`), so that this library can write to its files.
//!
//! The client knows only the methods and the signal that are needed here. It blocks, with a timeout for every reply. From the bottom up:
//!
//! - `value` and `message`: the D-Bus wire format; `text`: GVariant's text format;
//! - `connection`: calls over a socket;
//! - `unit`, `bus` and `scope`: names and addresses;
//! - `property`, `limits`, `devices` and `annotations`: properties of a unit;
//! - `client`: the calls to systemd.

mod annotations;
mod bus;
mod client;
mod connection;
mod devices;
mod limits;
mod message;
mod property;
mod scope;
mod text;
mod unit;
mod value;

pub use annotations::RequestedProperties;
pub use bus::SystemdBus;
pub use client::Systemd;
pub use scope::{Scope, SystemdInstance};
pub use unit::Unit;

#[cfg(test)]
mod tests;
