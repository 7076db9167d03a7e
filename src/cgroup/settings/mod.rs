//! Resources as a list of files to write: pure, so that it can be explained and tested without a
//! cgroup.

pub(super) mod apply;
pub(super) mod change;
mod convert;
mod held;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use super::controller::{Controller, Controllers};
use super::create::Options;
use super::devices::DevicePolicy;
use super::layout::Layout;
use crate::bundle::spec::{HugepageLimit, Rdma, Resources};
use crate::{Error, ErrorKind, Phase, Result};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Which hierarchy has the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The v1 hierarchy of the controller.
    V1,
    /// The cgroup2 hierarchy.
    V2,
}

/// What a refusal of the write means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cgroup) enum Rule {
    /// An error.
    Strict,
    /// A missing file is as good: the kernel lacks the feature that would be switched off.
    IfExists,
    /// `EINVAL` may go away once the controller's later settings are written.
    Retry,
    /// A missing file has a substitute, with this value.
    Else(&'static str, String),
    /// The first word is the quota that the file has now (`cpu.max`).
    KeepQuota,
}

/// One value for one file of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The hierarchy.
    pub side: Side,
    /// The controller; `None` for files of the cgroup core.
    pub controller: Option<Controller>,
    /// The file's name.
    pub file: Cow<'static, str>,
    /// What is written.
    pub value: String,
    /// JSON pointer of the value in `config.json`.
    pub pointer: Cow<'static, str>,
    pub(in crate::cgroup) rule: Rule,
}

/// What `resources` mean on this host: files, values, and a device policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub(super) entries: Vec<Setting>,
    pub(super) devices: Option<DevicePolicy>,
    pub(super) devices_on: Option<Side>,
    pub(super) check_memory: Option<u64>,
    pub(super) no_tasks: bool,
    /// The root's `cgroup.controllers`, if it was needed.
    pub(super) available: Option<Controllers>,
    warnings: Vec<String>,
}

impl Settings {
    /// Translates `resources` for the host's layout.
    ///
    /// A field which cannot be enforced is an error with its pointer (`/linux/resources/...`). Zero
    /// is "leave it" for memory, shares, quota, period and weights, as callers send it; a
    /// `pids.limit` of zero is zero.
    ///
    /// # Errors
    /// A missing controller, a value out of range, a field that the layout's cgroup version lacks.
    pub fn compile(layout: &Layout, resources: &Resources, options: &Options) -> Result<Self> {
        let mut c = Compiler { layout, unified: None, out: Self::default() };
        if let Some(memory) = &resources.memory {
            match c.side_if(Controller::Memory, "/linux/resources/memory", v1::uses_memory(memory))? {
                Some(Side::V1) => v1::memory(&mut c, memory)?,
                Some(Side::V2) => v2::memory(&mut c, memory)?,
                None => {}
            }
            v1::memory_warnings(&mut c, memory);
        }
        if let Some(cpu) = &resources.cpu {
            match c.side_if(Controller::Cpu, "/linux/resources/cpu", v1::uses_cpu(cpu))? {
                Some(Side::V1) => v1::cpu(&mut c, cpu)?,
                Some(Side::V2) => v2::cpu(&mut c, cpu)?,
                None => {}
            }
            c.cpuset(cpu.cpus.as_deref(), cpu.mems.as_deref())?;
        }
        if let Some(limit) = resources.pids.as_ref().and_then(|p| p.limit) {
            c.pids(limit)?;
        }
        if let Some(io) = &resources.block_io {
            match c.side_if(Controller::Io, "/linux/resources/blockIO", v1::uses_io(io))? {
                Some(Side::V1) => v1::io(&mut c, io),
                Some(Side::V2) => v2::io(&mut c, io)?,
                None => {}
            }
        }
        c.hugepages(&resources.hugepage_limits)?;
        if let Some(network) = &resources.network {
            v1::network(&mut c, network)?;
        }
        c.rdma(&resources.rdma)?;
        v2::unified(&mut c, &resources.unified)?;
        if options.device_filter {
            c.devices(DevicePolicy::container(&resources.devices)?)?;
        }
        c.out.available = c.unified;
        Ok(c.out)
    }

