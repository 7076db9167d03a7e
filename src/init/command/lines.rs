//! A command becomes the lines of a plan.

use super::{Command, Root};
use crate::mount::options;
use crate::namespace::{Joined, Kind, Set};
use crate::plan::{
    Groups, Line, MountStep, Origin, Plan, Slot, Source, Step, Turn, kernel_version, privileged,
};
use crate::process::capability::{self, Sets};
use crate::process::env;
use crate::{Error, ErrorKind, Phase, Result, seccomp};
use nix::errno::Errno;

const CAP_SYS_ADMIN: u32 = 21;

/// Opens the namespaces to join, in the order of joining.
pub(super) fn open(set: Option<&Set>) -> Result<Vec<Joined>> {
    let mut joined = set.map_or_else(|| Ok(Vec::new()), Set::open)?;
    if !privileged()? {
        // The right to join the others comes with the user namespace.
        joined.sort_by_key(|namespace| namespace.kind != Kind::User);
    }
    Ok(joined)
}

/// `joined` may be empty: then the plan is only to be looked at.
pub(super) fn compile(command: &Command<'_>, joined: &[Joined]) -> Result<Plan> {
    let none = Set::empty();
    let set = command.namespaces.unwrap_or(&none);
    let kernel = kernel_version()?;
    let mut compiler = Compiler {
        command,
        set,
        lines: Vec::with_capacity(32),
        slots: Vec::new(),
        privileged: privileged()?,
    };
    compiler.check(kernel)?;
    let spawn = compiler.isolation(joined);
    compiler.filesystem()?;
    compiler.program()?;
    Ok(Plan::assembled(compiler.lines, compiler.slots, spawn, command.preserve, kernel))
}

struct Compiler<'c> {
    command: &'c Command<'c>,
    set: &'c Set,
    lines: Vec<Line>,
    slots: Vec<Slot>,
    privileged: bool,
}

fn wrong(phase: Phase, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, phase, what.into())
}

