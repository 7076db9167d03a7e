//! A plan while it is written.

use super::super::compiled::Plan;
use super::super::step::{ControlStep, HostStep, Line, LineOrigin, Slot, SlotId, Step};
use crate::{Error, ErrorKind, Phase, Result};

/// Steps that the final process must take itself, after it was cloned; each with the pointer of its setting.
pub(super) type LateSteps = Vec<(String, Step)>;

/// A plan while it is written.
#[derive(Debug)]
pub(super) struct Draft {
    /// The plan so far. Only the methods of the draft add lines and slots.
    pub(super) plan: Plan,
}

impl Draft {
    /// An empty draft, for a kernel of this version.
    pub(super) fn new(kernel: (u32, u32)) -> Self {
        Self { plan: Plan::empty(kernel) }
    }

    /// Adds a line.
    pub(super) fn line(&mut self, origin: LineOrigin, step: impl Into<Step>) {
        self.plan.lines.push(Line { origin, step: step.into() });
    }

    /// Adds a line that does not come from a setting.
    pub(super) fn standard(&mut self, step: impl Into<Step>) {
        self.line(LineOrigin::Standard, step);
    }

    /// Adds a line for a setting of `config.json`.
    pub(super) fn configured(&mut self, pointer: impl Into<String>, step: impl Into<Step>) {
        self.line(LineOrigin::Pointer(pointer.into()), step);
    }

    /// Adds the line that creates the process, in these new namespaces (`CLONE_NEW*`).
    pub(super) fn spawn(&mut self, origin: LineOrigin, namespaces: u64, into_cgroup: bool) {
        self.plan.spawn_flags = namespaces;
        self.line(origin, HostStep::Spawn { namespaces, into_cgroup });
    }

    /// Adds a slot for a setting of `config.json`.
    ///
    /// # Errors
    /// If the stub cannot hold one more.
    pub(super) fn slot(&mut self, pointer: &str, slot: Slot) -> Result<SlotId> {
        self.add_slot(slot).ok_or_else(|| {
            let why = "the configuration takes more descriptors than the init stub can hold";
            Error::unsupported(Phase::Plan, pointer, why)
        })
    }

    /// Adds a slot that does not come from a setting.
    ///
    /// # Errors
    /// As [`slot`](Self::slot).
    pub(super) fn standard_slot(&mut self, slot: Slot) -> Result<SlotId> {
        self.add_slot(slot).ok_or_else(|| {
            let why = "this takes more descriptors than the init stub can hold";
            Error::new(ErrorKind::Unsupported, Phase::Plan, why)
        })
    }

    fn add_slot(&mut self, slot: Slot) -> Option<SlotId> {
        let added = self.plan.slots.add(slot)?;
        if let Some(batch) = added.first_of {
            self.standard(ControlStep::ReceiveMounts { batch });
        }
        Some(added.id)
    }

    /// Whether a line has such a step.
    pub(super) fn has(&self, is_it: impl Fn(&Step) -> bool) -> bool {
        self.plan.lines.iter().any(|line| is_it(&line.step))
    }

    /// The finished plan.
    pub(super) fn finish(mut self) -> Plan {
        self.plan.two_stages = self.has(|step| matches!(step, Step::Control(ControlStep::HandOver { .. })));
        self.plan
    }
}
