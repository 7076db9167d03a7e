//! Seccomp profiles compiled to BPF: a compiler in miniature, usable without a container.
//!
//! A [`Profile`] (from `config.json` or built by hand) compiles to a [`Program`], which can be
//! printed, asked for its decisions ([`Program::evaluate`]), and loaded into the calling thread
//! from any thread of a program. No C library is needed, nor privilege until the program is loaded.
//!
//! # The shape of a program
//! The architecture is compared first, the native one before the others. Each architecture is a binary
//! search over the system call numbers in which neighbours with the same fate are one range and
//! lone exceptions inside a range are single comparisons. Numbers whose fate does not depend on
//! arguments end in a `ret` without an argument being loaded, so the kernel (5.11 and later) finds
//! the allowed ones once, keeps them in a bitmap, and never runs the program for them again.
//!
//! `seccompiler` stays a test's oracle: its filters know one architecture, one action for matches, and
//! compare number after number (some 1600 instructions for Docker's profile where this makes 69);
//! of its code only the argument conditions could be used, and here they share loads.
//!
//! # Example
//! ```
//! use orlop::seccomp::{Action, Arch, Profile, SyscallRule};
//!
//! let mut profile = Profile::new(Action::Allow);
//! profile.rules.push(SyscallRule { names: vec!["mount".into()], action: Action::Errno(1), conditions: vec![] });
//! let program = profile.compile()?;
//! println!("{program}");
//! if let Some((arch, mount)) = Arch::native().and_then(|a| Some((a, a.number("mount")?))) {
//!     assert_eq!(program.evaluate(arch, mount, [0; 6]), Action::Errno(1));
//! }
//! # Ok::<(), orlop::Error>(())
//! ```

mod arch;
mod assembler;
mod chain;
mod compile;
mod dispatch;
mod load;
mod multiplex;
mod profile;
mod program;
mod simulate;
pub(crate) use simulate::{Call, Demand};
mod spec;
mod table;

pub use crate::sys::seccomp::Instruction;
pub use arch::Arch;
pub use load::{LoadOptions, SeccompSupport};
pub use profile::{Action, Condition, Flag, Operator, Profile, SyscallRule};
pub use program::Program;

#[cfg(test)]
mod tests;
