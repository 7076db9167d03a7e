//! One more process in a container, under the policy that was stored when the container was created.

use super::console::{ConsoleSocket, receive_master};
use super::container::Container;
use super::exec_process::ExecProcess;
use super::options::{Console, ExecOptions, Stdio, require_absolute_paths};
use super::process::status_file::permitted_capabilities;
use super::seccomp_agent::SeccompAgent;
use super::state::Status;
use super::store::lock::OperationLock;
use super::store::{Stage, StateRecord, config};
use super::{files, home, namespaces, rootfs, scope, status, unix_socket};
use crate::bundle::spec::{Hook, Process};
use crate::bundle::validate_process;
use crate::cgroup::resctrl::ResctrlGroup;
use crate::cgroup::{Cgroup, Join};
use crate::init::launch::{
    HostSide, Launch, LaunchOutcome, Launched, Stub, is_at_process_limit, lost, may_join_by_file,
    open_presets, serve,
};
use crate::init::presets::{DescriptorSources, HelperRecorder};
use crate::namespace::NamespaceKind;
use crate::plan::{self, Bound, Host, HostTurn, Plan, Policy, compile_exec};
use crate::process::env;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Problem, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Runs one more process in the container; returns once its execve(2) has happened.
pub(super) fn exec(container: &Container, process: &Process, options: &ExecOptions) -> Result<ExecProcess> {
    let (record, journal) =
        config::read_with_record(&container.directory)?.ok_or_else(|| cannot("stopped"))?;
    let Some((init, state)) = record.open_init_if_alive()? else { return Err(cannot("stopped")) };
    match status::of_alive_in_state(&record, state)? {
        Status::Creating => return Err(cannot("half-made")),
        Status::Paused if !options.ignore_paused => return Err(cannot("paused")),
        _ => {}
    }
    let (pid_file, pidfd_socket) = (options.pid_file.as_deref(), options.pidfd_socket.as_deref());
    require_absolute_paths(pid_file, pidfd_socket, &options.console)?;
    let (errors, warnings) = validate_process(process);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    container.runtime.warn_of(&warnings);
    let policy = match journal.policy().and_then(Policy::decode) {
        Some(policy) => policy,
        None => Policy::of(&config::read_spec(&container.directory)?, None),
    };
    let namespaces = namespaces::configured(policy.spec());
    let bound = policy.bind(process);
    // Not by the status: a container that waits can be paused.
    if record.stage == Stage::Created && bound.may_take(permitted_capabilities(record.init.pid)?) {
        return Err(privileged_until_start());
    }
    let root = root_to_join(&record, namespaces)?;
    let (record, init, root) = (&record, init.as_fd(), root.as_ref().map(AsFd::as_fd));
    Execution { container, record, init, root, bound, namespaces, options, program: None, lock: None }
        .launch()
}

/// See [`Bound::may_take`].
fn privileged_until_start() -> Error {
    let text = "cannot exec in a container before it is started";
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, text)
        .with_detail(
            "its first process has CAP_SYS_ADMIN until it loads the seccomp filter, which does not allow the calls \
             of a process that waits, and a process with CAP_SYS_PTRACE could take that capability",
        )
        .with_pointer("/linux/seccomp")
        .with_hint("allow accept4, sendmsg, capset and close in the filter, or set /process/noNewPrivileges")
}

/// Starts a `startContainer` hook: a program of the image, which gets exactly what the container's own program gets. It
/// also has the same environment, unless the hook sets another one.
pub(super) fn start_hook(
    hook_container: HookContainer<'_>,
    policy: Policy,
    process: &Process,
    hook: &Hook,
    stdio: [OwnedFd; 3],
) -> Result<ExecProcess> {
    let HookContainer { container, record, init, lock } = hook_container;
    let process = Process {
        args: if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() },
        env: if hook.env.is_empty() { process.env.clone() } else { hook.env.clone() },
        terminal: false,
        console_size: None,
        ..process.clone()
    };
    let options = ExecOptions { stdio: Stdio::Fds(stdio), ignore_paused: true, ..ExecOptions::default() };
    let namespaces = namespaces::configured(policy.spec());
    let (bound, program) = (policy.bind(&process), Some(hook.path.clone()));
    let (options, lock) = (&options, Some(lock));
    let root = root_to_join(record, namespaces)?;
    let root = root.as_ref().map(AsFd::as_fd);
    Execution { container, record, init, root, bound, namespaces, options, program, lock }.launch()
}

