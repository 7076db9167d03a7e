//! What only a program may do to itself, and the few system calls without a safe wrapper elsewhere. All `unsafe` of the
//! program is here.
#![allow(unsafe_code)]

pub(crate) mod entry;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod stdio;
pub(crate) mod terminal;
