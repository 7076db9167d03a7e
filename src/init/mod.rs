//! The launcher (host side) and the init stub (the freestanding machine).
//!
//! A launch puts an encoded plan into memory that both sides share, spawns the stub with a
//! vfork-style clone3(2) from a sealed memfd, and takes its answers.
//!
//! [`Command`] runs any program that way, without a container:
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
mod program;

pub use crate::sys::process::Exit;
pub use command::{Child, Command};
pub use program::size as stub_size;
