//! The steps of a plan: what is done, on which side, and for which setting of `config.json`.
//!
//! Steps come in families. A family has a file with its words, the phases that its failures belong to, and hints at their
//! causes; its instructions are in the file of the same name below `lower/`. Every match names every step, so the compiler
//! finds each place that a new step must be added to.

#![deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]

mod control;
mod host;
mod mount;
mod namespace;
mod process;
mod rootfs;
mod slot;

pub use control::{ControlStep, HostTurn};
pub use host::HostStep;
pub(crate) use mount::{CLEARED_IF_UNNAMED, is_at_or_below, plain};
pub use mount::{CgroupView, Component, MountSource, MountStep, Node};
pub use namespace::{JoinTarget, NamespaceStep};
pub(crate) use process::SCHEDULER_OR_CPUSET;
pub use process::{Groups, LabelTarget, ProcessStep, Sender, TerminalPlace};
pub use rootfs::RootfsStep;
pub(crate) use rootfs::SEALED;
pub(crate) use slot::Slots;
pub use slot::{DeviceNode, Idmap, Owners, Slot, SlotId};

use crate::Phase;
use nix::errno::Errno;
use std::fmt;

/// The side that executes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSide {
    /// The host side: it opens the host's files, writes id maps, and runs hooks of the host.
    Host,
    /// The stub, inside the namespaces.
    Stub,
}

/// What a line of a plan comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOrigin {
    /// A value of `config.json`, as a JSON pointer (RFC 6901).
    Pointer(String),
    /// Every container gets the line, whatever its configuration says.
    Standard,
}

/// One line of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Where it comes from.
    pub origin: LineOrigin,
    /// What is done.
    pub step: Step,
}

impl Line {
    /// The pointer of the setting that the line comes from, if it is not standard.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match &self.origin {
            LineOrigin::Pointer(pointer) => Some(pointer),
            LineOrigin::Standard => None,
        }
    }

    /// The turn that the step gives to the host side, if it gives one.
    pub(crate) fn turn(&self) -> Option<HostTurn> {
        match &self.step {
            Step::Host(_) | Step::Namespace(_) => None,
            Step::Rootfs(step) => step.turn(),
            Step::Process(step) => step.sends_listener().then_some(HostTurn::Listener),
            Step::Control(step) => step.turn(),
        }
    }
}

/// A step. Its `Display` is what `orlop plan` prints.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A step of the host side.
    Host(HostStep),
    /// Cgroups and namespaces.
    Namespace(NamespaceStep),
    /// The root file system.
    Rootfs(RootfsStep),
    /// Attributes and limits of the program's process.
    Process(ProcessStep),
    /// When the stub waits, and how it becomes the program.
    Control(ControlStep),
}

impl Step {
    /// The side that executes it.
    pub fn side(&self) -> StepSide {
        match self {
            Self::Host(_) => StepSide::Host,
            Self::Namespace(_) | Self::Rootfs(_) | Self::Process(_) | Self::Control(_) => StepSide::Stub,
        }
    }

    /// The phase that its failure belongs to.
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Host(step) => step.phase(),
            Self::Namespace(step) => step.phase(),
            Self::Rootfs(step) => step.phase(),
            Self::Process(step) => step.phase(),
            Self::Control(step) => step.phase(),
        }
    }

    /// What may have caused its failure with `errno` at system call `call`, if that is known.
    pub(super) fn hint(&self, call: Option<u32>, errno: Errno) -> Option<&'static str> {
        match self {
            // The host side's own errors have their hints already.
            Self::Host(_) => None,
            Self::Control(step) => step.hint(errno),
            Self::Namespace(step) => step.hint(errno),
            Self::Rootfs(step) => step.hint(call, errno),
            Self::Process(step) => step.hint(errno),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(step) => step.fmt(f),
            Self::Namespace(step) => step.fmt(f),
            Self::Rootfs(step) => step.fmt(f),
            Self::Process(step) => step.fmt(f),
            Self::Control(step) => step.fmt(f),
        }
    }
}

macro_rules! family {
    ($($name:ident: $family:ty;)*) => {$(
        impl From<$family> for Step {
            fn from(step: $family) -> Self {
                Self::$name(step)
            }
        }
    )*};
}
family! {
    Host: HostStep;
    Namespace: NamespaceStep;
    Rootfs: RootfsStep;
    Process: ProcessStep;
    Control: ControlStep;
}
