//! Creating a container: the host side's column of a plan, and the way back when a line of it fails.

use super::hooks::Kind;
use super::listener::{self, Agent};
use super::liveness::{self, Identity, Presence};
use super::lock::Lock;
use super::options::Console;
use super::store::{Directory, Record, Stage};
use super::{CgroupManager, Container, CreateOptions, Runtime, clock, handoff, id, notify};
use crate::bundle::annotations::INIT;
use crate::bundle::{Bundle, Spec};
use crate::cgroup::resctrl::Group;
use crate::cgroup::systemd::{Asked, Home, Systemd};
use crate::cgroup::{self, Cgroup, Join};
use crate::init::launch::{Launch, Stub, lost, may_join_by_file};
use crate::init::presets::{Presets, Sources};
use crate::mount::in_root;
use crate::namespace;
use crate::plan::{self, CgroupOutcome, Filter, Host, Plan, Policy, compile, compile_with_cgroup};
use crate::process::{env, passwd};
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Where `create` stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The program waits for `start`.
    Created,
    /// The program runs: one process goes all the way, and nobody calls it.
    Running,
}

pub(super) fn create(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    until: Until,
) -> Result<Container> {
    id::validate(id)?;
    check(options)?;
    let systemd = match options.cgroup_manager {
        CgroupManager::Systemd => Some(Systemd::connect(&options.systemd)?),
        CgroupManager::Cgroupfs | CgroupManager::Disabled => None,
    };
    let mut planned = plan_options(id, bundle, options, until);
    planned.systemd = systemd.as_ref().map(Systemd::home).unwrap_or_default();
    if let Some((directory, variable)) = notify::plan(bundle, options, &runtime.state_root().path.join(id)) {
        planned.notify = Some(directory);
        planned.extra_env.push(variable);
    }
    let host = Host::detect_for(bundle, &planned)?;
    let plan = compile(bundle, &host, &planned)?;
    // The caller has seen the bundle's own warnings already.
    runtime.warn_of(&plan.warnings()[bundle.warnings.len().min(plan.warnings().len())..]);
    let mut record = record(id, bundle, &plan, planned);
    record.resctrl = resctrl(id, bundle, &host)?;
    let (directory, lock) = Directory::create(runtime.state_root(), id)?;
    let container = Container::new(runtime.clone(), directory);
    let mut making = Making {
        container,
        lock,
        record,
        bundle,
        plan,
        outcome: CgroupOutcome::default(),
        host,
        options,
        until,
        systemd,
        asked: Asked::default(),
        stub: None,
        agent: None,
    };
    match making.make() {
        Ok(()) => Ok(making.container),
        Err(error) => Err(making.undo(error)),
    }
}

/// What is asked for beside the configuration, and cannot be.
fn check(options: &CreateOptions) -> Result<()> {
    let paths = [
        (options.pid_file.as_deref(), "pid file"),
        (options.pidfd_socket.as_deref(), "pidfd socket"),
        (
            match &options.console {
                Console::Socket(path) => Some(path.as_path()),
                _ => None,
            },
            "console socket",
        ),
    ];
    paths
        .into_iter()
        .filter_map(|(path, what)| path.map(|p| (p, what)))
        .try_for_each(|(path, what)| handoff::require_absolute(path, what))
}

/// The resctrl groups to be made.
fn resctrl(id: &str, bundle: &Bundle, host: &Host) -> Result<Option<Group>> {
    let config = bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    let (Some(config), Some(root)) = (config, &host.resctrl) else { return Ok(None) };
    let mut group = Group::plan(root, config, id);
    group.look().map_err(|e| e.with_pointer("/linux/intelRdt"))?;
    Ok(Some(group))
}

pub(super) fn record(id: &str, bundle: &Bundle, plan: &Plan, options: plan::Options) -> Record {
    let hooks = bundle.spec.hooks.as_ref();
    let device = root(&bundle.rootfs).and_then(|root| sys::fs::identity(root).ok()).map(|(device, _)| device);
    Record {
        device,
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: clock::now(),
        owner: nix::unistd::getuid().as_raw(),
        annotations: bundle.spec.annotations.clone(),
        start_container: !Kind::StartContainer.of(hooks).is_empty(),
        poststart: !Kind::Poststart.of(hooks).is_empty(),
        poststop: !Kind::Poststop.of(hooks).is_empty(),
        notifies: listener::notifies(&bundle.spec),
        own_pid_namespace: plan.namespaces.is_new(namespace::Kind::Pid),
        options,
        ..Record::new(id)
    }
}