impl Compiler<'_> {
    fn step(&mut self, step: Step) {
        self.lines.push(Line { origin: Origin::Standard, step });
    }

    fn slot(&mut self, slot: Slot) -> usize {
        self.slots.push(slot);
        self.slots.len() - 1
    }

    fn joins(&self, kind: Kind) -> bool {
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
        let own_mounts = self.set.is_new(Kind::Mount);
        if !own_mounts && (c.proc || !matches!(c.root, Root::Found)) {
            let what = "without a new mount namespace this would change the host's mounts";
            return Err(wrong(Phase::Mount, what).with_hint("add Kind::Mount to the namespaces"));
        }
        if !self.set.has(Kind::Uts) && (c.hostname.is_some() || c.domainname.is_some()) {
            let what = "without a UTS namespace of its own this would change the host's name";
            return Err(wrong(Phase::Namespace, what).with_hint("add Kind::Uts to the namespaces"));
        }
        if self.set.is_new(Kind::Time) && kernel < (6, 1) {
            let what = "new time namespaces need Linux 6.1, where execve enters them";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Namespace, what));
        }
        if c.seccomp.is_some_and(seccomp::Program::notifies) {
            let what = "a filter that notifies is not built yet";
            return Err(Error::new(ErrorKind::Unsupported, Phase::Seccomp, what));
        }
        Ok(())
    }

    /// Flags of the spawn, and whether it takes two stages: setns(2) into a pid namespace is for
    /// children only, into a user namespace it changes what may be made after; and execve(2) in a
    /// new user namespace without maps, such as the stub's own, takes all capabilities.
    fn isolation(&mut self, joined: &[Joined]) -> (u64, bool) {
        let set = self.set;
        let two_stages = self.joins(Kind::Pid) || set.has(Kind::User);
        let files = self.command.cgroup.map_or(0, |join| join.files().len());
        // A cgroup namespace is rooted where its maker is, a time namespace is for the next execve.
        let mut new = set.new_flags() & !Kind::Time.flag();
        if files > 0 {
            new &= !Kind::Cgroup.flag();
        }
        let flags = if two_stages { 0 } else { new };
        let into_cgroup = self.command.cgroup.is_some_and(|join| join.directory().is_some());
        self.step(Step::Spawn { namespaces: flags, into_cgroup });
        if self.joins(Kind::Pid) || self.joins(Kind::User) {
            self.step(Step::Undumpable);
        }
        if files > 0 {
            let slots = (0..files).map(|i| self.slot(Slot::Tasks(i))).collect();
            self.step(Step::JoinCgroup { slots });
        }
        self.join(joined);
        if two_stages {
            self.step(Step::HandOver { namespaces: new });
        }
        if self.command.session {
            self.step(Step::NewSession);
        }
        self.users();
        if files > 0 && set.is_new(Kind::Cgroup) {
            self.step(Step::Unshare { namespaces: Kind::Cgroup.flag() });
        }
        self.belongings();
        (flags, two_stages)
    }

    fn join(&mut self, joined: &[Joined]) {
        let opened: Vec<Kind> = if joined.is_empty() {
            self.set.joined().map(|(kind, _)| kind).collect()
        } else {
            joined.iter().map(|namespace| namespace.kind).collect()
        };
        for kind in opened {
            let slot = self.slot(Slot::Namespace(kind.name().into()));
            self.step(Step::JoinNamespace { slot, kind: kind.name(), flags: kind.flag() });
        }
    }

    fn users(&mut self) {
        let maps = self.set.id_maps();
        let mut root = self.set.has(Kind::User);
        if self.set.is_new(Kind::User) {
            if !maps.uids.is_empty() || !maps.gids.is_empty() {
                // The stub's program may not be read, which hides /proc/PID from its own user too.
                if !self.privileged {
                    self.step(Step::Dumpable);
                }
                self.step(Step::AwaitHost(Turn::IdMaps));
                self.step(Step::WriteIdMaps);
                if !self.privileged {
                    self.step(Step::Undumpable);
                }
            }
            root = [&maps.uids, &maps.gids].iter().all(|ids| ids.iter().any(|map| map.container == 0));
        }
        if root {
            self.step(Step::BecomeRoot);
        }
    }

    /// What belongs to the namespaces.
    fn belongings(&mut self) {
        if self.set.is_new(Kind::Time) {
            // As with the id maps; but where others can look into it already, it stays hidden.
            let shows = !self.privileged && !self.joins(Kind::Pid) && !self.joins(Kind::User);
            if shows {
                self.step(Step::Dumpable);
            }
            self.step(Step::TimeNamespace { offsets: self.set.time_offsets_text() });
            if shows {
                self.step(Step::Undumpable);
            }
        }
        if self.set.is_new(Kind::Network) {
            self.step(Step::Loopback);
        }
        if let Some(name) = &self.command.hostname {
            self.step(Step::HostName(name.clone()));
        }
        if let Some(name) = &self.command.domainname {
            self.step(Step::DomainName(name.clone()));
        }
    }

    fn filesystem(&mut self) -> Result<()> {
        if !self.set.is_new(Kind::Mount) {
            return Ok(());
        }
        self.step(Step::HostPropagation { flag: libc::MS_SLAVE, recursive: true });
        match &self.command.root {
            Root::Found if self.command.proc => self.step(Step::HostRoot),
            Root::Found => return Ok(()),
            Root::Mount(_) => {
                let slot = self.slot(Slot::Tree { path: "a mount".into(), recursive: true, idmap: None });
                self.step(Step::Root { path: "a mount".into(), slot: Some(slot) });
            }
            Root::Directory(path) => self.step(Step::Root { path: path.clone(), slot: None }),
        }
        if self.command.proc {
            let words = ["nosuid", "nodev", "noexec"].map(str::to_owned);
            let options = options::parse(&words)
                .map_err(|e| Error::sys(Phase::Mount, "mount proc", Errno::EINVAL).with_detail(e.message))?;
            let mount = MountStep {
                destination: "/proc".into(),
                kind: "proc".into(),
                source: "proc".into(),
                from: Source::New,
                options,
                no_symlinks: true,
                label: None,
            };
            self.step(Step::Mount { mount: Box::new(mount), slot: None });
        }
        if !matches!(self.command.root, Root::Found) {
            self.step(Step::Pivot { move_mount: false });
        }
        Ok(())
    }

    fn program(&mut self) -> Result<()> {
        let c = self.command;
        self.step(Step::ChangeDirectory { path: c.directory.clone() });
        if c.no_new_privs {
            self.step(Step::NoNewPrivileges);
        }
        self.privileges();
        self.step(Step::Umask(c.umask));
        let env: Vec<String> = c.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let candidates = env::candidates(&c.program, &env, &c.directory);
        self.step(Step::FindProgram { name: c.program.clone(), candidates });
        self.step(Step::CloseDescriptors { preserve: c.preserve });
        let filter = self.filter()?;
        // An init that stays is under the same filter as what it looks after.
        if c.init {
            self.lines.extend(filter);
            self.step(Step::StayAsInit { foreground: false });
            self.step(Step::ResetSignals);
        } else {
            self.step(Step::ResetSignals);
            self.lines.extend(filter);
        }
        self.step(Step::Execute { args: c.args.clone(), env });
        Ok(())
    }

    fn privileges(&mut self) {
        let c = self.command;
        if let Some(sets) = &c.capabilities {
            self.step(Step::BoundingSet { keep: sets.bounding.0, last: capability::last_cap() });
        }
        if c.uid.is_some() || c.gid.is_some() || c.groups.is_some() {
            self.step(Step::Identity {
                uid: c.uid.unwrap_or(u32::MAX),
                gid: c.gid.unwrap_or(u32::MAX),
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
        match &c.capabilities {
            Some(sets) => {
                self.step(Step::Capabilities { sets: *sets, extra, ambient: sets.ambient.0 });
            }
            // What setresuid(2) has taken from the effective set is needed once more; execve(2) takes
            // it for good.
            None if needs_privilege && leaves_root => {
                self.step(Step::Capabilities { sets: Sets::default(), extra, ambient: 0 });
            }
            None => {}
        }
    }

    fn filter(&self) -> Result<Option<Line>> {
        let Some(filter) = self.command.seccomp else { return Ok(None) };
        if filter.notifies() {
            let why = "the profile notifies, and a command has nobody who takes the listener";
            return Err(Error::unsupported(Phase::Seccomp, "/linux/seccomp/syscalls", why));
        }
        let flags = seccomp::Support::probe().flag_word(filter)?;
        let step = Step::Seccomp { filter: filter.to_bytes(), flags: flags.into(), listener: None };
        Ok(Some(Line { origin: Origin::Standard, step }))
    }
}
