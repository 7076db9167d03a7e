//! A container that is being created.

use crate::Result;
use crate::bundle::Bundle;
use crate::cgroup::systemd::{RequestedProperties, Systemd};
use crate::container::container::Container;
use crate::container::options::CreateOptions;
use crate::container::process::identity::{ProcessIdentity, boot_id};
use crate::container::seccomp_agent::SeccompAgent;
use crate::container::store::StateRecord;
use crate::container::store::lock::OperationLock;
use crate::init::launch::Stub;
use crate::init::presets::HelperRecorder;
use crate::plan::{CgroupOutcome, Host, Plan, compile_with_cgroup};

/// Where the creation stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Goal {
    /// The program waits for `start`.
    Created,
    /// The program runs; it does not wait for `start`.
    Running,
}

/// A container that is being created.
pub(super) struct Creation<'a> {
    pub(super) container: Container,
    pub(super) lock: OperationLock,
    pub(super) record: StateRecord,
    pub(super) bundle: &'a Bundle,
    pub(super) plan: Plan,
    /// How the creation of the cgroup turned out.
    pub(super) cgroup_outcome: CgroupOutcome,
    pub(super) host: Host,
    pub(super) options: &'a CreateOptions,
    pub(super) goal: Goal,
    pub(super) systemd: Option<Systemd>,
    /// The unit's properties that annotations set.
    pub(super) asked: RequestedProperties,
    pub(super) stub: Option<Stub>,
    pub(super) agent: Option<SeccompAgent>,
}

impl Creation<'_> {
    /// If an optional cgroup was not created on cgroup2, compiles the plan again: the container sees the caller's cgroup.
    pub(super) fn show_callers_cgroup(&mut self) -> Result<()> {
        let planned = self.plan.cgroup.as_ref().filter(|planned| planned.options.optional);
        let skipped =
            planned.is_some_and(|p| p.record.unified.is_some()) && self.record.cgroup.unified.is_none();
        if !skipped {
            return Ok(());
        }
        if let Some(layout) = &mut self.host.cgroups {
            layout.read_own_cgroup()?;
        }
        self.cgroup_outcome.skipped = true;
        self.plan = compile_with_cgroup(self.bundle, &self.host, &self.record.options, self.cgroup_outcome)?;
        Ok(())
    }

    /// The plan compiled again for a process that joins its cgroup by file; `None` if it does so already. The slots stay the
    /// same.
    pub(super) fn plan_joining_by_file(&self) -> Result<Option<Plan>> {
        if !self.plan.starts_in_cgroup() {
            return Ok(None);
        }
        let outcome = CgroupOutcome { joined_by_file: true, ..self.cgroup_outcome };
        compile_with_cgroup(self.bundle, &self.host, &self.record.options, outcome).map(Some)
    }

    /// The plan compiled again for a process that the host side moves into its cgroup, which has no room for two. The slots
    /// stay the same.
    pub(super) fn plan_moved(&self) -> Result<Plan> {
        let outcome = CgroupOutcome { moved: true, ..self.cgroup_outcome };
        compile_with_cgroup(self.bundle, &self.host, &self.record.options, outcome)
    }

    /// Puts the identity of the init process into the record, while the process cannot have been reaped.
    pub(super) fn identify_init(&mut self) -> Result<()> {
        let Some(stub) = &self.stub else { return Ok(()) };
        if self.record.init.pid != stub.pid {
            self.record.init = ProcessIdentity::of(stub.pid)?;
            boot_id()?.clone_into(&mut self.record.boot);
            if stub.is_second() {
                self.lock.record_helper(stub.pid)?;
            }
        }
        Ok(())
    }
}
