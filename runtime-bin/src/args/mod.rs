//! The command line, in two stages.
//!
//! One [`table`] describes every command and flag. From it come the [parser](mod@parse), which fills the
//! [low-level arguments](low), [`help`], the man pages and the completions ([`generate`]). The second stage,
//! [`typed`], turns the low-level arguments into one struct for each command, with checked values; a command
//! sees its own struct and no other.
//!
//! Layers, lowest first; a file uses only layers below its own:
//!
//! 1. `values` (how a value is written), `limits` (limits set by flags)
//! 2. `low` (what the command line says)
//! 3. `table` (commands and flags)
//! 4. `parse`, `help`
//! 5. `generate` (completions, man pages)
//! 6. `typed` (one struct for each command)
//! 7. `command_line` (both stages)

mod command_line;
pub(crate) mod generate;
pub(crate) mod help;
mod limits;
mod low;
mod parse;
mod table;
#[cfg(test)]
mod tests;
mod typed;
mod values;

pub(crate) use command_line::{CommandLine, read};
pub(crate) use parse::Request;
pub(crate) use table::{COMMANDS, Command};
pub(crate) use typed::{
    BundleArgs, CheckpointArgs, CompletionArgs, ContainerArgs, CreateArgs, DeleteArgs, DeleteTarget,
    EXEC_FAILED, EventsArgs, EventsMode, ExecArgs, Invocation, KillArgs, KillTarget, LaunchArgs, LaunchMode,
    ListArgs, ListOutput, ManPages, MountChange, MountsArgs, PlanArgs, ProcessOverrides, ProcessSource,
    PsArgs, PsOutput, RestoreArgs, RunArgs, RuntimeArgs, SpecArgs, UpdateArgs,
};
