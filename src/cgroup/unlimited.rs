//! Containers without a cgroup cannot be limited.

use super::settings::{escape, unsupported};
use crate::Result;
use crate::bundle::spec::{BlockIo, Cpu, Memory, Network, Resources};

/// Rejects limits of a container without a cgroup of its own, since nothing would enforce them.
///
/// Zero and "unlimited" do not count as limits. Device rules are ignored: callers send them even if they disable cgroups.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the first limit's pointer.
pub(crate) fn reject_limits(resources: &Resources) -> Result<()> {
    let groups: [fn(&Resources) -> Option<String>; 5] = [memory, cpu, io, others, network];
    match groups.iter().find_map(|first_limit| first_limit(resources)) {
        None => Ok(()),
        Some(field) => Err(unsupported(
            format!("/linux/resources/{field}"),
            "a container without a cgroup cannot be limited (cgroup manager disabled)",
        )),
    }
}

/// The first field that is a limit.
fn first(fields: &[(bool, &str)]) -> Option<String> {
    fields.iter().find(|(limits, _)| *limits).map(|(_, name)| (*name).to_owned())
}

fn positive(value: Option<i64>) -> bool {
    value.is_some_and(|v| v > 0)
}

fn nonzero(value: Option<u64>) -> bool {
    value.is_some_and(|v| v != 0)
}

fn memory(r: &Resources) -> Option<String> {
    let Memory { limit, reservation, swap, swappiness, disable_oom_killer, .. } = r.memory.as_ref()?;
    first(&[
        (positive(*limit), "memory/limit"),
        (positive(*reservation), "memory/reservation"),
        (positive(*swap), "memory/swap"),
        // Callers send -1, as an unsigned number, to leave it unchanged.
        (swappiness.is_some_and(|s| s != u64::MAX), "memory/swappiness"),
        (*disable_oom_killer == Some(true), "memory/disableOOMKiller"),
    ])
}

fn cpu(r: &Resources) -> Option<String> {
    let Cpu { shares, quota, burst, period, realtime_runtime, realtime_period, cpus, mems, idle } =
        r.cpu.as_ref()?;
    let nonempty = |list: &Option<String>| list.as_deref().is_some_and(|l| !l.is_empty());
    first(&[
        (nonzero(*shares), "cpu/shares"),
        (positive(*quota), "cpu/quota"),
        (nonzero(*burst), "cpu/burst"),
        (nonzero(*period), "cpu/period"),
        (positive(*realtime_runtime), "cpu/realtimeRuntime"),
        (nonzero(*realtime_period), "cpu/realtimePeriod"),
        (nonempty(cpus), "cpu/cpus"),
        (nonempty(mems), "cpu/mems"),
        (idle.is_some_and(|i| i != 0), "cpu/idle"),
    ])
}

fn io(r: &Resources) -> Option<String> {
    let io: &BlockIo = r.block_io.as_ref()?;
    let weight = |w: Option<u16>| w.is_some_and(|w| w != 0);
    first(&[
        (weight(io.weight), "blockIO/weight"),
        (weight(io.leaf_weight), "blockIO/leafWeight"),
        (!io.weight_device.is_empty(), "blockIO/weightDevice"),
        (!io.throttle_read_bps_device.is_empty(), "blockIO/throttleReadBpsDevice"),
        (!io.throttle_write_bps_device.is_empty(), "blockIO/throttleWriteBpsDevice"),
        (!io.throttle_read_iops_device.is_empty(), "blockIO/throttleReadIOPSDevice"),
        (!io.throttle_write_iops_device.is_empty(), "blockIO/throttleWriteIOPSDevice"),
    ])
}

fn others(r: &Resources) -> Option<String> {
    let pids = r.pids.as_ref().and_then(|p| p.limit);
    if pids.is_some_and(|limit| limit >= 0) {
        return Some("pids/limit".into());
    }
    if !r.hugepage_limits.is_empty() {
        return Some("hugepageLimits/0".into());
    }
    let rdma = r.rdma.keys().next().map(|device| format!("rdma/{}", escape(device)));
    rdma.or_else(|| r.unified.keys().next().map(|file| format!("unified/{}", escape(file))))
}

fn network(r: &Resources) -> Option<String> {
    let Network { class_id, priorities } = r.network.as_ref()?;
    first(&[
        (class_id.is_some_and(|id| id != 0), "network/classID"),
        (!priorities.is_empty(), "network/priorities"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn refused(json: &str) -> Option<String> {
        let spec = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"resources": {json}}}}}"#);
        let spec = crate::bundle::Spec::from_json(spec.as_bytes()).unwrap();
        let e = reject_limits(&spec.linux.unwrap().resources.unwrap()).err()?;
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        e.pointer().map(|p| p.trim_start_matches("/linux/resources/").to_owned())
    }

    #[test]
    fn values_that_limit_nothing_are_accepted() {
        for json in [
            "{}",
            r#"{"devices": [{"allow": false, "access": "rwm"}]}"#,
            r#"{"memory": {"limit": -1, "swap": 0, "useHierarchy": true}, "cpu": {"shares": 0, "quota": -1}}"#,
            r#"{"pids": {"limit": -1}, "blockIO": {"weight": 0}, "network": {}}"#,
        ] {
            assert_eq!(refused(json), None, "{json}");
        }
    }

    #[test]
    fn every_limit_is_rejected_with_its_pointer() {
        for (json, field) in [
            (r#"{"memory": {"limit": 1}}"#, "memory/limit"),
            (r#"{"memory": {"swappiness": 0}}"#, "memory/swappiness"),
            (r#"{"cpu": {"shares": 2}}"#, "cpu/shares"),
            (r#"{"cpu": {"cpus": "0"}}"#, "cpu/cpus"),
            (r#"{"pids": {"limit": 0}}"#, "pids/limit"),
            (r#"{"blockIO": {"weight": 10}}"#, "blockIO/weight"),
            (r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#, "hugepageLimits/0"),
            (r#"{"network": {"classID": 1}}"#, "network/classID"),
            (r#"{"rdma": {"mlx5/1": {"hcaHandles": 1}}}"#, "rdma/mlx5~11"),
            (r#"{"unified": {"memory.high": "1"}}"#, "unified/memory.high"),
        ] {
            assert_eq!(refused(json).as_deref(), Some(field), "{json}");
        }
    }
}
