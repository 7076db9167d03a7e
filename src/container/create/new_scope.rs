//! The scope of a new container, if systemd creates its cgroup.

use super::creation::Creation;
use crate::ErrorKind;
use crate::Result;
use crate::bundle::Spec;
use crate::cgroup::systemd::{RequestedProperties, Scope};
use crate::cgroup::{self, Cgroup};
use nix::errno::Errno;

/// Checks that the unit can be created, and records it. A unit that already exists does not belong to the container: it is
/// neither recorded nor ever stopped.
pub(super) fn claim(creation: &mut Creation<'_>) -> Result<()> {
    let unit = creation.plan.cgroup.as_ref().and_then(|cgroup| cgroup.unit.as_ref());
    if let (Some(systemd), Some(unit)) = (&mut creation.systemd, unit) {
        // The annotations are checked before anything is created.
        let permissions = creation.container.runtime.permissions();
        creation.asked =
            RequestedProperties::from_annotations(&creation.bundle.spec.annotations, permissions)?;
        systemd.claim(unit)?;
        creation.record.scope = Some(Scope { unit: unit.clone(), bus: creation.options.systemd.clone() });
    }
    Ok(())
}

/// Starts the scope around the waiting process, and writes the settings that systemd does not know.
pub(super) fn start(creation: &mut Creation<'_>) -> Result<()> {
    let (Some(systemd), Some(planned), Some(layout)) =
        (&mut creation.systemd, &creation.plan.cgroup, &creation.host.cgroups)
    else {
        return Ok(());
    };
    let Some(unit) = &planned.unit else { return Ok(()) };
    let pid = creation.record.init.pid;
    let properties = std::mem::take(&mut creation.asked);
    systemd.start(unit, pid, &planned.settings, properties).inspect_err(|e| {
        if e.kind() == ErrorKind::AlreadyExists {
            (creation.record.scope, creation.record.cgroup) = (None, cgroup::CgroupRecord::default());
        }
    })?;
    let record = planned.record.clone();
    let cgroup = Cgroup::adopt(layout, record, &planned.settings, &planned.options, pid)?;
    delegate(creation, &cgroup)
}

/// Delegates the cgroup to the root user of the container's user namespace, if it is to have it.
pub(super) fn delegate(creation: &Creation<'_>, cgroup: &Cgroup) -> Result<()> {
    let Some(uid) = delegate_to(&creation.bundle.spec) else { return Ok(()) };
    match cgroup.delegate(uid) {
        // An unprivileged caller cannot change owners; its own uid already has access.
        Err(e) if !creation.host.privileged && matches!(e.errno(), Some(Errno::EPERM | Errno::EINVAL)) => {
            Ok(())
        }
        done => done,
    }
}

/// The host uid of the container's root user, if the cgroup is delegated to it: the container has new user and cgroup
/// namespaces, and mounts the cgroup read-write.
fn delegate_to(spec: &Spec) -> Option<u32> {
    let linux = spec.linux.as_ref()?;
    let is_new = |kind: &str| {
        linux.namespaces.iter().any(|n| n.kind == kind && n.path.as_deref().is_none_or(str::is_empty))
    };
    let writable = spec.mounts.iter().any(|mount| {
        let kind = mount.kind.as_deref().unwrap_or_default();
        matches!(kind, "cgroup" | "cgroup2") && !mount.options.iter().any(|option| option == "ro")
    });
    if !(is_new("user") && is_new("cgroup") && writable) {
        return None;
    }
    linux.uid_mappings.iter().find(|map| map.container_id == 0 && map.size > 0).map(|map| map.host_id)
}
