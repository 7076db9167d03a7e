//! Compiles `linux.resources` to settings.

use super::builder::SettingsBuilder;
use super::common::{escape, invalid, or_unlimited, unsupported};
use super::setting::Settings;
use super::setting::WritePolicy::{IfSupported, Required};
use super::{v1, v2};
use crate::Result;
use crate::bundle::spec::{HugepageLimit, Memory, Rdma, Resources};
use crate::cgroup::controller::Controller;
use crate::cgroup::devices::{DevicePolicy, compile_v1};
use crate::cgroup::layout::Layout;
use crate::cgroup::limit_fields::{cpu_fields, io_fields, is_used, memory_fields};
use crate::cgroup::options::CgroupOptions;
use crate::cgroup::version::CgroupVersion;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Compiles `resources` for the host.
///
/// For memory, shares, quota, period and weights zero means "unchanged", as callers send it; a `pids.limit` of zero
/// is zero.
///
/// # Errors
/// If a field cannot be enforced, with its pointer (`/linux/resources/...`): a controller is missing, a value is out
/// of range, or the cgroup version lacks the field.
pub fn compile_settings(layout: &Layout, resources: &Resources, options: &CgroupOptions) -> Result<Settings> {
    let mut b = SettingsBuilder::new(layout);
    if let Some(memory) = &resources.memory {
        match b.version_if_used(
            Controller::Memory,
            "/linux/resources/memory",
            is_used(&memory_fields(memory)),
        )? {
            Some(CgroupVersion::V1) => v1::memory(&mut b, memory)?,
            Some(CgroupVersion::V2) => v2::memory(&mut b, memory)?,
            None => {}
        }
        memory_warnings(&mut b, memory);
    }
    if let Some(cpu) = &resources.cpu {
        let [cpu_time, _] = cpu_fields(cpu);
        match b.version_if_used(Controller::Cpu, "/linux/resources/cpu", is_used(&cpu_time))? {
            Some(CgroupVersion::V1) => v1::cpu(&mut b, cpu)?,
            Some(CgroupVersion::V2) => v2::cpu(&mut b, cpu)?,
            None => {}
        }
        cpuset(&mut b, cpu.cpus.as_deref(), cpu.mems.as_deref())?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|p| p.limit) {
        pids(&mut b, limit)?;
    }
    if let Some(io) = &resources.block_io {
        match b.version_if_used(Controller::Io, "/linux/resources/blockIO", is_used(&io_fields(io)))? {
            Some(CgroupVersion::V1) => v1::io(&mut b, io),
            Some(CgroupVersion::V2) => v2::io(&mut b, io)?,
            None => {}
        }
    }
    hugepages(&mut b, &resources.hugepage_limits)?;
    if let Some(network) = &resources.network {
        v1::network(&mut b, network)?;
    }
    rdma(&mut b, &resources.rdma)?;
    v2::unified(&mut b, &resources.unified)?;
    if options.device_filter {
        devices(&mut b, DevicePolicy::container(&resources.devices)?)?;
    }
    Ok(b.settings)
}

/// Whether [`compile_settings`] may have to know the controllers of the cgroup2 hierarchy.
pub(crate) fn needs_unified_controllers(layout: &Layout, resources: &Resources) -> bool {
    let cpu = resources.cpu.as_ref();
    let used = [
        (Controller::Memory, resources.memory.as_ref().is_some_and(|memory| is_used(&memory_fields(memory)))),
        (Controller::Cpu, cpu.is_some_and(|cpu| is_used(&cpu_fields(cpu)[0]))),
        (Controller::CpuSet, cpu.is_some_and(|cpu| is_used(&cpu_fields(cpu)[1]))),
        (Controller::Pids, resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some())),
        (Controller::Io, resources.block_io.as_ref().is_some_and(|io| is_used(&io_fields(io)))),
        (Controller::HugeTlb, !resources.hugepage_limits.is_empty()),
        (Controller::Rdma, !resources.rdma.is_empty()),
        (Controller::NetCls, resources.network.is_some()),
        (Controller::NetPrio, resources.network.is_some()),
    ];
    let outside_v1 = |(controller, used)| used && layout.v1_of(controller).is_none();
    layout.unified().is_some() && (!resources.unified.is_empty() || used.into_iter().any(outside_v1))
}

