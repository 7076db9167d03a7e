//! Arguments of `list` and `ps`.

use super::super::low::{ListFormat, LowArgs};
use super::shared::{ContainerArgs, RuntimeArgs};
use crate::failure::Failure;
use std::ffi::OsString;

/// `list`
#[derive(Debug, PartialEq)]
pub(crate) struct ListArgs {
    pub(crate) runtime: RuntimeArgs,
    pub(crate) output: ListOutput,
}

/// What `list` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOutput {
    /// One id per line. `--quiet`, whatever the format
    Ids,
    /// Aligned columns below a header.
    Table,
    /// One JSON array on one line.
    Json,
}

impl ListArgs {
    pub(super) fn take(mut low: LowArgs) -> Self {
        let output = match low.list_format.unwrap_or(ListFormat::Table) {
            _ if low.quiet => ListOutput::Ids,
            ListFormat::Table => ListOutput::Table,
            ListFormat::Json => ListOutput::Json,
        };
        Self { runtime: RuntimeArgs::take(&mut low), output }
    }
}

/// `ps`
#[derive(Debug, PartialEq)]
pub(crate) struct PsArgs {
    pub(crate) container: ContainerArgs,
    pub(crate) output: PsOutput,
}

/// What `ps` prints.
#[derive(Debug, PartialEq)]
pub(crate) enum PsOutput {
    /// The lines of ps(1), called with these options.
    Table {
        /// Options of ps(1); none means its default.
        options: Vec<OsString>,
    },
    /// The process ids, as one JSON array on one line.
    Json,
}

impl PsArgs {
    pub(super) fn take(mut low: LowArgs) -> Result<Self, Failure> {
        let container = ContainerArgs::take(&mut low, 0)?;
        let options: Vec<_> = low.operands.into_iter().skip(1).collect();
        let output = match low.list_format.unwrap_or(ListFormat::Table) {
            ListFormat::Json if !options.is_empty() => {
                return Err(Failure::new("ps: options of ps(1) are for --format table"));
            }
            ListFormat::Json => PsOutput::Json,
            ListFormat::Table => PsOutput::Table { options },
        };
        Ok(Self { container, output })
    }
}
