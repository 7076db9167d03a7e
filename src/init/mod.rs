//! The launcher (host side) and the init stub (the freestanding machine).
//!
//! A launch writes an encoded plan into memory that both sides share, spawns the stub from a sealed memfd with a
//! vfork-style clone3(2), and takes the host's turns until the plan ends.
//!
//! `stub_file` is the stub's file, `presets` opens the descriptors that a stub starts with, `launch` spawns it and serves
//! its turns, and `command` builds on all three. [`Command`] runs any program that way, without a container:
//!
//! ```no_run
//! use orlop::init::Command;
//! use orlop::namespace::{NamespaceKind, Namespaces};
//!
//! # fn main() -> orlop::Result<()> {
//! let set =
//!     Namespaces::new().create(NamespaceKind::Pid).create(NamespaceKind::Mount).create(NamespaceKind::Network);
//! let child = Command::new("/bin/sh").args(["-c", "exit 7"]).namespaces(&set).mount_proc().spawn()?;
//! assert_eq!(child.wait()?.shell_code(), 7);
//! # Ok(())
//! # }
//! ```

mod command;
pub(crate) mod launch;
pub(crate) mod presets;
mod stub_file;

pub use crate::sys::process::Exit;
pub use command::{Child, Command};
pub use stub_file::size as stub_size;