    /// Whether [`compile`](Self::compile) may have to know the controllers of the cgroup2 hierarchy.
    pub(crate) fn needs_unified_controllers(layout: &Layout, resources: &Resources) -> bool {
        let cpu = resources.cpu.as_ref();
        let named = |list: &Option<String>| list.as_ref().is_some_and(|list| !list.is_empty());
        let used = [
            (Controller::Memory, resources.memory.as_ref().is_some_and(v1::uses_memory)),
            (Controller::Cpu, cpu.is_some_and(v1::uses_cpu)),
            (Controller::CpuSet, cpu.is_some_and(|cpu| named(&cpu.cpus) || named(&cpu.mems))),
            (Controller::Pids, resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some())),
            (Controller::Io, resources.block_io.as_ref().is_some_and(v1::uses_io)),
            (Controller::HugeTlb, !resources.hugepage_limits.is_empty()),
            (Controller::Rdma, !resources.rdma.is_empty()),
            (Controller::NetCls, resources.network.is_some()),
            (Controller::NetPrio, resources.network.is_some()),
        ];
        let outside_v1 = |(controller, used)| used && layout.v1_of(controller).is_none();
        layout.unified().is_some() && (!resources.unified.is_empty() || used.into_iter().any(outside_v1))
    }

    /// The files and values, in the order of writing.
    pub fn entries(&self) -> &[Setting] {
        &self.entries
    }

    /// The device policy, if one is to be enforced.
    pub fn devices(&self) -> Option<&DevicePolicy> {
        self.devices.as_ref()
    }

    /// Fields which the kernel no longer knows and which change nothing, one sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether something here lives in the cgroup2 hierarchy.
    pub fn needs_unified(&self) -> bool {
        self.devices_on == Some(Side::V2) || self.entries.iter().any(|s| s.side == Side::V2)
    }

    /// The controllers of the cgroup2 hierarchy which are written to.
    pub(super) fn unified_controllers(&self) -> Controllers {
        self.entries.iter().filter(|s| s.side == Side::V2).filter_map(|s| s.controller).collect()
    }

    /// Whether a v1 hierarchy with these controllers has something to be written to.
    pub(super) fn touches_v1(&self, controllers: Controllers) -> bool {
        self.v1(controllers).next().is_some()
            || (controllers.contains(Controller::Devices) && self.devices_on == Some(Side::V1))
    }

    pub(super) fn v1(&self, controllers: Controllers) -> impl Iterator<Item = &Setting> {
        self.entries
            .iter()
            .filter(move |s| s.side == Side::V1 && s.controller.is_some_and(|c| controllers.contains(c)))
    }

    pub(super) fn v2(&self) -> impl Iterator<Item = &Setting> {
        self.entries.iter().filter(|s| s.side == Side::V2)
    }
}

/// A refusal of a value.
pub(super) fn invalid(pointer: impl Into<String>, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Cgroup, "invalid resource limit")
        .with_detail(why)
        .with_pointer(pointer)
}

pub(super) fn unsupported(pointer: impl Into<String>, why: impl Into<String>) -> Error {
    Error::unsupported(Phase::Cgroup, pointer, why)
}

/// A name as part of a JSON pointer (RFC 6901).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The number, or what stands for "no limit" where it is negative.
pub(super) fn or_unlimited(value: i64, unlimited: &str) -> String {
    if value < 0 { unlimited.to_owned() } else { value.to_string() }
}

pub(super) struct Compiler<'a> {
    layout: &'a Layout,
    unified: Option<Controllers>,
    out: Settings,
}

