//! Arguments of commands for a running container: `events`, `update`, `mounts`.

use super::super::limits::LimitOverrides;
use super::super::low::LowArgs;
use super::shared::{ContainerArgs, text};
use crate::failure::Failure;
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);

/// `events`
#[derive(Debug, PartialEq)]
pub(crate) struct EventsArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) mode: EventsMode,
}

/// How often `events` prints the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventsMode {
    /// Once. `--stats`
    Once,
    /// At each interval, until the container exits. `--interval`
    Every(Duration),
}

impl EventsArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        let every = EventsMode::Every(low.interval.unwrap_or(DEFAULT_INTERVAL));
        let mode = if low.stats { EventsMode::Once } else { every };
        Ok(Self { container: ContainerArgs::take(&mut low, 0)?, mode })
    }
}

/// `update`
#[derive(Debug, PartialEq)]
pub(crate) struct UpdateArgs {
    pub(crate) container: ContainerArgs,
    /// `--resources`
    pub(crate) resources: Option<PathBuf>,
    /// The flags that set one limit each.
    pub(crate) limits: LimitOverrides,
    /// `--l3-cache-schema`
    pub(crate) l3_cache_schema: Option<String>,
    /// `--mem-bw-schema`
    pub(crate) mem_bw_schema: Option<String>,
}

impl UpdateArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        Ok(Self {
            container: ContainerArgs::take(&mut low, 0)?,
            resources: low.resources,
            limits: low.limits,
            l3_cache_schema: low.l3_cache_schema,
            mem_bw_schema: low.mem_bw_schema,
        })
    }
}

/// `mounts`
#[derive(Debug, PartialEq)]
pub(crate) struct MountsArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) change: MountChange,
    /// Where the mounts are read from; `-` is standard input.
    pub(crate) file: PathBuf,
}

/// What happens to the mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountChange {
    /// They are mounted.
    Add,
    /// What is at their destinations is unmounted.
    Remove,
}

impl MountsArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        let verb = text(low.operands.first(), "verb")?;
        let container = ContainerArgs::take(&mut low, 1)?;
        let change = match verb.as_str() {
            "add" => MountChange::Add,
            "remove" => MountChange::Remove,
            _ => {
                return Err(Failure::new(format!("mounts: unknown verb {verb:?}: it is add or remove")));
            }
        };
        let file = low.operands.into_iter().nth(2).unwrap_or_default().into();
        Ok(Self { container, change, file })
    }
}
