//! Arguments that several commands have.

use super::super::low::LowArgs;
use crate::failure::Failure;
use crate::log::{LogFormat, LogLevel};
use orlop::container::CgroupManager;
use std::ffi::{OsStr, OsString};
use std::mem::take;
use std::path::PathBuf;

/// Where and how to log.
#[derive(Debug, PartialEq)]
pub(crate) struct LogArgs {
    /// `--log`
    pub(crate) file: Option<PathBuf>,
    /// `--log-format`
    pub(crate) format: LogFormat,
    /// `--log-level`, `--debug`
    pub(crate) level: LogLevel,
}

impl LogArgs {
    pub(in crate::args) fn take(low: &mut LowArgs) -> Self {
        Self {
            file: low.log.take(),
            format: low.log_format.unwrap_or_default(),
            level: low.log_level.unwrap_or(LogLevel::Info),
        }
    }
}

/// The state directory, and what its containers are allowed.
#[derive(Debug, PartialEq)]
pub(crate) struct RuntimeArgs {
    /// `--root`
    pub(crate) root: Option<PathBuf>,
    /// `--allow-annotation`
    pub(crate) allowed_annotations: Vec<String>,
}

impl RuntimeArgs {
    pub(super) fn take(low: &mut LowArgs) -> Self {
        Self { root: low.root.take(), allowed_annotations: take(&mut low.allowed_annotations) }
    }
}

/// A container, by its id. All that `pause`, `resume`, `start` and `state` take.
#[derive(Debug, PartialEq)]
pub(crate) struct ContainerArgs {
    pub(crate) runtime: RuntimeArgs,
    pub(crate) id: String,
}

impl ContainerArgs {
    /// The id is the operand at `index`.
    pub(super) fn take(low: &mut LowArgs, index: usize) -> Result<Self, Failure> {
        Ok(Self { id: text(low.operands.get(index), "container id")?, runtime: RuntimeArgs::take(low) })
    }
}

/// Which bundle, and which configuration for it.
#[derive(Debug, PartialEq)]
pub(crate) struct BundleArgs {
    /// The bundle's directory; `None` is the current one.
    pub(crate) directory: Option<PathBuf>,
    /// `--config`
    pub(crate) config: Option<PathBuf>,
}

/// How the container's cgroup is created.
#[derive(Debug, PartialEq)]
pub(crate) struct CgroupArgs {
    /// `--cgroup-manager`, `--systemd-cgroup`
    pub(crate) manager: CgroupManager,
    /// `--rootless`; `None` is `auto`
    pub(crate) rootless: Option<bool>,
}

impl CgroupArgs {
    pub(super) fn take(low: &LowArgs) -> Self {
        Self { manager: low.cgroup_manager.unwrap_or_default(), rootless: low.rootless }
    }
}

/// An operand that must be UTF-8.
pub(super) fn text(operand: Option<&OsString>, what: &str) -> Result<String, Failure> {
    let operand = operand.map(OsString::as_os_str).unwrap_or_default();
    let text = operand.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(format!("{what} {} is not UTF-8", OsStr::display(operand))))
}
