//! A command becomes the lines of a plan.

use super::{Command, Root};
use crate::mount::{MountOptions, Propagation, PropagationKind, options};
use crate::namespace::{NamespaceKind, Namespaces, OpenNamespace};
use crate::plan::{
    ControlStep, Groups, HostStep, Line, MountStep, NamespaceStep, Origin, Plan, ProcessStep, RootfsStep,
    Slot, SlotId, Slots, Source, Step, Turn, Which, kernel_version, privileged,
};
use crate::process::capability::{self, CapabilitySets};
use crate::process::env;
use crate::{Error, ErrorKind, Phase, Result, seccomp};
use nix::errno::Errno;

const CAP_SYS_ADMIN: u32 = 21;

/// Opens the namespaces to join, in the order of joining.
pub(super) fn open(set: Option<&Namespaces>) -> Result<Vec<OpenNamespace>> {
    let mut joined = set.map_or_else(|| Ok(Vec::new()), Namespaces::open)?;
    if !privileged()? {
        // The right to join the others comes with the user namespace.
        joined.sort_by_key(|namespace| namespace.kind != NamespaceKind::User);
    }
    Ok(joined)
}

/// `joined` may be empty: then the plan is only to be looked at.
pub(super) fn compile(command: &Command<'_>, joined: &[OpenNamespace]) -> Result<Plan> {
    let none = Namespaces::new();
    let set = command.namespaces.unwrap_or(&none);
    let kernel = kernel_version()?;
    let mut compiler = Compiler {
        command,
        set,
        lines: Vec::with_capacity(32),
        slots: Slots::default(),
        privileged: privileged()?,
    };
    compiler.check(kernel)?;
    let spawn = compiler.isolation(joined)?;
    compiler.filesystem()?;
    compiler.program()?;
    Ok(Plan::assembled(compiler.lines, compiler.slots, spawn, command.preserve, kernel))
}

struct Compiler<'c> {
    command: &'c Command<'c>,
    set: &'c Namespaces,
    lines: Vec<Line>,
    slots: Slots,
    privileged: bool,
}

fn wrong(phase: Phase, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, phase, what.into())
}