/// Warns about deprecated memory limits.
fn memory_warnings(b: &mut SettingsBuilder<'_>, m: &Memory) {
    for (value, name) in [(m.kernel, "kernel"), (m.kernel_tcp, "kernelTCP")] {
        if value.is_some_and(|v| v != 0) {
            b.warn(format!("/linux/resources/memory/{name} is deprecated and ignored"));
        }
    }
}

/// Adds the CPUs and memory nodes.
fn cpuset(b: &mut SettingsBuilder<'_>, cpus: Option<&str>, mems: Option<&str>) -> Result<()> {
    let fields = [
        ("cpuset.cpus", cpus, "/linux/resources/cpu/cpus"),
        ("cpuset.mems", mems, "/linux/resources/cpu/mems"),
    ];
    for (file, value, pointer) in fields {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            let version = b.version_of(Controller::CpuSet, pointer)?;
            b.push((version, Controller::CpuSet), file, value, pointer, Required);
        }
    }
    Ok(())
}

/// Adds the limit of tasks.
fn pids(b: &mut SettingsBuilder<'_>, limit: i64) -> Result<()> {
    let pointer = "/linux/resources/pids/limit";
    let version = b.version_of(Controller::Pids, pointer)?;
    b.settings.forbids_tasks = limit == 0;
    b.push((version, Controller::Pids), "pids.max", or_unlimited(limit, "max"), pointer, Required);
    Ok(())
}

/// Adds the limits of huge pages.
fn hugepages(b: &mut SettingsBuilder<'_>, limits: &[HugepageLimit]) -> Result<()> {
    for (i, limit) in limits.iter().enumerate() {
        let pointer = format!("/linux/resources/hugepageLimits/{i}");
        let page = &limit.page_size;
        if page.is_empty() || !page.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(invalid(
                format!("{pointer}/pageSize"),
                format!("{page:?} is not a page size such as 2MB"),
            ));
        }
        let version = b.version_of(Controller::HugeTlb, &pointer)?;
        let last = if version == CgroupVersion::V1 { "limit_in_bytes" } else { "max" };
        let at = (version, Controller::HugeTlb);
        b.push(at, format!("hugetlb.{page}.{last}"), limit.limit, format!("{pointer}/limit"), Required);
        // Exceeding the limit of reservations (Linux 5.7) fails in mmap(2); the other limit raises SIGBUS at a page fault.
        let file = format!("hugetlb.{page}.rsvd.{last}");
        b.push(at, file, limit.limit, format!("{pointer}/limit"), IfSupported);
    }
    Ok(())
}

/// Adds the limits of RDMA devices.
fn rdma(b: &mut SettingsBuilder<'_>, devices: &BTreeMap<String, Rdma>) -> Result<()> {
    for (device, limit) in devices {
        let pointer = format!("/linux/resources/rdma/{}", escape(device));
        let version = b.version_of(Controller::Rdma, &pointer)?;
        let mut line = device.clone();
        for (name, value) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
            if let Some(value) = value {
                let _ = write!(line, " {name}={value}");
            }
        }
        if line.len() == device.len() {
            return Err(invalid(pointer, "neither hcaHandles nor hcaObjects is given"));
        }
        b.push((version, Controller::Rdma), "rdma.max", line, pointer, Required);
    }
    Ok(())
}

/// Adds the device policy.
fn devices(b: &mut SettingsBuilder<'_>, policy: DevicePolicy) -> Result<()> {
    let version = if b.layout.v1_of(Controller::Devices).is_some() {
        compile_v1(&policy)?;
        CgroupVersion::V1
    } else if b.layout.unified().is_some() {
        CgroupVersion::V2
    } else {
        return Err(unsupported(
            "/linux/resources/devices",
            "neither the v1 devices hierarchy nor cgroup2 is mounted",
        ));
    };
    b.settings.devices_version = Some(version);
    b.settings.devices = Some(policy);
    Ok(())
}
