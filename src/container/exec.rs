//! One more process in a container, under the policy that was kept when it was made.

use super::create::{console, master, namespaces, root};
use super::listener::Agent;
use super::lock::Lock;
use super::options::{Console, Stdio};
use super::store::Record;
use super::{Container, ExecOptions, ExecProcess, Status, alive_status_by, handoff, home, members};
use crate::bundle::spec::{Hook, Process};
use crate::bundle::validate_process;
use crate::cgroup::resctrl::Group;
use crate::cgroup::{Cgroup, CgroupPath, Join};
use crate::init::launch::{End, HostSide, Launch, Stub, lost, may_join_by_file, serve};
use crate::init::presets::{Presets, Sources};
use crate::plan::{self, Bound, Host, Plan, Policy, Turn, compile_exec};
use crate::process::env;
use crate::sys;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

impl Container {
    /// Runs one more process in the container; returns once its execve(2) has happened.
    ///
    /// It joins all the container's namespaces, and its cgroup or one below. It has, whatever `process`
    /// says, the container's seccomp filter, personality and memory policy, and `noNewPrivileges` if the
    /// container's first process was made with it. What `process` does not mention it has as that one:
    /// capabilities, resource limits, the label of AppArmor or SELinux, `oomScoreAdj`, umask, scheduler, I/O
    /// priority, `execCPUAffinity`. Program, environment, working directory, user and terminal are
    /// `process`'s own; [`spec`](Self::spec) has the first process's, to begin from. It may use every
    /// processor that its cgroup has, whatever its caller is bound to.
    ///
    /// # Errors
    /// [`ErrorKind::WrongState`] where the container is stopped or paused; [`ErrorKind::Exec`] with
    /// the program's name and the errno; [`ErrorKind::InvalidConfig`].
    pub fn exec(&self, process: &Process, options: &ExecOptions) -> Result<ExecProcess> {
        let (record, kept) = self.directory.read_kept()?.ok_or_else(|| cannot("stopped"))?;
        let Some((init, letter)) = record.alive()? else { return Err(cannot("stopped")) };
        match alive_status_by(&record, letter)? {
            Status::Creating => return Err(cannot("half-made")),
            Status::Paused if !options.ignore_paused => return Err(cannot("paused")),
            _ => {}
        }
        check(options)?;
        let (errors, warnings) = validate_process(process);
        if !errors.is_empty() {
            return Err(Error::invalid(errors));
        }
        self.runtime.warn_of(&warnings);
        let policy = match kept.policy().and_then(Policy::decode) {
            Some(policy) => policy,
            None => Policy::of(&self.spec()?, None),
        };
        let namespaces = namespaces(policy.spec());
        let bound = policy.bind(process);
        let init = init.as_fd();
        let (container, record) = (self, &record);
        Joining { container, record, init, bound, namespaces, options, program: None, lock: None }.launch()
    }
}

/// Starts a `startContainer` hook: a program of the image, with exactly what the container's own program gets. Its
/// environment is that one's too, unless the hook has another.
pub(super) fn start_hook(
    of: HookOf<'_>,
    policy: Policy,
    process: &Process,
    hook: &Hook,
    stdio: [OwnedFd; 3],
) -> Result<ExecProcess> {
    let HookOf { container, record, init, lock } = of;
    let process = Process {
        args: if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() },
        env: if hook.env.is_empty() { process.env.clone() } else { hook.env.clone() },
        terminal: false,
        console_size: None,
        ..process.clone()
    };
    let options = ExecOptions { stdio: Stdio::Fds(stdio), ignore_paused: true, ..ExecOptions::default() };
    let namespaces = namespaces(policy.spec());
    let (bound, program) = (policy.bind(&process), Some(hook.path.clone()));
    let (options, lock) = (&options, Some(lock));
    Joining { container, record, init, bound, namespaces, options, program, lock }.launch()
}

/// The container of a hook, and the operation that the hook is a part of.
#[derive(Clone, Copy)]
pub(super) struct HookOf<'a> {
    pub(super) container: &'a Container,
    pub(super) record: &'a Record,
    pub(super) init: BorrowedFd<'a>,
    pub(super) lock: &'a Lock,
}

