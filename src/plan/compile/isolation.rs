//! The first lines: cgroup, spawn, namespaces, id maps, and what belongs to the namespaces.

use super::super::step::{
    ControlStep, HostStep, NamespaceStep, Origin, ProcessStep, Slot, Step, Turn, Which,
};
use super::Compiler;
use crate::cgroup::resctrl::ResctrlGroup;
use crate::namespace::{NamespaceKind, NamespaceSource};
use crate::process::sysctl::{self, SysctlNamespace};
use crate::{Error, Phase, Result};

impl Compiler<'_> {
    pub(super) fn isolation(&mut self) -> Result<()> {
        self.two_stages = self.needs_two_stages();
        self.cgroup_line();
        let groups = self.resctrl()?;
        let new = self.new_flags_of_clone()?;
        self.spawn_flags = if self.two_stages { 0 } else { new };
        let scope = self.cgroup.as_ref().is_some_and(|c| c.unit.is_some());
        let into_cgroup = !scope && self.cgroup.as_ref().is_some_and(|c| c.record.unified.is_some());
        self.line(
            self.origin("/linux/namespaces"),
            HostStep::Spawn { namespaces: self.spawn_flags, into_cgroup },
        );
        if self.joins(NamespaceKind::Pid) || self.joins(NamespaceKind::User) {
            self.standard(ControlStep::Undumpable);
        }
        if !scope {
            self.join_cgroup()?;
        }
        self.join_resctrl(&groups)?;
        if !scope {
            self.any_processor();
        }
        if self.two_stages {
            self.oom_score();
        }
        self.join_namespaces()?;
        if self.is_born_late() {
            // The final process comes up when it has everything: see `Compiler::be_born`.
            if new != 0 {
                self.line(self.origin("/linux/namespaces"), NamespaceStep::Unshare { namespaces: new });
            }
        } else {
            if self.two_stages {
                self.line(self.origin("/linux/namespaces"), ControlStep::HandOver { namespaces: new });
            }
            self.standard(ProcessStep::NewSession);
        }
        self.users();
        if !self.two_stages {
            self.oom_score();
        }
        if scope {
            self.await_scope();
            self.any_processor();
        }
        self.cgroup_namespace();
        self.time()?;
        self.names()?;
        self.sysctls()
    }

    /// The kernel cuts the mask down to the processors of the cgroup.
    pub(super) fn any_processor(&mut self) {
        const PROCESSORS: usize = 8192;
        self.standard(ProcessStep::CpuAffinity { mask: vec![0xff; PROCESSORS / 8], asked: false });
    }

    fn origin(&self, pointer: &str) -> Origin {
        if self.bundle.spec.linux.is_some() { Origin::Pointer(pointer.into()) } else { Origin::Standard }
    }

    /// setns(2) into a pid namespace is for children only, and into a user namespace it changes what
    /// may be made after. A new user namespace is without maps at first, and an execve there, such as
    /// the stub's own, takes all capabilities: the stub has to be there before it.
    fn needs_two_stages(&self) -> bool {
        self.joins(NamespaceKind::Pid) || self.namespaces.has(NamespaceKind::User)
    }

    fn joins(&self, kind: NamespaceKind) -> bool {
        self.namespaces.has(kind) && !self.namespaces.is_new(kind)
    }

    fn cgroup_line(&mut self) {
        let Some(cgroup) = self.cgroup.as_ref().filter(|c| c.unit.is_none()) else { return };
        let Some(path) = cgroup.record.paths().next() else { return };
        let path = path.display().to_string();
        self.line(self.cgroup_origin(), HostStep::MakeCgroup { path });
    }

    fn cgroup_origin(&self) -> Origin {
        let named = self.bundle.spec.linux.as_ref().is_some_and(|l| l.cgroups_path.is_some());
        if named { Origin::Pointer("/linux/cgroupsPath".into()) } else { Origin::Standard }
    }

    /// A scope is made around a process: the final one, which waits for it before it makes a cgroup
    /// namespace.
    fn await_scope(&mut self) {
        let Some(cgroup) = &self.cgroup else { return };
        let unit = cgroup.unit.as_ref().map(|unit| unit.name.clone()).unwrap_or_default();
        let path = cgroup.record.paths().next().map(|path| path.display().to_string()).unwrap_or_default();
        self.line(self.cgroup_origin(), ControlStep::AwaitHost(Turn::Scope));
        self.line(self.cgroup_origin(), HostStep::StartScope { unit, path });
    }

    /// Whether the process moves into its cgroup by writing, and not at birth.
    fn joins_cgroup_by_file(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|c| !c.record.v1.is_empty() || c.record.reused || c.unit.is_some())
    }

    /// A cgroup namespace is rooted where its maker is: after it has joined by file. A time namespace
    /// is for the next execve, and its offsets are written first.
    fn new_flags_of_clone(&self) -> Result<u64> {
        let mut flags = self.namespaces.new_flags() & !(libc::CLONE_NEWTIME as u64);
        if self.joins_cgroup_by_file() {
            flags &= !(libc::CLONE_NEWCGROUP as u64);
        }
        if !self.host.makes_namespaces && flags != 0 && !self.namespaces.has(NamespaceKind::User) {
            return Err(Error::unsupported(
                Phase::Namespace,
                "/linux/namespaces",
                "rootless containers need a user namespace",
            )
            .with_hint(
                "add {\"type\": \"user\"} with uidMappings and gidMappings, as `orlop spec --rootless` does",
            ));
        }
        Ok(flags)
    }

    fn join_cgroup(&mut self) -> Result<()> {
        let Some(cgroup) = &self.cgroup else { return Ok(()) };
        let (v1, unified) = (cgroup.record.v1.len(), cgroup.record.unified.is_some());
        self.join_cgroup_files(v1 + usize::from(unified))
    }

    /// Moves into a cgroup by this many files.
    pub(super) fn join_cgroup_files(&mut self, count: usize) -> Result<()> {
        if count > 0 {
            let slots = (0..count).map(|i| self.slot("/linux/cgroupsPath", Slot::Tasks(i)));
            let slots = slots.collect::<Result<_>>()?;
            self.standard(NamespaceStep::JoinCgroup { slots });
        }
        Ok(())
    }

    /// The class of service; the `tasks` files of its groups.
    fn resctrl(&mut self) -> Result<Vec<String>> {
        const POINTER: &str = "/linux/intelRdt";
        let config = self.bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
        let Some(config) = config else { return Ok(Vec::new()) };
        let Some(root) = &self.host.resctrl else {
            return Err(Error::unsupported(Phase::Cgroup, POINTER, "no resctrl file system is mounted")
                .with_hint("mount -t resctrl resctrl /sys/fs/resctrl, where processor and kernel have it"));
        };
        let group = ResctrlGroup::plan(root, config, &self.options.id);
        let path = group.directory.display().to_string();
        self.asked(POINTER, HostStep::MakeResctrl { path, monitor: group.monitor.is_some() });
        Ok(group.tasks().map(|path| path.display().to_string()).collect())
    }

    pub(super) fn join_resctrl(&mut self, tasks: &[String]) -> Result<()> {
        const POINTER: &str = "/linux/intelRdt";
        if tasks.is_empty() {
            return Ok(());
        }
        let slots = tasks.iter().map(|path| self.slot(POINTER, Slot::Resctrl(path.clone())));
        let slots = slots.collect::<Result<_>>()?;
        self.asked(POINTER, NamespaceStep::JoinResctrl { slots });
        Ok(())
    }

    fn join_namespaces(&mut self) -> Result<()> {
        let mut kinds: Vec<(NamespaceKind, String)> = Vec::new();
        for (kind, source) in self.namespaces.joined() {
            match source {
                NamespaceSource::Path(path) => kinds.push((kind, path.display().to_string())),
                _ => {
                    return Err(Error::new(
                        crate::ErrorKind::InvalidArgument,
                        Phase::Plan,
                        "a bundle joins by path",
                    ));
                }
            }
        }
        if !self.host.makes_namespaces {
            // The right to join the others comes with the user namespace.
            kinds.sort_by_key(|(kind, _)| *kind != NamespaceKind::User);
        }
        for (kind, path) in kinds {
            let pointer = self.namespaces.pointer(kind).unwrap_or_default().to_owned();
            let slot = self.slot(&pointer, Slot::Namespace { kind, path })?;
            self.asked(pointer, NamespaceStep::JoinNamespace { slot, which: Which::One(kind) });
        }
        Ok(())
    }

    fn users(&mut self) {
        if self.namespaces.is_new(NamespaceKind::User) {
            // The stub's program may not be read, which hides /proc/PID from its own user too.
            let hidden = !self.host.privileged;
            if hidden {
                self.standard(ControlStep::Dumpable);
            }
            self.asked("/linux/uidMappings", ControlStep::AwaitHost(Turn::IdMaps));
            self.asked("/linux/uidMappings", HostStep::WriteIdMaps);
            if hidden {
                self.standard(ControlStep::Undumpable);
            }
        }
        if self.in_user_namespace() {
            self.standard(NamespaceStep::BecomeRoot);
        }
    }

    fn oom_score(&mut self) {
        if let Some(value) = self.bundle.spec.process.as_ref().and_then(|p| p.oom_score_adj) {
            self.own_file("/process/oomScoreAdj", ProcessStep::OomScoreAdj(value));
        }
    }

    /// A step that writes below /proc/self, which a stub does not own while it is hidden, and that of a user
    /// namespace may not write to then. Where others can already look into it, it stays hidden; into a pid namespace
    /// that is joined it comes later.
    fn own_file(&mut self, pointer: &str, step: impl Into<Step>) {
        let met = |what: fn(&NamespaceStep) -> bool| {
            self.lines.iter().any(|line| matches!(&line.step, Step::Namespace(step) if what(step)))
        };
        let seen = met(|step| {
            matches!(step, NamespaceStep::JoinNamespace { which: Which::One(NamespaceKind::User), .. })
        });
        let within = met(|step| matches!(step, NamespaceStep::BecomeRoot));
        let shows = (!self.host.privileged || within) && !seen;
        if shows {
            self.standard(ControlStep::Dumpable);
        }
        self.asked(pointer, step);
        if shows {
            self.standard(ControlStep::Undumpable);
        }
    }

    fn cgroup_namespace(&mut self) {
        if self.namespaces.is_new(NamespaceKind::Cgroup) && self.joins_cgroup_by_file() {
            let pointer = self.namespaces.pointer(NamespaceKind::Cgroup).unwrap_or_default().to_owned();
            self.asked(pointer, NamespaceStep::Unshare { namespaces: libc::CLONE_NEWCGROUP as u64 });
        }
    }

    fn time(&mut self) -> Result<()> {
        if !self.namespaces.is_new(NamespaceKind::Time) {
            return Ok(());
        }
        let pointer = self.namespaces.pointer(NamespaceKind::Time).unwrap_or_default().to_owned();
        if self.host.kernel < (6, 1) {
            let why = "new time namespaces need Linux 6.1, where execve enters them";
            return Err(Error::unsupported(Phase::Namespace, pointer, why));
        }
        let offsets = self.namespaces.time_offsets_text();
        let pointer = if offsets.is_empty() { pointer } else { "/linux/timeOffsets".into() };
        self.own_file(&pointer, NamespaceStep::TimeNamespace { offsets });
        Ok(())
    }

    fn names(&mut self) -> Result<()> {
        if self.namespaces.is_new(NamespaceKind::Network) {
            self.standard(NamespaceStep::Loopback);
        }
        self.net_devices()?;
        let spec = &self.bundle.spec;
        let names = [
            ("/hostname", spec.hostname.clone(), NamespaceStep::HostName as fn(String) -> NamespaceStep),
            ("/domainname", spec.domainname.clone(), NamespaceStep::DomainName),
        ];
        for (pointer, name, step) in names {
            let Some(name) = name.filter(|n| !n.is_empty()) else { continue };
            if !self.namespaces.has(NamespaceKind::Uts) {
                let why = "unable to set it without a private UTS namespace";
                return Err(Error::unsupported(Phase::Namespace, pointer, why));
            }
            self.foreign(NamespaceKind::Uts, pointer);
            self.asked(pointer, step(name));
        }
        Ok(())
    }

    /// A namespace that is changed may be joined, but must not be the host's own: what its path leads to is known
    /// when it is opened.
    fn foreign(&mut self, kind: NamespaceKind, pointer: &str) {
        if self.joins(kind) && !self.foreign.iter().any(|(known, _)| *known == kind) {
            self.foreign.push((kind, pointer.to_owned()));
        }
    }

    /// From the host side, which is in the devices' namespace still.
    fn net_devices(&mut self) -> Result<()> {
        const POINTER: &str = "/linux/netDevices";
        let Some(linux) = self.bundle.spec.linux.as_ref().filter(|l| !l.net_devices.is_empty()) else {
            return Ok(());
        };
        let refuse = |why: &str| Err(Error::unsupported(Phase::Namespace, POINTER, why));
        if !self.namespaces.has(NamespaceKind::Network) {
            return refuse("unable to move network devices without a private network namespace");
        }
        if !self.host.privileged {
            return refuse(
                "network devices of the host are moved by who has CAP_NET_ADMIN there: not rootless",
            );
        }
        let devices = linux.net_devices.iter().map(|(name, device)| {
            let new = device.name.as_ref().filter(|new| !new.is_empty()).unwrap_or(name);
            (name.clone(), new.clone())
        });
        let step = HostStep::MoveNetDevices { devices: devices.collect() };
        self.asked(POINTER, ControlStep::AwaitHost(Turn::NetDevices));
        self.asked(POINTER, step);
        Ok(())
    }

    fn sysctls(&mut self) -> Result<()> {
        let Some(linux) = &self.bundle.spec.linux else { return Ok(()) };
        let own = |namespace| self.namespaces.has(kind_of(namespace));
        let list = sysctl::parse(&linux.sysctl, own, "/linux").map_err(Error::invalid)?;
        for entry in list {
            self.foreign(kind_of(entry.namespace), &entry.pointer);
            let path = format!("/proc/sys/{}", entry.path);
            self.asked(entry.pointer, NamespaceStep::Sysctl { path, value: entry.value });
        }
        Ok(())
    }
}

fn kind_of(namespace: SysctlNamespace) -> NamespaceKind {
    match namespace {
        SysctlNamespace::Ipc => NamespaceKind::Ipc,
        SysctlNamespace::Network => NamespaceKind::Network,
        SysctlNamespace::Uts => NamespaceKind::Uts,
        SysctlNamespace::User => NamespaceKind::User,
    }
}
