//! What only a program may do to itself, and the few system calls that have no safe function elsewhere; the only
//! `unsafe` of the program.
#![allow(unsafe_code)]

mod entry;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod stdio;
pub(crate) mod terminal;
