//! Seccomp profiles, and their compiler to BPF. It can be used without a container.
//!
//! A [`Profile`] (read from `config.json` or built in code) compiles to a [`SeccompProgram`]. A program can be displayed,
//! evaluated for a call ([`SeccompProgram::evaluate`]) and loaded into the calling thread. Compiling needs neither
//! libseccomp nor any privilege.
//!
//! # The shape of a program
//! The architecture is compared first, the native one before the others. Each architecture is a binary
//! search over the system call numbers: neighbours with the same outcome are one range, and a single
//! exception inside a range is one comparison. If an outcome does not depend on arguments, no argument is
//! loaded. The kernel (5.11 and later) then keeps the allowed numbers in a bitmap, and does not run the
//! program for them.
//!
//! The crate `seccompiler` is only an oracle of the tests. Its filters have one architecture and one action for
//! matches, and compare one number after another: about 1600 instructions for Docker's profile, compared to 69 here.
//!
//! # Layers
//! Each line uses only the lines before it:
//! 1. `opcode`; `table`: names and numbers of system calls; `rule`: what a profile consists of
//! 2. `arch`, `assembler`
//! 3. `simulate`: what a filter returns for a call; `multiplex`, `chain`, `dispatch`: parts of the compiler
//! 4. `program`: a compiled filter, what the kernel supports of it, and loading it
//! 5. `compile`: rules to instructions; `disassembly`
//! 6. `profile`
//! 7. `spec`: profiles of `config.json`
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
mod disassembly;
mod dispatch;
mod multiplex;
mod opcode;
mod profile;
mod program;
mod rule;
mod simulate;
mod spec;
mod table;

pub use crate::sys::seccomp::Instruction;
pub use arch::Arch;
pub use profile::Profile;
pub use program::{LoadOptions, SeccompProgram, SeccompSupport};
pub use rule::{Action, Condition, Flag, Operator, SyscallRule};
pub(crate) use simulate::{Call, Demand, calls_stopped};

#[cfg(test)]
mod tests;
