//! Updating the limits of an existing container.

use super::container::Container;
use super::scope;
use super::status::created_record;
use super::store::config;
use crate::bundle::spec::{Memory, Resources, Spec};
use crate::bundle::validate_resources;
use crate::cgroup::{DevicePolicy, Layout, Settings, merged};
use crate::{Error, ErrorKind, Phase, Result};

/// How error messages call the document that an update is read from.
const DOCUMENT: &str = "resources";

/// Sets the limits that `resources` names; the others remain. A list of devices replaces the container's.
pub(super) fn update(container: &Container, resources: &Resources) -> Result<()> {
    let directory = &container.directory;
    let _lock = directory.lock()?;
    let (record, _) = created_record(directory)?;
    let (errors, warnings) = validate_resources(resources);
    if !errors.is_empty() {
        return Err(Error::invalid(errors).in_document(DOCUMENT, ""));
    }
    container.runtime.warn_of(&warnings);
    let cgroup = record.require_cgroup("cannot be updated")?;
    let current = config::read_spec(directory).map(resources_of)?;
    let wanted = if cgroup.accounts_for_swap()? { with_swap(&current, resources) } else { resources.clone() };
    let layout = Layout::require()?;
    let merged = merged(&current, resources);
    let store = || {
        if merged == current {
            return Ok(());
        }
        let (before, after) =
            (DevicePolicy::container(&current.devices)?, DevicePolicy::container(&merged.devices)?);
        if before == after {
            return config::write_resources(directory, &merged);
        }
        // Engines send the whole list with each update. If it is the same, rules that a hook has added stay.
        let changed = cgroup.change_devices(&before, &after);
        changed.and_then(|()| config::write_resources(directory, &merged)).inspect_err(|_| {
            let _ = cgroup.change_devices(&after, &before);
        })
    };
    let done = match &record.scope {
        None => cgroup.update_and(&layout, &wanted, store),
        Some(scope) => {
            let tell = |settings: &Settings| scope::set_limits(scope, settings);
            cgroup.update_beside_manager(&layout, &wanted, &merged, tell, store)
        }
    };
    done.map(drop).map_err(|e| e.in_document(DOCUMENT, "/linux/resources"))
}

/// Writes other schemata into the container's class of service.
pub(super) fn update_schemata(container: &Container, lines: &[&str]) -> Result<()> {
    let _lock = container.directory.lock()?;
    let (record, _) = created_record(&container.directory)?;
    match &record.resctrl {
        Some(group) => group.change(lines),
        None => Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "update the schemata")
            .with_detail("the container's configuration has no intelRdt, so it has no class of service")),
    }
}

/// The limits of a configuration.
fn resources_of(spec: Spec) -> Resources {
    spec.linux.and_then(|linux| linux.resources).unwrap_or_default()
}

/// The limit of memory and swap together remains when the limit of memory changes. On cgroup v2 the kernel limits swap
/// alone, so that limit has to be written again.
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