fn check(options: &ExecOptions) -> Result<()> {
    let socket = match &options.console {
        Console::Socket(path) => Some(path.as_path()),
        _ => None,
    };
    let paths = [
        (options.pid_file.as_deref(), "pid file"),
        (options.pidfd_socket.as_deref(), "pidfd socket"),
        (socket, "console socket"),
    ];
    paths.into_iter().try_for_each(|(path, what)| path.map_or(Ok(()), |p| handoff::require_absolute(p, what)))
}

struct Joining<'a> {
    container: &'a Container,
    record: &'a Record,
    init: BorrowedFd<'a>,
    bound: Bound,
    /// Those which the container does not share with the host.
    namespaces: u64,
    options: &'a ExecOptions,
    /// The program, if it is not what the first argument names.
    program: Option<String>,
    /// The lock of the operation that it is a part of: `delete --force` can end it.
    lock: Option<&'a Lock>,
}

impl Joining<'_> {
    fn launch(&self) -> Result<ExecProcess> {
        let mut host = Host::for_joining(self.bound.spec())?;
        if !matches!(self.options.console, Console::None) {
            // A terminal goes out once: there is no second try.
            host.privileged = plan::privileged()?;
        }
        host.privileged &= !self.denies_setgroups()?;
        let cgroup = self.cgroup()?;
        let (theirs, ours) = console(&self.options.console)?;
        let start = |cgroup: Option<&Cgroup>| match self.start(&host, cgroup, theirs.as_ref()) {
            // The root of another user namespace, where perhaps nobody may say which groups he has.
            Err(e)
                if host.privileged
                    && e.errno() == Some(Errno::EPERM)
                    && matches!(plan::privileged(), Ok(false)) =>
            {
                let host = Host { privileged: false, ..host.clone() };
                self.start(&host, cgroup, theirs.as_ref())
            }
            other => other,
        };
        let mut stub = match start(cgroup.as_ref()) {
            // The container has divided its cgroup among children, and the kernel puts nobody beside them.
            Err(e) if matches!(e.errno(), Some(Errno::EBUSY | Errno::EOPNOTSUPP)) => {
                let Some(cgroup) = self.cgroup_of_init()? else { return Err(e) };
                start(Some(&cgroup))?
            }
            other => other?,
        };
        match self.hand_over(&stub, ours) {
            Ok(console) => Ok(ExecProcess { pid: stub.pid, pidfd: stub.pidfd, console }),
            Err(e) => {
                if let Some(path) = &self.options.pid_file {
                    handoff::remove_pid_file(path, stub.pid);
                }
                stub.destroy();
                Err(e)
            }
        }
    }

    fn joins_users(&self) -> bool {
        self.namespaces & libc::CLONE_NEWUSER as u64 != 0
    }

    /// Whether the container's user namespace lets nothing set groups (user_namespaces(7)): an unprivileged user has
    /// made it.
    fn denies_setgroups(&self) -> Result<bool> {
        if !self.joins_users() {
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
        let agent = Agent::connect(self.bound.spec())?;
        let mut join = cgroup.map(|cgroup| self.join(cgroup)).transpose()?;
        let mut plan = self.compile(host, join.as_ref())?;
        let stub = match self.spawn(&plan, join.as_ref(), console) {
            Err(e) if may_join_by_file(&e, join.as_ref()) => {
                if let Some(join) = &mut join {
                    join.use_files()?;
                }
                plan = self.compile(host, join.as_ref())?;
                self.spawn(&plan, join.as_ref(), console)?
            }
            other => other?,
        };
        let mut starting = Starting { joining: self, plan, stub, agent };
        match serve(&mut starting) {
            Ok(End::Executed) => Ok(starting.stub),
            other => {
                starting.stub.destroy();
                match other {
                    Err(stopped) if stopped.died && self.record.presence()?.alive().is_none() => {
                        Err(cannot("stopped"))
                    }
                    Err(stopped) => Err(stopped.error),
                    Ok(End::Created | End::Done | End::Executed) => Err(lost()),
                }
            }
        }
    }

    /// What the process needs to be started in a cgroup.
    fn join(&self, cgroup: &Cgroup) -> Result<Join> {
        cgroup.join().map_err(|e| match e.errno() {
            // The text which scripts know; 0 is what the process writes to say that it means itself.
            Some(errno @ (Errno::ENOENT | Errno::ENODEV)) if !self.options.cgroups.is_empty() => {
                let wanted = cgroup.record().paths().map(|p| p.display().to_string());
                let missing = wanted.filter(|path| !std::path::Path::new(path).exists()).collect::<Vec<_>>();
                Error::sys(Phase::Cgroup, "exec: adding pid 0 to cgroups", errno).on(missing.join(" "))
            }
            _ => e,
        })
    }

    /// Where below the container's cgroup its first process is, unless the caller has said where to go.
    fn cgroup_of_init(&self) -> Result<Option<Cgroup>> {
        match members::cgroup(self.record).filter(|_| self.options.cgroups.is_empty()) {
            Some(cgroup) => cgroup.below_with(self.record.init.pid),
            None => Ok(None),
        }
    }

    /// The cgroup to join: the container's, or one below it.
    fn cgroup(&self) -> Result<Option<Cgroup>> {
        let Some(mut cgroup) = members::cgroup(self.record) else {
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
            cgroup = cgroup.sub(controllers, &CgroupPath::sub(path)?)?;
        }
        Ok(Some(cgroup))
    }

    fn compile(&self, host: &Host, join: Option<&Join>) -> Result<Plan> {
        let process = self.bound.process();
        let home = process.filter(|p| env::needs_home(&p.env)).and_then(|p| {
            let root = root(&PathBuf::from(format!("/proc/{}/root", self.record.init.pid)))?;
            home::of(&root, self.record, p.user.uid)
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
        let resctrl = self.record.resctrl.iter().flat_map(Group::tasks);
        let joined = plan::ExecOptions {
            cgroup_files: join.map_or(0, |join| join.files().len()),
            resctrl: resctrl.map(|path| path.display().to_string()).collect(),
            namespaces: members::namespaces(self.record, self.namespaces)?,
            drop_groups: self.joins_users() && !host.privileged && nix::unistd::geteuid().is_root(),
        };
        compile_exec(&self.bound, host, &options, &joined)
    }

    fn spawn(&self, plan: &Plan, join: Option<&Join>, console: Option<&OwnedFd>) -> Result<Stub> {
        let recorder = |pid| self.helping(pid);
        let (console, process) = (console.map(AsFd::as_fd), Some(self.init));
        let sources = Sources { console, process, recorder: Some(&recorder), ..Sources::default() };
        let presets = Presets::open(plan, sources)?;
        let standard = self.options.stdio.standard()?;
        let launch = Launch { plan, presets: &presets, join, standard: &standard, fault: None };
        match self.lock {
            Some(lock) => lock.launch(launch),
            None => launch.begin(),
        }
    }

    /// Records a process that acts for the operation, if this is a part of one.
    fn helping(&self, pid: i32) -> Result<()> {
        self.lock.map_or(Ok(()), |lock| lock.helping(pid))
    }

    /// Gives what was asked for to those who asked; the terminal's master to the caller.
    fn hand_over(&self, stub: &Stub, console: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        if let Some(path) = &self.options.pidfd_socket {
            handoff::send_descriptor(path, &stub.pidfd, "pidfd", "pidfd socket")?;
        }
        if let Some(path) = &self.options.pid_file {
            handoff::write_pid_file(path, stub.pid)?;
        }
        console.map_or(Ok(None), |ours| master(&ours))
    }
}

/// A process on its way to its execve(2).
struct Starting<'a> {
    joining: &'a Joining<'a>,
    plan: Plan,
    stub: Stub,
    /// Who is to get the listener of its filter, if it has one.
    agent: Option<Agent>,
}

impl HostSide for Starting<'_> {
    fn launched(&mut self) -> Result<(&mut Stub, &Plan)> {
        Ok((&mut self.stub, &self.plan))
    }

    fn take(&mut self, turn: Turn, descriptor: Option<OwnedFd>) -> Result<()> {
        match (turn, descriptor, self.agent.take()) {
            (Turn::Listener, Some(listener), Some(agent)) => {
                let Joining { container, record, .. } = *self.joining;
                let state = container.describe(record.clone(), Status::Running);
                agent.send(&listener, self.stub.pid, &state)
            }
            _ => Err(lost()),
        }
    }

    fn born(&mut self) -> Result<()> {
        self.joining.helping(self.stub.pid)
    }
}

fn cannot(state: &str) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, format!("cannot exec in a {state} container"))
}
