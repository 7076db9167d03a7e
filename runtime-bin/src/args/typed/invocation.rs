//! A command with its arguments.

use super::super::low::LowArgs;
use super::super::table::CommandId;
use super::criu::{CheckpointArgs, RestoreArgs};
use super::exec::ExecArgs;
use super::generate::{CompletionArgs, ManPages};
use super::launch::{CreateArgs, PlanArgs, RunArgs, SpecArgs};
use super::query::{ListArgs, PsArgs};
use super::running::{EventsArgs, MountsArgs, UpdateArgs};
use super::shared::ContainerArgs;
use super::targets::{DeleteArgs, KillArgs};
use crate::failure::Failure;

/// A command with its arguments.
#[derive(Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one in the program")]
pub(crate) enum Invocation {
    /// `checkpoint`
    Checkpoint(CheckpointArgs),
    /// `completion`
    Completion(CompletionArgs),
    /// `create`
    Create(CreateArgs),
    /// `delete`
    Delete(DeleteArgs),
    /// `events`
    Events(EventsArgs),
    /// `exec`
    Exec(ExecArgs),
    /// `features`
    Features,
    /// `kill`
    Kill(KillArgs),
    /// `list`
    List(ListArgs),
    /// `man`
    Man(ManPages),
    /// `mounts`
    Mounts(MountsArgs),
    /// `pause`
    Pause(ContainerArgs),
    /// `plan`
    Plan(PlanArgs),
    /// `ps`
    Ps(PsArgs),
    /// `restore`
    Restore(RestoreArgs),
    /// `resume`
    Resume(ContainerArgs),
    /// `run`
    Run(RunArgs),
    /// `spec`
    Spec(SpecArgs),
    /// `start`
    Start(ContainerArgs),
    /// `state`
    State(ContainerArgs),
    /// `update`
    Update(UpdateArgs),
}

impl Invocation {
    /// Takes the command's arguments out of the low-level ones, and checks them.
    pub(in crate::args) fn take(command: CommandId, mut low: LowArgs) -> Result<Self, Failure> {
        Ok(match command {
            CommandId::Checkpoint => Self::Checkpoint(CheckpointArgs::take(low)?),
            CommandId::Completion => Self::Completion(CompletionArgs::take(&low)?),
            CommandId::Create => Self::Create(CreateArgs::take(low)?),
            CommandId::Delete => Self::Delete(DeleteArgs::take(low)?),
            CommandId::Events => Self::Events(EventsArgs::take(low)?),
            CommandId::Exec => Self::Exec(ExecArgs::take(low)?),
            CommandId::Features => Self::Features,
            CommandId::Kill => Self::Kill(KillArgs::take(low)?),
            CommandId::List => Self::List(ListArgs::take(low)),
            CommandId::Man => Self::Man(ManPages::take(low)?),
            CommandId::Mounts => Self::Mounts(MountsArgs::take(low)?),
            CommandId::Pause => Self::Pause(ContainerArgs::take(&mut low, 0)?),
            CommandId::Plan => Self::Plan(PlanArgs::take(low)),
            CommandId::Ps => Self::Ps(PsArgs::take(low)?),
            CommandId::Restore => Self::Restore(RestoreArgs::take(low)?),
            CommandId::Resume => Self::Resume(ContainerArgs::take(&mut low, 0)?),
            CommandId::Run => Self::Run(RunArgs::take(low)?),
            CommandId::Spec => Self::Spec(SpecArgs::take(low)),
            CommandId::Start => Self::Start(ContainerArgs::take(&mut low, 0)?),
            CommandId::State => Self::State(ContainerArgs::take(&mut low, 0)?),
            CommandId::Update => Self::Update(UpdateArgs::take(low)?),
        })
    }
}
