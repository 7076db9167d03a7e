//! Arguments of `kill` and `delete`, which act on one container or on all whose id matches.

use super::super::low::LowArgs;
use super::shared::{RuntimeArgs, text};
use crate::failure::Failure;
use orlop::container::Signal;

/// `kill`
#[derive(Debug, PartialEq)]
pub(crate) struct KillArgs {
    pub(crate) runtime: RuntimeArgs,
    pub(crate) target: KillTarget,
    pub(crate) signal: Signal,
}

/// Which processes get the signal.
#[derive(Debug, PartialEq)]
pub(crate) enum KillTarget {
    /// The init process of the container with this id.
    Init(String),
    /// All processes of the container with this id. `--all`
    AllProcesses(String),
    /// The init process of each container whose id matches. `--regex`
    Matching(String),
}

impl KillArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        let signal = match low.operands.get(1) {
            Some(word) => text(Some(word), "signal")?.parse()?,
            None => Signal::TERM,
        };
        if low.regex && low.all {
            return Err(Failure::new(
                "kill: --regex and --all exclude each other: signal the containers' init processes, \
                 or every process of one container",
            ));
        }
        let id = text(low.operands.first(), "container id")?;
        let target = match (low.regex, low.all) {
            (true, _) => KillTarget::Matching(id),
            (false, true) => KillTarget::AllProcesses(id),
            (false, false) => KillTarget::Init(id),
        };
        Ok(Self { runtime: RuntimeArgs::take(&mut low), target, signal })
    }
}

/// `delete`
#[derive(Debug, PartialEq)]
pub(crate) struct DeleteArgs {
    pub(crate) runtime: RuntimeArgs,
    pub(crate) target: DeleteTarget,
    /// `--force`
    pub(crate) force: bool,
}

/// Which containers to delete.
#[derive(Debug, PartialEq)]
pub(crate) enum DeleteTarget {
    /// The container with this id.
    Container(String),
    /// Each container whose id matches. `--regex`
    Matching(String),
}

impl DeleteArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        let id = text(low.operands.first(), "container id")?;
        let target = if low.regex { DeleteTarget::Matching(id) } else { DeleteTarget::Container(id) };
        Ok(Self { runtime: RuntimeArgs::take(&mut low), target, force: low.force })
    }
}
