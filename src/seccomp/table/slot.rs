//! Slots: numbers of system calls in 16 bits.

/// The architecture does not have the call.
pub(in crate::seccomp) const NONE: u16 = u16::MAX;
/// The first slot that stands for a number from [`PRIVATE_BASE`] on.
pub(in crate::seccomp) const PRIVATE: u16 = 1024;
/// The first of Arm's private calls.
pub(in crate::seccomp) const PRIVATE_BASE: u32 = 0x000f_0000;
/// One more than the largest slot.
pub(in crate::seccomp) const SLOTS: usize = 1040;