impl Compiler<'_> {
    fn unified_controllers(&mut self) -> Result<Controllers> {
        if let Some(known) = self.unified {
            return Ok(known);
        }
        let found = self.layout.unified_controllers()?;
        self.unified = Some(found);
        Ok(found)
    }

    /// Where the controller is.
    pub(super) fn side(&mut self, controller: Controller, pointer: &str) -> Result<Side> {
        if self.layout.v1_of(controller).is_some() {
            return Ok(Side::V1);
        }
        if self.unified_controllers()?.contains(controller) {
            return Ok(Side::V2);
        }
        let name = if self.layout.is_unified() { controller.v2_name() } else { controller.v1_name() };
        Err(unsupported(pointer, format!("the {name} controller is not available on this host")))
    }

    fn side_if(&mut self, controller: Controller, pointer: &str, used: bool) -> Result<Option<Side>> {
        if used { self.side(controller, pointer).map(Some) } else { Ok(None) }
    }

    pub(super) fn push(
        &mut self,
        (side, controller): (Side, Controller),
        file: impl Into<Cow<'static, str>>,
        value: impl std::fmt::Display,
        pointer: impl Into<Cow<'static, str>>,
        rule: Rule,
    ) {
        self.out.entries.push(Setting {
            side,
            controller: Some(controller),
            file: file.into(),
            value: value.to_string(),
            pointer: pointer.into(),
            rule,
        });
    }

    pub(super) fn warn(&mut self, sentence: String) {
        self.out.warnings.push(sentence);
    }

    fn cpuset(&mut self, cpus: Option<&str>, mems: Option<&str>) -> Result<()> {
        let fields = [
            ("cpuset.cpus", cpus, "/linux/resources/cpu/cpus"),
            ("cpuset.mems", mems, "/linux/resources/cpu/mems"),
        ];
        for (file, value, pointer) in fields {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                let side = self.side(Controller::CpuSet, pointer)?;
                self.push((side, Controller::CpuSet), file, value, pointer, Rule::Strict);
            }
        }
        Ok(())
    }

    fn pids(&mut self, limit: i64) -> Result<()> {
        let pointer = "/linux/resources/pids/limit";
        let side = self.side(Controller::Pids, pointer)?;
        self.out.no_tasks = limit == 0;
        self.push((side, Controller::Pids), "pids.max", or_unlimited(limit, "max"), pointer, Rule::Strict);
        Ok(())
    }

    fn hugepages(&mut self, limits: &[HugepageLimit]) -> Result<()> {
        for (i, limit) in limits.iter().enumerate() {
            let pointer = format!("/linux/resources/hugepageLimits/{i}");
            let page = &limit.page_size;
            if page.is_empty() || !page.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(invalid(
                    format!("{pointer}/pageSize"),
                    format!("{page:?} is not a page size such as 2MB"),
                ));
            }
            let side = self.side(Controller::HugeTlb, &pointer)?;
            let last = if side == Side::V1 { "limit_in_bytes" } else { "max" };
            let at = (side, Controller::HugeTlb);
            self.push(
                at,
                format!("hugetlb.{page}.{last}"),
                limit.limit,
                format!("{pointer}/limit"),
                Rule::Strict,
            );
            // Reservations fail at mmap(2) instead of killing at the fault; kernels since 5.7.
            let file = format!("hugetlb.{page}.rsvd.{last}");
            self.push(at, file, limit.limit, format!("{pointer}/limit"), Rule::IfExists);
        }
        Ok(())
    }

    fn rdma(&mut self, devices: &BTreeMap<String, Rdma>) -> Result<()> {
        for (device, limit) in devices {
            let pointer = format!("/linux/resources/rdma/{}", escape(device));
            let side = self.side(Controller::Rdma, &pointer)?;
            let mut line = device.clone();
            for (name, value) in [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)] {
                if let Some(value) = value {
                    let _ = write!(line, " {name}={value}");
                }
            }
            if line.len() == device.len() {
                return Err(invalid(pointer, "neither hcaHandles nor hcaObjects is given"));
            }
            self.push((side, Controller::Rdma), "rdma.max", line, pointer, Rule::Strict);
        }
        Ok(())
    }

    fn devices(&mut self, policy: DevicePolicy) -> Result<()> {
        let side = if self.layout.v1_of(Controller::Devices).is_some() {
            policy.v1_writes()?;
            Side::V1
        } else if self.layout.unified().is_some() {
            Side::V2
        } else {
            return Err(unsupported(
                "/linux/resources/devices",
                "neither the v1 devices hierarchy nor cgroup2 is mounted",
            ));
        };
        self.out.devices_on = Some(side);
        self.out.devices = Some(policy);
        Ok(())
    }
}