/// What the plan of a container is compiled with.
fn plan_options(id: &str, bundle: &Bundle, options: &CreateOptions, until: Until) -> plan::Options {
    let mut extra_env = Vec::new();
    let asked = bundle.spec.annotations.value(&INIT) == Some("true");
    let init = options.init || asked;
    if options.listen_fds > 0 {
        extra_env.push(format!("LISTEN_FDS={}", options.listen_fds));
        // Of another program the number is not known before it runs, and a wrong one says that the descriptors are
        // another process's.
        if !init && makes_pid_namespace(&bundle.spec) {
            extra_env.push("LISTEN_PID=1".to_owned());
        }
    }
    plan::Options {
        id: id.to_owned(),
        wait_for_start: until == Until::Created,
        program: None,
        console: !matches!(options.console, Console::None),
        keep_console: matches!(options.console, Console::Keep),
        preserve_fds: options.preserve_fds.saturating_add(options.listen_fds),
        extra_env,
        home: home(bundle),
        no_pivot: options.no_pivot,
        no_new_keyring: options.no_new_keyring,
        init,
        optional_cgroup: options.optional_cgroup,
        cgroup_manager: options.cgroup_manager,
        systemd: Home::default(),
        notify: None,
    }
}

/// Whether a container's program is the first process of a new pid namespace.
fn makes_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let kind = Some(namespace::Kind::Pid);
    namespaces.filter(|one| one.path.is_none()).any(|one| namespace::Kind::from_name(&one.kind) == kind)
}

/// The home directory of the process's user, where its environment does not say.
fn home(bundle: &Bundle) -> Option<String> {
    let process = bundle.spec.process.as_ref().filter(|process| env::needs_home(&process.env))?;
    let text = in_root::read(root(&bundle.rootfs)?, "etc/passwd", passwd::LIMIT).ok()?;
    passwd::home(&text, process.user.uid).map(str::to_owned)
}

/// A root directory; none if it cannot be opened.
pub(super) fn root(path: &Path) -> Option<OwnedFd> {
    let path = sys::fs::cstring(path).ok()?;
    sys::fs::openat(sys::fs::cwd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0).ok()
}

/// A container in the making.
pub(super) struct Making<'a> {
    pub(super) container: Container,
    pub(super) lock: Lock,
    pub(super) record: Record,
    pub(super) bundle: &'a Bundle,
    pub(super) plan: Plan,
    /// How the creation of its cgroup turned out.
    pub(super) outcome: CgroupOutcome,
    pub(super) host: Host,
    pub(super) options: &'a CreateOptions,
    pub(super) until: Until,
    pub(super) systemd: Option<Systemd>,
    /// What annotations ask of the unit.
    pub(super) asked: Asked,
    pub(super) stub: Option<Stub>,
    pub(super) agent: Option<Agent>,
}

