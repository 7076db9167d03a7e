//! One struct for each command, with checked values, made from [`LowArgs`](super::low::LowArgs).
//!
//! A command cannot read a flag that it does not have: its struct has no such field. A flag that is in the table but
//! does not reach its command's struct fails a test (`args/tests/typed.rs`).
//!
//! Layers, lowest first: `shared` (what several commands have); a file for each group of commands, of which `criu` shares
//! `LaunchMode` with `launch`; `invocation`.

mod criu;
mod exec;
mod generate;
mod invocation;
mod launch;
mod query;
mod running;
mod shared;
mod targets;

pub(crate) use criu::{CheckpointArgs, RestoreArgs};
pub(crate) use exec::{EXEC_FAILED, ExecArgs, ProcessOverrides, ProcessSource};
pub(crate) use generate::{CompletionArgs, ManPages};
pub(crate) use invocation::Invocation;
pub(crate) use launch::{CreateArgs, LaunchArgs, LaunchMode, PlanArgs, RunArgs, SpecArgs};
pub(crate) use query::{ListArgs, ListOutput, PsArgs, PsOutput};
pub(crate) use running::{EventsArgs, EventsMode, MountChange, MountsArgs, UpdateArgs};
pub(crate) use shared::{BundleArgs, ContainerArgs, LogArgs, RuntimeArgs};
pub(crate) use targets::{DeleteArgs, DeleteTarget, KillArgs, KillTarget};
