//! `orlop`: an OCI container runtime as a library.
//!
//! A bundle's `config.json` is *compiled*, as an ordinary unprivileged function, into a
//! [`plan::Plan`]; a tiny freestanding program executes the plan inside the new namespaces and
//! becomes the container's process. The floors below depend only downwards.

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

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
