//! A program that may not use `unsafe`: what it can do with the library, and what it cannot even write down.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic)] // A test may.

mod public;
mod refused;