/// The root directory of a container that shares the caller's mount namespace.
fn root_to_join(record: &StateRecord, namespaces: u64) -> Result<Option<OwnedFd>> {
    if namespaces & NamespaceKind::Mount.flag() != 0 {
        return Ok(None);
    }
    let root = rootfs::open(&PathBuf::from(format!("/proc/{}/root", record.init.pid)));
    // The pid may belong to another process by now.
    if record.open_init()?.alive_pidfd().is_none() {
        return Err(cannot("stopped"));
    }
    let failed = || Error::new(ErrorKind::System, Phase::Process, "open the container's root");
    root.ok_or_else(failed).map(Some)
}

/// The container of a hook, and the lock of the operation that runs the hook.
#[derive(Clone, Copy)]
pub(super) struct HookContainer<'a> {
    pub(super) container: &'a Container,
    pub(super) record: &'a StateRecord,
    pub(super) init: BorrowedFd<'a>,
    pub(super) lock: &'a OperationLock,
}

struct Execution<'a> {
    container: &'a Container,
    record: &'a StateRecord,
    init: BorrowedFd<'a>,
    /// Its root directory, if it shares the caller's mount namespace.
    root: Option<BorrowedFd<'a>>,
    bound: Bound,
    /// The namespaces that the container does not share with the host, as `CLONE_NEW*` flags.
    namespaces: u64,
    options: &'a ExecOptions,
    /// The program, if the first argument does not name it.
    program: Option<String>,
    /// The lock of the operation that it is a part of, if any: `delete --force` can then kill it.
    lock: Option<&'a OperationLock>,
}

