//! A compiled plan.

use super::blob::Blob;
use super::cgroup::CgroupPlan;
use super::step::{ControlStep, Line, NamespaceStep, RootfsStep, SlotId, Slots, Step};
use super::{failure, lower};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::{Error, Phase, Problem, Result};
use nix::errno::Errno;

const NEW_CGROUP: u64 = NamespaceKind::Cgroup.flag();

/// A compiled plan: of a bundle, a command, or another process.
#[derive(Debug)]
pub struct Plan {
    pub(crate) lines: Vec<Line>,
    pub(crate) slots: Slots,
    pub(crate) namespaces: Namespaces,
    /// `CLONE_NEW*` of the spawn.
    pub(crate) spawn_flags: u64,
    /// Whether a first process clones the final one.
    pub(crate) two_stages: bool,
    /// Namespaces that must not be the host's, each with the pointer of the setting that would change them.
    pub(crate) foreign: Vec<(NamespaceKind, String)>,
    pub(crate) cgroup: Option<CgroupPlan>,
    pub(crate) preserve_fds: u32,
    pub(super) kernel: (u32, u32),
    pub(crate) warnings: Vec<Problem>,
    /// Whether the filter kills the process at execve(2) of the program.
    pub(crate) kills_program: bool,
}

impl Plan {
    /// A plan without lines, for a kernel of this version.
    pub(super) fn empty(kernel: (u32, u32)) -> Self {
        Self {
            lines: Vec::with_capacity(32),
            slots: Slots::default(),
            namespaces: Namespaces::new(),
            spawn_flags: 0,
            two_stages: false,
            foreign: Vec::new(),
            cgroup: None,
            preserve_fds: 0,
            kernel,
            warnings: Vec::new(),
            kills_program: false,
        }
    }

    /// A plan of these lines, without slots.
    #[cfg(test)]
    pub(crate) fn of_lines(lines: Vec<Line>) -> Self {
        Self { lines, ..Self::empty((6, 18)) }
    }

    /// The version of the kernel that it is for.
    pub(crate) fn kernel(&self) -> (u32, u32) {
        self.kernel
    }

    /// The lines, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The warnings that the runtime-spec requires to be logged.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The stub's column as a blob.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] with the pointer of the setting that needs more than the stub has.
    pub fn encode(&self) -> Result<Blob> {
        // The number of a step is half a word of its instructions.
        if self.lines.len() > usize::from(u16::MAX) {
            return Err(self.too_large(usize::from(u16::MAX)));
        }
        lower::lower(&self.lines, &self.slots, lower::Kernel::of(self.kernel))
            .map_err(|line| self.too_large(line.into()))
    }

    /// The error for a step that failed at system call `call` (none: at a check of the stub's own).
    pub(crate) fn failure(&self, step: u16, call: Option<u32>, errno: Errno) -> Error {
        failure::of_step(&self.lines, step, call, errno)
    }

    /// The error for a stub that was killed at a step.
    pub(crate) fn death(&self, step: u16) -> Error {
        failure::of_killed_stub(&self.lines, step)
    }

    /// The error for a process that its filter has killed at execve(2).
    pub(crate) fn killed_by_filter(&self) -> Error {
        failure::of_killed_program(&self.lines)
    }

    /// The error for a plan that does not fit.
    fn too_large(&self, line: usize) -> Error {
        let why = "the configuration takes more than the init stub can hold";
        let error = Error::new(crate::ErrorKind::Unsupported, Phase::Plan, why);
        match self.lines.get(line).and_then(Line::pointer) {
            Some(pointer) => error.with_pointer(pointer),
            None => error,
        }
    }

    /// Whether the spawned process must be in its cgroup from the start: it is created in a new cgroup namespace,
    /// whose root is the cgroup of its creator.
    pub(crate) fn starts_in_cgroup(&self) -> bool {
        let joins = |line: &Line| matches!(line.step, Step::Namespace(NamespaceStep::JoinCgroup { .. }));
        self.spawn_flags & NEW_CGROUP != 0 && self.lines.iter().any(joins)
    }

    /// Whether the first of two processes clones the second one before it gives the host side any turn.
    pub(crate) fn hands_over_at_once(&self) -> bool {
        let hands_over = |line: &Line| matches!(line.step, Step::Control(ControlStep::HandOver { .. }));
        let first = self.lines.iter().find(|line| hands_over(line) || line.turn().is_some());
        first.is_some_and(hands_over)
    }

    /// Whether the first process clones the second one before it has changed anything: it can be started again.
    pub(crate) fn hands_over_first(&self) -> bool {
        let hands_over = |line: &Line| matches!(line.step, Step::Control(ControlStep::HandOver { .. }));
        let changes = |line: &Line| line.turn().is_some() || matches!(line.step, Step::Rootfs(_));
        self.lines.iter().find(|line| hands_over(line) || changes(line)).is_some_and(hands_over)
    }

    /// Whether the host side creates a file system from a context that it receives from a process which others can trace.
    pub(crate) fn sends_context(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.step, Step::Rootfs(RootfsStep::SendContext)))
    }

    /// Adds the pointer of the line that uses a slot to an error.
    pub(crate) fn at_slot(&self, id: SlotId, error: Error) -> Error {
        let used = self.lines.iter().find(|line| match &line.step {
            Step::Rootfs(RootfsStep::Root { slot, .. }) => *slot == Some(id),
            Step::Rootfs(RootfsStep::DetachedRoot { slot, .. }) => *slot == id,
            Step::Rootfs(RootfsStep::Mount(mount)) => mount.slot() == Some(id),
            Step::Namespace(NamespaceStep::JoinResctrl { slots }) => slots.contains(&id),
            _ => false,
        });
        match used.and_then(Line::pointer) {
            Some(pointer) => error.with_pointer(pointer),
            None => error,
        }
    }
}
