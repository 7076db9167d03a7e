//! The table: every command and every flag, once.
//!
//! The parser, `--help`, the man pages and the completions all come from it. A new flag needs an entry here, a field
//! in `LowArgs`, and a field in its command's struct; `tests/runtime/flags/` demands one observable effect of
//! each (command, flag).
//!
//! Layers, lowest first: `flag`; `command`; `hint` (how shells complete a value) and a file of entries for each
//! group of commands, of which `criu` shares flags of `lifecycle`; `commands` (all of them).

mod command;
mod commands;
mod config;
mod criu;
mod exec;
mod flag;
mod generate;
mod global;
mod hint;
mod lifecycle;
mod mounts;
mod query;
mod running;
mod update;

pub(crate) use command::Command;
pub(super) use command::CommandId;
pub(crate) use commands::COMMANDS;
pub(super) use flag::{Flag, FlagSetter};
pub(super) use global::GLOBAL_FLAGS;
pub(super) use hint::ValueHint;
