//! Other limits for a container that exists.

use super::{Container, Status, members, scope};
use crate::bundle::spec::{Memory, Resources, Spec};
use crate::bundle::validate_resources;
use crate::cgroup::{Layout, merged};
use crate::{Error, ErrorKind, Phase, Result};

/// What errors call the text that an update is read from.
const DOCUMENT: &str = "resources";

impl Container {
    /// Changes the container's limits: those that `resources` names; whatever it leaves out stays.
    /// [`spec`](Self::spec) has the new ones from then on.
    ///
    /// Zero is "leave it" where the runtime-spec gives zero no meaning of its own (memory, shares,
    /// quota, period, weights), as callers send it. `devices` is never looked at: access to devices
    /// stays as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotRunning`] where the container is stopped or being made,
    /// [`crate::ErrorKind::InvalidConfig`] with the place in `resources`, [`crate::ErrorKind::Unsupported`] for
    /// a field that cannot be enforced here and for a container without a cgroup; refusals of the
    /// kernel. No limit has changed then; see [`Cgroup::update`](crate::cgroup::Cgroup::update).
    pub fn update(&self, resources: &Resources) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, status) = self.alive_record()?;
        if status == Status::Creating {
            return Err(super::not_running());
        }
        let (errors, warnings) = validate_resources(resources);
        if !errors.is_empty() {
            return Err(Error::invalid(errors).in_document(DOCUMENT, ""));
        }
        self.runtime.warn_of(&warnings);
        let cgroup = members::require(&record, "cannot be updated")?;
        let current = self.spec().map(current)?;
        let wanted =
            if cgroup.accounts_for_swap()? { with_swap(&current, resources) } else { resources.clone() };
        let layout = Layout::require()?;
        let after = merged(&current, resources);
        let keep = || if after == current { Ok(()) } else { self.directory.write_resources(&after) };
        let tell = || {
            if record.scope.is_none() {
                return keep();
            }
            scope::update(&record, &layout, &wanted)?;
            // What systemd is told it writes too, in its own way.
            cgroup.update_and(&layout, &wanted, keep).map(drop)
        };
        let done = cgroup.update_and(&layout, &wanted, tell);
        done.map(drop).map_err(|e| e.in_document(DOCUMENT, "/linux/resources"))
    }

    /// Writes other schemata into the container's class of service (`config-linux.md#intelrdt`): lines such as
    /// `L3:0=f` or `MB:0=20`. A class that others share changes for all of them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotRunning`], [`crate::ErrorKind::Unsupported`] for a container without
    /// `intelRdt`, and what the kernel says of a schema.
    pub fn update_schemata(&self, lines: &[&str]) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, status) = self.alive_record()?;
        if status == Status::Creating {
            return Err(super::not_running());
        }
        match &record.resctrl {
            Some(group) => group.change(lines),
            None => Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "update the schemata")
                .with_detail("the container's configuration has no intelRdt, so it has no class of service")),
        }
    }
}

/// The limits of a configuration.
fn current(spec: Spec) -> Resources {
    spec.linux.and_then(|linux| linux.resources).unwrap_or_default()
}

/// A limit of memory and swap together stays what it is when the one of memory changes; on cgroup v2,
/// where the kernel knows of swap alone, that one must change for it.
fn with_swap(current: &Resources, update: &Resources) -> Resources {
    let mut update = update.clone();
    let set = |value: Option<i64>| value.filter(|n| *n != 0);
    if let (Some(Memory { swap: Some(swap), .. }), Some(memory)) = (&current.memory, &mut update.memory)
        && *swap > 0
        && memory.limit.is_some_and(|n| n > 0)
        && set(memory.swap).is_none()
    {
        memory.swap = Some(*swap);
    }
    update
}
