//! The steps of a plan: what is done, on which side, and for which setting of `config.json`.
//!
//! Steps come in families. Each has a file with its words, the phase that a failure belongs to, and what a failure
//! may come from; its instructions are in the file of the same name below `lower/`. All these matches name every
//! step, so one that is added is forgotten nowhere.

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
pub use process::{Groups, ProcessStep, Sender};
pub use rootfs::RootfsStep;
pub(crate) use rootfs::SEALED;
pub(crate) use slot::Slots;
pub use slot::{Idmap, Owners, Slot, SlotId};

use crate::Phase;
use nix::errno::Errno;
use std::fmt;

/// Who takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepSide {
    /// The host side: reaches the host's files, writes id maps, runs host hooks.
    Host,
    /// The stub: inside the namespaces.
    Stub,
}

/// Why a step is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineOrigin {
    /// A value of `config.json`, as a JSON pointer (RFC 6901).
    Pointer(String),
    /// Every container gets it, whatever its configuration says.
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
    /// The pointer of the setting that the line is for, if there is one.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match &self.origin {
            LineOrigin::Pointer(pointer) => Some(pointer),
            LineOrigin::Standard => None,
        }
    }

    /// The turn that the stub gives to the host side there, if it gives one.
    pub(crate) fn turn(&self) -> Option<HostTurn> {
        match &self.step {
            Step::Host(_) | Step::Namespace(_) => None,
            Step::Rootfs(step) => step.turn(),
            Step::Process(step) => step.sends_listener().then_some(HostTurn::Listener),
            Step::Control(step) => step.turn(),
        }
    }
}

/// A step. The text of each, by `Display`, is what `orlop plan` prints.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// What the host side does.
    Host(HostStep),
    /// Cgroups, namespaces and what belongs to them.
    Namespace(NamespaceStep),
    /// The root file system.
    Rootfs(RootfsStep),
    /// What the program is given and what it is under.
    Process(ProcessStep),
    /// The stub's own course, up to the program.
    Control(ControlStep),
}

impl Step {
    /// Who takes it.
    pub fn side(&self) -> StepSide {
        match self {
            Self::Host(_) => StepSide::Host,
            Self::Namespace(_) | Self::Rootfs(_) | Self::Process(_) | Self::Control(_) => StepSide::Stub,
        }
    }

    /// The phase that a failure of it belongs to.
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Host(step) => step.phase(),
            Self::Namespace(step) => step.phase(),
            Self::Rootfs(step) => step.phase(),
            Self::Process(step) => step.phase(),
            Self::Control(step) => step.phase(),
        }
    }

    /// What its failure with `errno` at system call `call` may come from, if that is known.
    pub(super) fn hint(&self, call: Option<u32>, errno: Errno) -> Option<&'static str> {
        match self {
            // The host side says more of its own failures.
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