impl Compiler<'_> {
    fn step(&mut self, step: impl Into<Step>) {
        self.lines.push(Line { origin: Origin::Standard, step: step.into() });
    }

    fn slot(&mut self, slot: Slot) -> Result<SlotId> {
        let why = "this takes more descriptors than the init stub can hold";
        let added = self.slots.add(slot);
        added.map(|added| added.id).ok_or_else(|| Error::new(ErrorKind::Unsupported, Phase::Plan, why))
    }

    fn joins(&self, kind: NamespaceKind) -> bool {
        self.set.has(kind) && !self.set.is_new(kind)
    }

    fn check(&self, kernel: (u32, u32)) -> Result<()> {
        let c = self.command;
        let named = [
            ("an argument", c.args.iter().chain([&c.program]).collect::<Vec<_>>()),
            ("an environment variable", c.env.iter().flat_map(|(name, value)| [name, value]).collect()),
            ("a name or path", c.hostname.iter().chain(&c.domainname).chain([&c.directory]).collect()),
        ];
        for (what, texts) in named {
            if texts.iter().any(|text| text.contains('\0')) {
                return Err(wrong(Phase::Process, format!("{what} has a NUL byte")));
            }
        }
        if let Some((name, _)) = c.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
            return Err(wrong(Phase::Process, format!("{name:?} cannot name an environment variable")));
        }
        if !c.directory.starts_with('/') {
            let what = format!("the working directory {:?} is not an absolute path", c.directory);
            return Err(wrong(Phase::Process, what));
        }
        if let Root::Directory(path) = &c.root
            && (!path.starts_with('/') || path.contains('\0'))
        {
            return Err(wrong(Phase::Mount, format!("the root {path:?} is not an absolute path")));
        }
        let own_mounts = self.set.is_new(NamespaceKind::Mount);
        if !own_mounts && (c.proc || !matches!(c.root, Root::Found)) {
            let what = "without a new mount namespace this would change the host's mounts";
            return Err(wrong(Phase::Mount, what).with_hint("add NamespaceKind::Mount to the namespaces"));
        }
        if !self.set.has(NamespaceKind::Uts) && (c.hostname.is_some() || c.domainname.is_some()) {
            let what = "without a UTS namespace of its own this would change the host's name";
            return Err(wrong(Phase::Namespace, what).with_hint("add NamespaceKind::Uts to the namespaces"));
        }
        if self.set.is_new(NamespaceKind::Time) && kernel < (6, 1) {
            let what = "new time namespaces need Linux 6.1, where execve enters them";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Namespace, what));
        }
        if c.seccomp.is_some_and(seccomp::SeccompProgram::notifies) {
            let what = "a filter that notifies is not built yet";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Seccomp, what));
        }
        Ok(())
    }

    /// Flags of the spawn, and whether it takes two stages: setns(2) into a pid namespace is for
    /// children only, into a user namespace it changes what may be made after; and execve(2) in a
    /// new user namespace without maps, such as the stub's own, takes all capabilities.
    ///
    /// A process that joins a pid namespace can be seen there: it comes up when it has everything (`be_born`).
    fn isolation(&mut self, joined: &[OpenNamespace]) -> Result<(u64, bool)> {
        let set = self.set;
        let two_stages = self.joins(NamespaceKind::Pid) || set.has(NamespaceKind::User);
        let files = self.command.cgroup.map_or(0, |join| join.files().len());
        // A cgroup namespace is rooted where its maker is, a time namespace is for the next execve.
        let mut new = set.new_flags() & !NamespaceKind::Time.flag();
        if files > 0 {
            new &= !NamespaceKind::Cgroup.flag();
        }
        let flags = if two_stages { 0 } else { new };
        let into_cgroup = self.command.cgroup.is_some_and(|join| join.directory().is_some());
        self.step(HostStep::Spawn { namespaces: flags, into_cgroup });
        if self.joins(NamespaceKind::Pid) || self.joins(NamespaceKind::User) {
            self.step(ControlStep::Undumpable);
        }
        if files > 0 {
            let slots = (0..files).map(|i| self.slot(Slot::Tasks(i))).collect::<Result<_>>()?;
            self.step(NamespaceStep::JoinCgroup { slots });
        }
        self.join(joined)?;
        if self.joins(NamespaceKind::Pid) {
            if new != 0 {
                self.step(NamespaceStep::Unshare { namespaces: new });
            }
        } else {
            if two_stages {
                self.step(ControlStep::HandOver { namespaces: new });
            }
            self.session();
        }
        self.users();
        if files > 0 && set.is_new(NamespaceKind::Cgroup) {
            self.step(NamespaceStep::Unshare { namespaces: NamespaceKind::Cgroup.flag() });
        }
        self.belongings();
        Ok((flags, two_stages))
    }

    fn session(&mut self) {
        if self.command.session {
            self.step(ProcessStep::NewSession);
        }
    }

    fn be_born(&mut self) {
        if self.joins(NamespaceKind::Pid) {
            self.step(ControlStep::Undumpable);
            self.step(ControlStep::HandOver { namespaces: 0 });
            self.session();
        }
    }

    fn join(&mut self, joined: &[OpenNamespace]) -> Result<()> {
        let opened: Vec<NamespaceKind> = if joined.is_empty() {
            self.set.joined().map(|(kind, _)| kind).collect()
        } else {
            joined.iter().map(|namespace| namespace.kind).collect()
        };
        for kind in opened {
            let slot = self.slot(Slot::Namespace { kind, path: kind.name().into() })?;
            self.step(NamespaceStep::JoinNamespace { slot, which: Which::One(kind) });
        }
        Ok(())
    }

    fn users(&mut self) {
        let maps = self.set.id_maps();
        let mut root = self.set.has(NamespaceKind::User);
        if self.set.is_new(NamespaceKind::User) {
            if !maps.uids.is_empty() || !maps.gids.is_empty() {
                // The stub's program may not be read, which hides /proc/PID from its own user too.
                if !self.privileged {
                    self.step(ControlStep::Dumpable);
                }
                self.step(ControlStep::AwaitHost(Turn::IdMaps));
                self.step(HostStep::WriteIdMaps);
                if !self.privileged {
                    self.step(ControlStep::Undumpable);
                }
            }
            root = [&maps.uids, &maps.gids].iter().all(|ids| ids.iter().any(|map| map.container == 0));
        }
        if root {
            self.step(NamespaceStep::BecomeRoot);
        }
    }

    /// What belongs to the namespaces.
    fn belongings(&mut self) {
        if self.set.is_new(NamespaceKind::Time) {
            // As with the id maps; but where others can look into it already, it stays hidden.
            let shows =
                !self.privileged && !self.joins(NamespaceKind::Pid) && !self.joins(NamespaceKind::User);
            if shows {
                self.step(ControlStep::Dumpable);
            }
            self.step(NamespaceStep::TimeNamespace { offsets: self.set.time_offsets_text() });
            if shows {
                self.step(ControlStep::Undumpable);
            }
        }
        if self.set.is_new(NamespaceKind::Network) {
            self.step(NamespaceStep::Loopback);
        }
        if let Some(name) = &self.command.hostname {
            self.step(NamespaceStep::HostName(name.clone()));
        }
        if let Some(name) = &self.command.domainname {
            self.step(NamespaceStep::DomainName(name.clone()));
        }
    }

    fn filesystem(&mut self) -> Result<()> {
        if !self.set.is_new(NamespaceKind::Mount) {
            return Ok(());
        }
        self.step(RootfsStep::HostPropagation(Propagation::recursive(PropagationKind::Slave)));
        match &self.command.root {
            Root::Found if self.command.proc => self.step(RootfsStep::HostRoot),
            Root::Found => return Ok(()),
            Root::Mount(_) => {
                let slot = self.slot(Slot::Given)?;
                self.step(RootfsStep::Root { path: "a mount".into(), slot: Some(slot) });
            }
            Root::Directory(path) => self.step(RootfsStep::Root { path: path.clone(), slot: None }),
        }
        if self.command.proc {
            let words = ["nosuid", "nodev", "noexec"].map(str::to_owned);
            let options = options::parse(&words)
                .map_err(|e| Error::sys(Phase::Mount, "mount proc", Errno::EINVAL).with_detail(e.message))?;
            let mount = MountStep {
                destination: "/proc".into(),
                from: self.procfs(&options)?,
                options,
                no_symlinks: true,
                label: None,
            };
            self.step(RootfsStep::Mount(Box::new(mount)));
        }
        if !matches!(self.command.root, Root::Found) {
            self.step(RootfsStep::Pivot { move_mount: false });
        }
        Ok(())
    }

    /// A procfs shows the pid namespace of the process that makes it.
    fn procfs(&mut self, options: &MountOptions) -> Result<Source> {
        let (kind, source) = ("proc".to_owned(), "proc".to_owned());
        if !self.joins(NamespaceKind::Pid) {
            return Ok(Source::New { kind, source });
        }
        let name = |kind: NamespaceKind| Some(kind.name().to_owned());
        let user = name(NamespaceKind::User).filter(|_| !self.privileged && self.joins(NamespaceKind::User));
        let options = Box::new(options.clone());
        let slot = self.slot(Slot::Proc { namespace: name(NamespaceKind::Pid), user, options })?;
        Ok(Source::Made { kind, source, slot, idmapped: false })
    }

    fn program(&mut self) -> Result<()> {
        let c = self.command;
        self.step(ProcessStep::ChangeDirectory { path: c.directory.clone() });
        if c.no_new_privs {
            self.step(ProcessStep::NoNewPrivileges);
        }
        let kept = self.privileges()?;
        self.step(ProcessStep::Umask(c.umask));
        let env: Vec<String> = c.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let candidates = env::candidates(&c.program, &env, &c.directory);
        self.step(ControlStep::FindProgram { name: c.program.clone(), candidates });
        self.be_born();
        self.step(ControlStep::CloseDescriptors { preserve: c.preserve });
        let filter = self.filter()?;
        if c.init {
            self.step(ControlStep::stay_as_init(false, c.uid, kept, filter.as_ref()));
        }
        self.step(ProcessStep::ResetSignals);
        if let Some(filter) = filter {
            self.step(filter);
        }
        self.step(ControlStep::Execute { args: c.args.clone(), env });
        Ok(())
    }

    /// The capabilities that an init keeps, if they are not those that this process begins with.
    fn privileges(&mut self) -> Result<Option<CapabilitySets>> {
        let c = self.command;
        if let Some(sets) = &c.capabilities {
            self.step(ProcessStep::BoundingSet { keep: sets.bounding.0, last: capability::last_cap()? });
        }
        if c.uid.is_some() || c.gid.is_some() || c.groups.is_some() {
            self.step(ProcessStep::Identity {
                uid: c.uid,
                gid: c.gid,
                groups: match &c.groups {
                    Some(groups) => Groups::Set(groups.clone()),
                    None if self.privileged => Groups::Set(Vec::new()),
                    None => Groups::Drop,
                },
            });
        }
        let needs_privilege = c.seccomp.is_some() && !c.no_new_privs;
        let extra = if needs_privilege { 1 << CAP_SYS_ADMIN } else { 0 };
        let leaves_root = c.uid.is_some_and(|uid| uid != 0);
        Ok(match &c.capabilities {
            Some(sets) => {
                self.step(ProcessStep::Capabilities { sets: *sets, extra, ambient: sets.ambient.0 });
                Some(*sets)
            }
            // What setresuid(2) has taken from the effective set is needed once more; execve(2) takes
            // it for good.
            None if needs_privilege && leaves_root => {
                self.step(ProcessStep::Capabilities { sets: CapabilitySets::default(), extra, ambient: 0 });
                Some(CapabilitySets::default())
            }
            None => None,
        })
    }

    fn filter(&self) -> Result<Option<ProcessStep>> {
        let Some(filter) = self.command.seccomp else { return Ok(None) };
        if filter.notifies() {
            let why = "the profile notifies, and a command has nobody who takes the listener";
            return Err(Error::unsupported(Phase::Seccomp, "/linux/seccomp/syscalls", why));
        }
        let flags = seccomp::SeccompSupport::probe().flag_word(filter)?;
        Ok(Some(ProcessStep::Seccomp { filter: filter.to_bytes(), flags: flags.into(), listener: None }))
    }
}
