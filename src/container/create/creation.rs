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
use crate::plan::{Host, Plan};

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
    pub(super) host: &'a Host,
    pub(super) options: &'a CreateOptions,
    pub(super) goal: Goal,
    pub(super) systemd: Option<Systemd>,
    /// The unit's properties that annotations set.
    pub(super) asked: RequestedProperties,
    pub(super) stub: Option<Stub>,
    pub(super) agent: Option<SeccompAgent>,
}

impl Creation<'_> {
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
