//! `orlop`: an OCI container runtime as a library.
//!
//! An ordinary, unprivileged function *compiles* a bundle's `config.json` into a [`plan::Plan`]. A small
//! freestanding program executes the plan inside the new namespaces, and then becomes the container's process.
//!
//! Each module depends only on modules below it: [`container`]; [`init`]; [`plan`]; then [`namespace`], [`cgroup`],
//! [`mount`], [`process`] and [`seccomp`], which are independent of each other; [`bundle`].

// The fixtures of the tests name the library as other programs do.
#[cfg(test)]
extern crate self as orlop;

pub mod bundle;
pub mod cgroup;
pub mod container;
mod error;
pub mod init;
pub mod mount;
pub mod namespace;
pub mod plan;
pub mod process;
pub mod seccomp;
mod sys;

pub use error::{Error, ErrorKind, Phase, Problem, Result};

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
