//! The test kit: a test is a few lines over [`Test`], [`Bundle`] and [`Runtime`].
//!
//! A test binary of this kind is also the program that runs in the container ([`probe`]) and the one that sets up a
//! special caller ([`wrap`]): it is linked statically, so a copy of it is a complete root file system. [`main`]
//! decides by its first argument which of the three it is.
//!
//! Each test has a temporary directory, a state root and a cgroup of its own. If something is left of them when it
//! ends, the test fails; if the whole run leaves something (processes, mounts), the run fails.

pub mod agent;
mod bundle;
pub mod calls;
mod console;
pub mod counted;
pub mod criu;
mod harness;
mod leak;
mod pace;
pub mod probe;
mod runtime;
pub mod score;
pub mod stage;
pub mod sys;
mod test;
mod tools;
pub mod trace;
pub mod wrap;

pub use bundle::Bundle;
pub use console::{Console, Pty};
pub use harness::{Case, chosen, main, main_in_turn, main_plain};
pub use pace::{slowness, within};
pub use runtime::{Container, Output, Running, Runtime};
pub use score::Score;
pub use serde_json::{Value, json};
pub use test::{Test, skip};
pub use tools::needs;

/// Lists test functions of a module as [`Case`]s, named `module::function`.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::Case::new(concat!(module_path!(), "::", stringify!($name)), $name)),*]
    };
}

/// Lists test functions of a module as [`Case`]s for [`main_plain`], named `module::function`.
#[macro_export]
macro_rules! plain_cases {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::Case::plain(concat!(module_path!(), "::", stringify!($name)), $name)),*]
    };
}
