//! The cgroup of a new container.

use super::store::StateRecord;
use crate::Result;
use crate::cgroup::{self, Cgroup, Join};
use crate::plan::{Host, Plan};

/// Records the cgroup that is about to be created. A cgroup that already has processes does not belong to the container: it
/// is neither recorded nor ever removed.
pub(super) fn record(plan: &Plan, record: &mut StateRecord) -> Result<()> {
    if let Some(cgroup) = &plan.cgroup
        && Cgroup::open(cgroup.record.clone()).processes()?.is_empty()
    {
        record.cgroup = cgroup.record.clone();
    }
    Ok(())
}

/// Creates the cgroup, and records what was created. `None` if there is no cgroup, or if systemd creates it around a
/// process later.
pub(super) fn create(plan: &Plan, host: &Host, record: &mut StateRecord) -> Result<Option<Join>> {
    let planned = plan.cgroup.as_ref().filter(|planned| planned.unit.is_none());
    let (Some(planned), Some(layout)) = (planned, &host.cgroups) else { return Ok(None) };
    match Cgroup::create_planned(layout, planned.record.clone(), &planned.settings, &planned.options) {
        Ok((cgroup, join)) => {
            record.cgroup = cgroup.record().clone();
            Ok(Some(join))
        }
        Err(e) => {
            // Everything that was created has been removed again.
            record.cgroup = cgroup::CgroupRecord::default();
            Err(e)
        }
    }
}
