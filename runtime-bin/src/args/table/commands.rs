//! All commands.

use super::command::Command;
use super::{config, criu, exec, generate, lifecycle, mounts, query, running, update};

/// All commands, in the order of help.
pub(crate) static COMMANDS: &[&Command] = &[
    &criu::CHECKPOINT,
    &generate::COMPLETION,
    &lifecycle::CREATE,
    &lifecycle::DELETE,
    &running::EVENTS,
    &exec::EXEC,
    &query::FEATURES,
    &lifecycle::KILL,
    &query::LIST,
    &generate::MAN,
    &mounts::MOUNTS,
    &running::PAUSE,
    &config::PLAN,
    &query::PS,
    &criu::RESTORE,
    &running::RESUME,
    &lifecycle::RUN,
    &config::SPEC,
    &lifecycle::START,
    &query::STATE,
    &update::UPDATE,
];