impl Making<'_> {
    fn make(&mut self) -> Result<()> {
        self.claim_scope()?;
        record_cgroup(&self.plan, &mut self.record)?;
        self.container.directory.write_first(&self.record)?;
        self.listen_for_notifications()?;
        if self.until == Until::Running {
            self.agent = Agent::connect(&self.bundle.spec)?;
        }
        let join = make_cgroup(&self.plan, &self.host, &mut self.record)?;
        self.show_cgroup()?;
        if join.is_some() {
            self.delegate(&Cgroup::open(self.record.cgroup.clone()))?;
        }
        self.make_resctrl()?;
        let console = self.spawn(join)?;
        // The host side's own work is done while the stub does its.
        let policy = Policy::of(&self.bundle.spec, Filter::of_lines(self.plan.lines())).encode()?;
        self.container.directory.write_config(&self.bundle.config, &policy)?;
        self.identify()?;
        match self.until {
            Until::Created => {
                self.serve()?;
                self.record.page = self.stub.as_ref().map(Stub::page).transpose()?;
                self.record.stage = Stage::Created;
                self.record.hooked = true;
                self.container.directory.write(&self.record)?;
                self.hand_over(console)?;
                // From here on it may outlive this program.
                self.stub.as_ref().ok_or_else(lost)?.go()?;
                self.keep_init();
                Ok(())
            }
            Until::Running => self.run(console),
        }
    }

    /// Compiles again if the optional cgroup on cgroup2 was not created: the container is shown its creator's.
    fn show_cgroup(&mut self) -> Result<()> {
        let planned = self.plan.cgroup.as_ref().filter(|planned| planned.options.optional);
        let skipped =
            planned.is_some_and(|p| p.record.unified.is_some()) && self.record.cgroup.unified.is_none();
        if !skipped {
            return Ok(());
        }
        if let Some(layout) = &mut self.host.cgroups {
            layout.read_own()?;
        }
        self.outcome.skipped = true;
        self.plan = compile_with_cgroup(self.bundle, &self.host, &self.record.options, self.outcome)?;
        Ok(())
    }

    /// The plan compiled again, if the process has to join its cgroup by file and the plan has it created there. Its
    /// slots are the same.
    fn joining_by_file(&self) -> Result<Option<Plan>> {
        if !self.plan.starts_in_cgroup() {
            return Ok(None);
        }
        let outcome = CgroupOutcome { joined_by_file: true, ..self.outcome };
        compile_with_cgroup(self.bundle, &self.host, &self.record.options, outcome).map(Some)
    }

    /// The record with the pid is written while the stub works; the one that says that the program
    /// runs is owed to nobody where it has ended already.
    fn run(&mut self, console: Option<OwnedFd>) -> Result<()> {
        self.container.directory.write(&self.record)?;
        self.serve()?;
        let ended = self.stub.as_ref().is_some_and(|stub| sys::process::poll_in(&stub.pidfd, 0) == Ok(true));
        self.record.stage = Stage::Started;
        self.record.hooked = true;
        if !ended || self.record.poststart {
            self.container.directory.write(&self.record)?;
        }
        self.hand_over(console)?;
        self.keep_init();
        if self.record.poststart
            && let Some(pidfd) = self.container.init.get()
        {
            self.container.poststart_hooks(&self.record, &self.bundle.spec, pidfd, &self.lock)?;
        }
        Ok(())
    }

    /// The container keeps the pidfd: nobody has to look the process up again.
    fn keep_init(&mut self) {
        if let Some(stub) = self.stub.take() {
            let _ = self.container.init.set(stub.pidfd);
        }
    }

    fn make_resctrl(&mut self) -> Result<()> {
        let config = self.bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
        match (&mut self.record.resctrl, config) {
            (Some(group), Some(config)) => group.make(config).map_err(|e| e.with_pointer("/linux/intelRdt")),
            _ => Ok(()),
        }
    }

    /// Launches the stub; returns our end of the terminal's socket.
    fn spawn(&mut self, mut join: Option<Join>) -> Result<Option<OwnedFd>> {
        if join.as_ref().is_some_and(|join| join.directory().is_none())
            && let Some(plan) = self.joining_by_file()?
        {
            self.plan = plan;
        }
        let (theirs, ours) = console(&self.options.console)?;
        let listen = || self.container.directory.listen_for_start();
        let recorder = |pid| self.lock.helping(pid);
        let sources = Sources {
            recorder: Some(&recorder),
            console: theirs.as_ref().map(AsFd::as_fd),
            listen: Some(&listen),
            ..Sources::default()
        };
        let presets = Presets::open(&self.plan, sources)?;
        let standard = self.options.stdio.standard()?;
        let fault = self.container.runtime.fault();
        let launch = |plan: &Plan, join: Option<&Join>| {
            self.lock.launch(Launch { plan, presets: &presets, join, standard: &standard, fault })
        };
        let mut stub = match launch(&self.plan, join.as_ref()) {
            Err(e) if may_join_by_file(&e, join.as_ref()) => {
                if let Some(join) = &mut join {
                    join.use_files()?;
                }
                if let Some(plan) = self.joining_by_file()? {
                    self.plan = plan;
                }
                launch(&self.plan, join.as_ref())?
            }
            other => other?,
        };
        // A first process that only clones the final one has nothing that the host side is to know.
        let settled = if self.plan.hands_over_at_once() { stub.settle() } else { Ok(()) };
        self.stub = Some(stub);
        settled.map(|()| ours)
    }

    /// Notes who the init process is, while it cannot have been reaped.
    pub(super) fn identify(&mut self) -> Result<()> {
        let Some(stub) = &self.stub else { return Ok(()) };
        if self.record.init.pid != stub.pid {
            self.record.init = Identity::of(stub.pid)?;
            liveness::boot_id()?.clone_into(&mut self.record.boot);
            if stub.is_second() {
                self.lock.helping(stub.pid)?;
            }
        }
        Ok(())
    }

    /// Gives what was asked for to those who asked.
    fn hand_over(&mut self, console: Option<OwnedFd>) -> Result<()> {
        let Some(stub) = &self.stub else { return Err(lost()) };
        if let Some(path) = &self.options.pidfd_socket {
            handoff::send_descriptor(path, &stub.pidfd, "pidfd", "pidfd socket")?;
        }
        if let Some(ours) = console
            && let Some(master) = master(&ours)?
            && let Ok(mut place) = self.container.console.lock()
        {
            *place = Some(master);
        }
        if let Some(path) = &self.options.pid_file {
            handoff::write_pid_file(path, stub.pid)?;
        }
        Ok(())
    }

    fn undo(mut self, error: Error) -> Error {
        // What has failed on the host side after the stub has failed is a consequence.
        let reason = self.stub.as_ref().and_then(|stub| stub.failure(&self.plan));
        let error = reason.unwrap_or(error);
        if let Some(path) = &self.options.pid_file {
            handoff::remove_pid_file(path, self.record.init.pid);
        }
        let presence = self.stub.take().map_or(Presence::Gone, |stub| Presence::Alive(stub.into_pidfd()));
        self.container.undo(self.record, presence, error, &self.lock)
    }
}

