//! A container's scope, where systemd makes its cgroup.

use super::create::Making;
use super::store::Record;
use crate::bundle::Spec;
use crate::bundle::spec::Resources;
use crate::cgroup::systemd::{RequestedProperties, Scope, Systemd};
use crate::cgroup::{self, Cgroup, Layout, Settings};
use crate::{ErrorKind, Result};
use nix::errno::Errno;

impl Making<'_> {
    /// Makes sure that the unit can be made, and records that it will be. One that is there already
    /// is somebody else's: it is neither recorded nor ever stopped.
    pub(super) fn claim_scope(&mut self) -> Result<()> {
        let unit = self.plan.cgroup.as_ref().and_then(|cgroup| cgroup.unit.as_ref());
        if let (Some(systemd), Some(unit)) = (&mut self.systemd, unit) {
            // Before anything is made.
            self.asked = RequestedProperties::from_annotations(
                &self.bundle.spec.annotations,
                self.container.runtime().permissions(),
            )?;
            systemd.claim(unit)?;
            self.record.scope = Some(Scope { unit: unit.clone(), bus: self.options.systemd.clone() });
        }
        Ok(())
    }

    /// Has the scope made around the waiting process, and writes what systemd does not.
    pub(super) fn start_scope(&mut self) -> Result<()> {
        let (Some(systemd), Some(planned), Some(layout)) =
            (&mut self.systemd, &self.plan.cgroup, &self.host.cgroups)
        else {
            return Ok(());
        };
        let Some(unit) = &planned.unit else { return Ok(()) };
        let pid = self.record.init.pid;
        systemd.start(unit, pid, &planned.settings, std::mem::take(&mut self.asked)).inspect_err(|e| {
            if e.kind() == ErrorKind::AlreadyExists {
                (self.record.scope, self.record.cgroup) = (None, cgroup::CgroupRecord::default());
            }
        })?;
        let record = planned.record.clone();
        let cgroup = Cgroup::adopt(layout, record, &planned.settings, &planned.options, pid)?;
        self.delegate(&cgroup)
    }

    /// Gives the cgroup to the container's root, if it is to be his.
    pub(super) fn delegate(&self, cgroup: &Cgroup) -> Result<()> {
        let Some(uid) = delegate_to(&self.bundle.spec) else { return Ok(()) };
        match cgroup.delegate(uid) {
            // An unprivileged caller may give nothing away; what he shares his id with has it already.
            Err(e) if !self.host.privileged && matches!(e.errno(), Some(Errno::EPERM | Errno::EINVAL)) => {
                Ok(())
            }
            done => done,
        }
    }
}

/// Has systemd forget the container's unit, whose processes have ended. It is no error if systemd is
/// not there any more and nor is the cgroup.
pub(super) fn stop(record: &Record) -> Result<()> {
    let Some(scope) = &record.scope else { return Ok(()) };
    let stopped = Systemd::connect(&scope.bus).and_then(|mut systemd| systemd.stop(&scope.unit));
    stopped.or_else(|e| match Cgroup::open(record.cgroup.clone()).exists() {
        Ok(false) => Ok(()),
        _ => Err(e),
    })
}

/// Tells systemd of other limits: otherwise it would write the old ones when it reloads.
pub(super) fn update(record: &Record, layout: &Layout, resources: &Resources) -> Result<()> {
    let Some(scope) = &record.scope else { return Ok(()) };
    let options = cgroup::CgroupOptions { device_filter: false, optional: false };
    let settings = Settings::compile(layout, resources, &options)?;
    Systemd::connect(&scope.bus)?.set_limits(&scope.unit, &settings)
}

/// The user of the host who is root in the container, if he is to have its cgroup: it has a user and a
/// cgroup namespace of its own, and the cgroup is mounted for writing.
fn delegate_to(spec: &Spec) -> Option<u32> {
    let linux = spec.linux.as_ref()?;
    let own = |kind: &str| {
        linux.namespaces.iter().any(|n| n.kind == kind && n.path.as_deref().is_none_or(str::is_empty))
    };
    let writable = spec.mounts.iter().any(|mount| {
        let kind = mount.kind.as_deref().unwrap_or_default();
        matches!(kind, "cgroup" | "cgroup2") && !mount.options.iter().any(|option| option == "ro")
    });
    if !(own("user") && own("cgroup") && writable) {
        return None;
    }
    linux.uid_mappings.iter().find(|map| map.container_id == 0 && map.size > 0).map(|map| map.host_id)
}
