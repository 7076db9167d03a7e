//! The processors and memory nodes of a cgroup.

use super::types::CpuSetStats;
use crate::Result;
use crate::bundle::parse_id_list;
use crate::cgroup::dir::DirRef;
use nix::errno::Errno;

pub(super) fn cpuset_v1(cgroup: DirRef<'_>) -> Result<CpuSetStats> {
    let switch = |name: &str| Ok::<_, crate::Error>(cgroup.number(&format!("cpuset.{name}"))?.unwrap_or(0));
    let level = cgroup.text("cpuset.sched_relax_domain_level")?;
    Ok(CpuSetStats {
        cpus: ids(cgroup, "cpuset.cpus")?.unwrap_or_default(),
        mems: ids(cgroup, "cpuset.mems")?.unwrap_or_default(),
        cpu_exclusive: switch("cpu_exclusive")?,
        mem_hardwall: switch("mem_hardwall")?,
        mem_exclusive: switch("mem_exclusive")?,
        memory_migrate: switch("memory_migrate")?,
        memory_spread_page: switch("memory_spread_page")?,
        memory_spread_slab: switch("memory_spread_slab")?,
        memory_pressure: switch("memory_pressure")?,
        sched_load_balance: switch("sched_load_balance")?,
        sched_relax_domain_level: level.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    })
}

pub(super) fn cpuset_v2(cgroup: DirRef<'_>) -> Result<Option<CpuSetStats>> {
    let Some(cpus) = ids(cgroup, "cpuset.cpus.effective")? else { return Ok(None) };
    let mems = ids(cgroup, "cpuset.mems.effective")?.unwrap_or_default();
    Ok(Some(CpuSetStats { cpus, mems, ..CpuSetStats::default() }))
}

/// The numbers of a list such as `0-3,7`; `None` if the file does not exist.
fn ids(cgroup: DirRef<'_>, file: &str) -> Result<Option<Vec<u32>>> {
    let Some(text) = cgroup.text(file)? else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(Some(Vec::new()));
    }
    match parse_id_list(text.trim()) {
        Ok(ranges) => Ok(Some(ranges.into_iter().flatten().collect())),
        Err(why) => Err(cgroup.failed("read", file, Errno::EPROTO).with_detail(format!("{text:?}: {why}"))),
    }
}