impl Container {
    /// Leaves nothing of a container that could not be made. The error stays the first one.
    pub(super) fn undo(&self, record: Record, presence: Presence, error: Error, lock: &Lock) -> Error {
        let done = self.tear_down(record, presence, lock).and_then(|()| self.directory.remove(lock));
        if let Err(e) = done {
            self.runtime.warn(&e);
        }
        error
    }
}

/// Records the cgroup that is about to be made. What is in the way is not the container's: it is
/// neither recorded nor ever removed.
pub(super) fn record_cgroup(plan: &Plan, record: &mut Record) -> Result<()> {
    if let Some(cgroup) = &plan.cgroup
        && Cgroup::open(cgroup.record.clone()).processes()?.is_empty()
    {
        record.cgroup = cgroup.record.clone();
    }
    Ok(())
}

/// Makes the cgroup, and records what it is really made of.
///
/// None where systemd makes it, around a process that is still to be made.
pub(super) fn make_cgroup(plan: &Plan, host: &Host, record: &mut Record) -> Result<Option<Join>> {
    let planned = plan.cgroup.as_ref().filter(|planned| planned.unit.is_none());
    let (Some(planned), Some(layout)) = (planned, &host.cgroups) else { return Ok(None) };
    match Cgroup::make(layout, planned.record.clone(), &planned.settings, &planned.options) {
        Ok((cgroup, join)) => {
            record.cgroup = cgroup.record().clone();
            Ok(Some(join))
        }
        Err(e) => {
            // It has removed what it had made.
            record.cgroup = cgroup::Record::default();
            Err(e)
        }
    }
}

/// `CLONE_NEW*` of the namespaces which a container does not share with the host.
pub(super) fn namespaces(spec: &Spec) -> u64 {
    let kinds = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    kinds.filter_map(|n| namespace::Kind::from_name(&n.kind)).fold(0, |all, kind| all | kind.flag())
}

/// The number that a process has in its own pid namespace.
pub(super) fn pid_inside(pid: i32) -> Result<i32> {
    let failed = |e| Error::sys(Phase::Hook, "read", e).on(format!("/proc/{pid}/status"));
    let path = sys::fs::cstring(format!("/proc/{pid}/status")).map_err(failed)?;
    let text = sys::fs::read_at(sys::fs::cwd(), &path).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let inside =
        text.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_whitespace().last()?.parse().ok());
    inside.ok_or_else(|| failed(Errno::EPROTO))
}

/// The stub's end of the socket over which the terminal's master goes, and ours if we keep it.
pub(super) fn console(console: &Console) -> Result<(Option<OwnedFd>, Option<OwnedFd>)> {
    match console {
        Console::None => Ok((None, None)),
        Console::Socket(path) => Ok((Some(handoff::connect(path, "console socket")?), None)),
        Console::Keep => {
            let (theirs, ours) = sys::channel::pair().map_err(|e| terminal_error("socketpair", e))?;
            Ok((Some(theirs), Some(ours)))
        }
    }
}

/// The terminal's master, which came before the process was ready.
pub(super) fn master(ours: &OwnedFd) -> Result<Option<OwnedFd>> {
    match sys::unix::receive_now(ours) {
        Err(Errno::EAGAIN) => Err(lost()),
        other => other.map(sys::unix::Message::descriptor).map_err(|e| terminal_error("recvmsg", e)),
    }
}

fn terminal_error(operation: &'static str, errno: Errno) -> Error {
    Error::sys(Phase::Process, operation, errno).on("the terminal's socket")
}
