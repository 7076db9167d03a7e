//! Compact numbers: numbers of system calls in 16 bits, less the architecture's base.

/// The architecture does not have the call.
pub(in crate::seccomp) const NONE: u16 = u16::MAX;
/// The compact number that stands for [`PRIVATE_BASE`].
pub(in crate::seccomp) const PRIVATE: u16 = 1024;
/// The first of Arm's private calls.
pub(in crate::seccomp) const PRIVATE_BASE: u32 = 0x000f_0000;
/// One more than the largest compact number.
pub(in crate::seccomp) const LIMIT: usize = 1040;
