//! The launcher (host side) and the init stub (the freestanding machine).
//!
//! A launch puts an encoded plan into memory that both sides share, spawns the stub with a
//! vfork-style clone3(2) from a sealed memfd, and takes its answers.

pub(crate) mod launch;
mod program;

pub use program::size as stub_size;