impl Execution<'_> {
    fn launch(&self) -> Result<ExecProcess> {
        let mut host = Host::for_joining(self.bound.spec())?;
        if !matches!(self.options.console, Console::None) {
            // The terminal is sent only once, so there is no second attempt.
            host.privileged = plan::privileged()?;
        }
        host.privileged &= !self.denies_setgroups()?;
        let cgroup = self.cgroup()?;
        let console = ConsoleSocket::open(&self.options.console)?;
        let start = |cgroup| self.start_as_permitted(&host, cgroup, console.stub.as_ref());
        let mut stub = match start(cgroup.as_ref()) {
            // The container has enabled controllers for child cgroups, so its own cgroup may not have processes.
            Err(e) if matches!(e.errno(), Some(Errno::EBUSY | Errno::EOPNOTSUPP)) => {
                let Some(cgroup) = self.cgroup_of_init()? else { return Err(e) };
                start(Some(&cgroup))?
            }
            other => other?,
        };
        match self.deliver(&stub, console.caller) {
            Ok(console) => Ok(ExecProcess { pid: stub.pid, pidfd: stub.pidfd, console }),
            Err(e) => {
                if let Some(path) = &self.options.pid_file {
                    files::remove_pid_file(path, stub.pid);
                }
                stub.destroy();
                Err(e)
            }
        }
    }

    /// Starts the process in a cgroup, without privileges if it turns out that the caller does not have them.
    fn start_as_permitted(
        &self,
        host: &Host,
        cgroup: Option<&Cgroup>,
        console: Option<&OwnedFd>,
    ) -> Result<Stub> {
        match self.start_by_any_way(host, cgroup, console) {
            // The caller is root in another user namespace, which may not permit setgroups(2).
            Err(e)
                if host.privileged
                    && e.errno() == Some(Errno::EPERM)
                    && matches!(plan::privileged(), Ok(false)) =>
            {
                let host = Host { privileged: false, ..host.clone() };
                self.start_by_any_way(&host, cgroup, console)
            }
            other => other,
        }
    }

    /// Starts the process in a cgroup, which it joins itself, or is moved to if that is not possible.
    fn start_by_any_way(
        &self,
        host: &Host,
        cgroup: Option<&Cgroup>,
        console: Option<&OwnedFd>,
    ) -> Result<Stub> {
        let Some(cgroup) = cgroup else { return self.start(host, None, console) };
        let may_move_last = !self.bound.may_be_reached();
        // A terminal is sent before the clone fails, so there is no second attempt.
        if console.is_some() && may_move_last && !cgroup.has_room_for(2)? {
            return self.start_and_move(host, cgroup, console);
        }
        let by_systemd = self.record.scope.is_some();
        let started = match self.start(host, Some(cgroup), console) {
            Err(e) if by_systemd && scope::may_move_instead(&e) => {
                self.start_moved_first(host, cgroup, console)
            }
            other => other,
        };
        match started {
            Err(e) if console.is_none() && may_move_last && is_at_process_limit(&e) => {
                self.start_and_move(host, cgroup, console)
            }
            other => other,
        }
    }

    fn joins_user_namespace(&self) -> bool {
        self.namespaces & libc::CLONE_NEWUSER as u64 != 0
    }

    /// Whether the container's user namespace denies setgroups(2) (user_namespaces(7)), because an unprivileged user has
    /// created it.
    fn denies_setgroups(&self) -> Result<bool> {
        if !self.joins_user_namespace() {
            return Ok(false);
        }
        let path = format!("/proc/{}/setgroups", self.record.init.pid);
        let read = sys::fs::cstring(&path).and_then(|name| {
            sys::fs::read_once(sys::fs::cwd(), &name, &mut [0; 16]).map(|t| t.starts_with(b"deny"))
        });
        match read {
            Err(Errno::ENOENT | Errno::ESRCH) => Err(cannot("stopped")),
            other => other.map_err(|e| Error::sys(Phase::Process, "read", e).on(path)),
        }
    }

    /// Starts the process in a cgroup.
    fn start(&self, host: &Host, cgroup: Option<&Cgroup>, console: Option<&OwnedFd>) -> Result<Stub> {
        let mut join = cgroup.map(|cgroup| self.join(cgroup)).transpose()?;
        let mut plan = self.compile(host, join.as_ref(), Move::None)?;
        let stub = match self.spawn(&plan, join.as_ref(), console) {
            Err(e) if may_join_by_file(&e, join.as_ref()) => {
                if let Some(join) = &mut join {
                    join.use_files()?;
                }
                plan = self.compile(host, join.as_ref(), Move::None)?;
                self.spawn(&plan, join.as_ref(), console)?
            }
            other => other?,
        };
        self.serve(plan, stub, None)
    }

    /// Starts the process elsewhere, and moves it into the cgroup: a limit of processes stops forks, but no moves.
    fn start_and_move(&self, host: &Host, cgroup: &Cgroup, console: Option<&OwnedFd>) -> Result<Stub> {
        let plan = self.compile(host, None, Move::Last)?;
        let stub = self.spawn(&plan, None, console)?;
        self.serve(plan, stub, Some(cgroup))
    }

    /// Starts the process elsewhere, and has it moved into the cgroup before it joins anything of the container, which works
    /// for an unprivileged caller that may not move processes out of its own cgroup: systemd does it.
    fn start_moved_first(&self, host: &Host, cgroup: &Cgroup, console: Option<&OwnedFd>) -> Result<Stub> {
        let start = |cgroup: &Cgroup| {
            let plan = self.compile(host, None, Move::First)?;
            let stub = self.spawn(&plan, None, console)?;
            self.serve(plan, stub, Some(cgroup))
        };
        match start(cgroup) {
            // The container has enabled controllers for child cgroups, and systemd does not tell that reason.
            Err(e) if e.phase() == Phase::Cgroup => match self.cgroup_of_init()? {
                Some(inner) if inner != *cgroup => start(&inner),
                _ => Err(e),
            },
            other => other,
        }
    }

    /// Takes the host's turns until the process has executed its program.
    fn serve(&self, plan: Plan, stub: Stub, moved: Option<&Cgroup>) -> Result<Stub> {
        let agent = SeccompAgent::connect(self.bound.spec())?;
        let mut starting = StartingProcess { execution: self, plan, stub, agent, moved };
        match serve(&mut starting) {
            Ok(LaunchOutcome::Executed) => {
                self.warn_of(&starting.plan);
                Ok(starting.stub)
            }
            other => {
                starting.stub.destroy();
                match other {
                    Err(stopped) if stopped.died && self.record.open_init()?.alive_pidfd().is_none() => {
                        Err(cannot("stopped"))
                    }
                    Err(stopped) => Err(stopped.error),
                    Ok(LaunchOutcome::Created | LaunchOutcome::Done | LaunchOutcome::Executed) => Err(lost()),
                }
            }
        }
    }

    /// Reports the capabilities that the process does not get: the validation of its object has reported the rest. A hook has
    /// the container's capabilities, whose warnings `create` has reported.
    fn warn_of(&self, plan: &Plan) {
        let is_new = |problem: &&Problem| self.lock.is_none() && problem.pointer == plan::CAPABILITIES;
        let new: Vec<Problem> = plan.warnings().iter().filter(is_new).cloned().collect();
        self.container.runtime.warn_of(&new);
    }

    /// Prepares joining a cgroup.
    fn join(&self, cgroup: &Cgroup) -> Result<Join> {
        cgroup.join().map_err(|e| match e.errno() {
            // Scripts match on this text; a process writes 0 to add itself.
            Some(errno @ (Errno::ENOENT | Errno::ENODEV)) if !self.options.cgroups.is_empty() => {
                let wanted = cgroup.record().paths().map(|p| p.display().to_string());
                let missing = wanted.filter(|path| !std::path::Path::new(path).exists()).collect::<Vec<_>>();
                Error::sys(Phase::Cgroup, "exec: adding pid 0 to cgroups", errno).on(missing.join(" "))
            }
            _ => e,
        })
    }

    /// The cgroup below the container's in which its init process is, unless the caller has chosen the cgroups.
    fn cgroup_of_init(&self) -> Result<Option<Cgroup>> {
        match self.record.open_cgroup().filter(|_| self.options.cgroups.is_empty()) {
            Some(cgroup) => cgroup.descendant_of_process(self.record.init.pid),
            None => Ok(None),
        }
    }

    /// The cgroup to join: the container's, or one below it.
    fn cgroup(&self) -> Result<Option<Cgroup>> {
        let Some(mut cgroup) = self.record.open_cgroup() else {
            return match self.options.cgroups.first() {
                Some(path) => Err(Error::new(ErrorKind::Unsupported, Phase::Cgroup, "cannot join cgroup")
                    .on(path.as_str())
                    .with_detail("the container is in no cgroup")),
                None => Ok(None),
            };
        };
        for entry in &self.options.cgroups {
            let (controllers, path) = match entry.split_once(':') {
                Some((controllers, path)) => (Some(controllers), path),
                None => (None, entry.as_str()),
            };
            cgroup = cgroup.sub(controllers, path)?;
        }
        Ok(Some(cgroup))
    }

    fn compile(&self, host: &Host, join: Option<&Join>, by_host: Move) -> Result<Plan> {
        let process = self.bound.process();
        let home = process.filter(|p| env::needs_home(&p.env)).and_then(|p| {
            let root = rootfs::open(&PathBuf::from(format!("/proc/{}/root", self.record.init.pid)))?;
            home::in_container(&root, self.record, p.user.uid)
        });
        let options = plan::Options {
            id: self.container.id.clone(),
            program: self.program.clone(),
            console: !matches!(self.options.console, Console::None),
            keep_console: matches!(self.options.console, Console::Keep),
            preserve_fds: self.options.preserve_fds,
            home,
            no_new_keyring: self.record.options.no_new_keyring,
            ..plan::Options::default()
        };
        let resctrl = self.record.resctrl.iter().flat_map(ResctrlGroup::tasks);
        let joined = plan::JoinedContainer {
            cgroup_files: join.map_or(0, |join| join.files().len()),
            moved: by_host == Move::Last,
            moved_first: by_host == Move::First,
            resctrl: resctrl.map(|path| path.display().to_string()).collect(),
            namespaces: namespaces::joinable(self.record, self.namespaces)?,
            drop_groups: self.joins_user_namespace() && !host.privileged && nix::unistd::geteuid().is_root(),
        };
        compile_exec(&self.bound, host, &options, &joined)
    }

    fn spawn(&self, plan: &Plan, join: Option<&Join>, console: Option<&OwnedFd>) -> Result<Stub> {
        let sources = DescriptorSources { console: console.map(AsFd::as_fd), ..self.sources() };
        let presets = open_presets(plan, sources)?;
        let standard = self.options.stdio.standard()?;
        let launch = Launch { plan, presets: &presets, join, standard: &standard, fault: None };
        match self.lock {
            Some(lock) => lock.launch(launch),
            None => launch.spawn(),
        }
    }

    /// Where the descriptors of its slots come from, but for the console.
    fn sources(&self) -> DescriptorSources<'_> {
        let recorder = self.lock.map(|lock| lock as &dyn HelperRecorder);
        let given = self.root.as_slice();
        DescriptorSources { process: Some(self.init), recorder, given, ..DescriptorSources::default() }
    }

    /// Sends the pidfd and writes the pid file if requested; returns the terminal's master for the caller.
    fn deliver(&self, stub: &Stub, console: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        if let Some(path) = &self.options.pidfd_socket {
            unix_socket::send_descriptor(path, &stub.pidfd, "pidfd", "pidfd socket")?;
        }
        if let Some(path) = &self.options.pid_file {
            files::write_pid_file(path, stub.pid)?;
        }
        console.map_or(Ok(None), |socket| receive_master(&socket))
    }
}

