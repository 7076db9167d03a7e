//! Containers without a cgroup cannot be limited.

use super::limit_fields::{FieldUse, Fields, cpu_fields, io_fields, memory_fields, network_fields};
use super::settings::{escape, unsupported};
use crate::Result;
use crate::bundle::spec::Resources;

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
fn first(fields: &Fields) -> Option<String> {
    fields.iter().find(|(_, field)| *field == FieldUse::Limit).map(|(name, _)| (*name).to_owned())
}

fn memory(r: &Resources) -> Option<String> {
    first(&memory_fields(r.memory.as_ref()?))
}

fn cpu(r: &Resources) -> Option<String> {
    cpu_fields(r.cpu.as_ref()?).iter().find_map(first)
}

fn io(r: &Resources) -> Option<String> {
    first(&io_fields(r.block_io.as_ref()?))
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
    first(&network_fields(r.network.as_ref()?))
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
