//! Other limits for a container that exists.

use super::{Container, Status, members};
use crate::bundle::spec::Resources;
use crate::bundle::validate_resources;
use crate::cgroup::Layout;
use crate::{Error, ErrorKind, Phase, Result};

impl Container {
    /// Changes the container's limits: those that `resources` names, whatever it leaves out stays.
    ///
    /// Zero is "leave it" where the runtime-spec gives zero no meaning of its own (memory, shares,
    /// quota, period, weights), as callers send it. `devices` is never looked at: access to devices
    /// stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] where the container is stopped or being made,
    /// [`ErrorKind::InvalidConfig`] with the place in `resources`, [`ErrorKind::Unsupported`] for
    /// a field that cannot be enforced here and for a container without a cgroup; refusals of the
    /// kernel.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, status) = self.alive_record()?;
        if status == Status::Creating {
            return Err(super::not_running());
        }
        let (errors, warnings) = validate_resources(resources);
        if !errors.is_empty() {
            return Err(Error::invalid(errors));
        }
        self.runtime.warn_of(&warnings);
        let Some(cgroup) = members::cgroup(&record) else {
            return Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "container cannot be updated")
                .with_detail("it was made without a cgroup"));
        };
        for warning in cgroup.update(&Layout::detect()?, resources)? {
            self.runtime.warn(&Error::new(ErrorKind::Unsupported, Phase::Cgroup, warning));
        }
        Ok(())
    }
}