/// When the host side moves the process into its cgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Move {
    /// The process joins the cgroup itself.
    None,
    /// Before it joins anything else.
    First,
    /// As late as possible.
    Last,
}

/// A process that has not reached its execve(2) yet.
struct StartingProcess<'a> {
    execution: &'a Execution<'a>,
    plan: Plan,
    stub: Stub,
    /// The agent that receives the listener of its filter, if the filter has one.
    agent: Option<SeccompAgent>,
    /// The cgroup that it is moved into.
    moved: Option<&'a Cgroup>,
}

impl HostSide for StartingProcess<'_> {
    fn launched(&mut self) -> Result<Launched<'_>> {
        Ok(Launched { stub: &mut self.stub, plan: &self.plan, sources: self.execution.sources() })
    }

    fn take(&mut self, turn: HostTurn, descriptor: Option<OwnedFd>) -> Result<()> {
        if let (HostTurn::Cgroup, Some(cgroup)) = (turn, self.moved) {
            return scope::add(self.execution.record, cgroup, self.stub.pid);
        }
        match (turn, descriptor, self.agent.take()) {
            (HostTurn::Listener, Some(listener), Some(agent)) => {
                let Execution { container, record, .. } = *self.execution;
                let state = status::describe(&container.id, record.clone(), Status::Running);
                agent.send(&listener, self.stub.pid, &state)
            }
            _ => Err(lost()),
        }
    }

    fn handed_over(&mut self) -> Result<()> {
        self.execution.lock.map_or(Ok(()), |lock| lock.record_helper(self.stub.pid))
    }
}

fn cannot(state: &str) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, format!("cannot exec in a {state} container"))
}
