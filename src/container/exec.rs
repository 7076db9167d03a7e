//! One more process in a container, under the policy that was kept when it was made.

use super::create::{console, home_in, namespaces};
use super::listener::Agent;
use super::options::Console;
use super::slots::{self, Slots, Sources};
use super::store::Record;
use super::{Container, ExecOptions, ExecProcess, Status, alive_status_by, handoff, members};
use crate::bundle::spec::Process;
use crate::bundle::validate_process;
use crate::cgroup::resctrl::Group;
use crate::cgroup::{Cgroup, CgroupPath, Join, Layout};
use crate::init::launch::{Answer, Launch, Stub};
use crate::plan::{self, Bound, Host, Plan, Policy, compile_exec};
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
        Joining { container: self, record: &record, init, bound, namespaces, options }.launch()
    }
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
}

impl Joining<'_> {
    fn launch(&self) -> Result<ExecProcess> {
        let host = match self.bound.process() {
            Some(process) => Host::for_joining(process)?,
            None => Host::detect()?,
        };
        let cgroup = self.cgroup()?;
        let (theirs, ours) = console(&self.options.console)?;
        let start = |cgroup: Option<&Cgroup>| match self.start(&host, cgroup, theirs.as_ref()) {
            // The root of another user namespace, where perhaps nobody may say which groups he has.
            Err(e)
                if host.privileged
                    && e.errno() == Some(Errno::EPERM)
                    && !plan::privileged().unwrap_or(true) =>
            {
                let host = Host { privileged: false, ..host.clone() };
                self.start(&host, cgroup, theirs.as_ref())
            }
            other => other,
        };
        let stub = match start(cgroup.as_ref()) {
            // The container has divided its cgroup among children, and the kernel puts nobody beside them.
            Err(e) if matches!(e.errno(), Some(Errno::EBUSY | Errno::EOPNOTSUPP)) => {
                let Some(cgroup) = self.cgroup_of_init() else { return Err(e) };
                start(Some(&cgroup))?
            }
            other => other?,
        };
        self.hand_over(&stub, ours).inspect_err(|_| stub.destroy()).map(|console| ExecProcess {
            pid: stub.pid,
            pidfd: stub.pidfd,
            console,
        })
    }

    /// Starts the process in a cgroup.
    fn start(&self, host: &Host, cgroup: Option<&Cgroup>, console: Option<&OwnedFd>) -> Result<Stub> {
        let agent = Agent::connect(self.bound.spec())?;
        let mut join = cgroup.map(|cgroup| self.join(cgroup)).transpose()?;
        let attempt = |join: Option<&Join>| {
            let plan = self.compile(host, join)?;
            self.spawn(&plan, join, console).map(|stub| (plan, stub))
        };
        let (plan, mut stub) = match attempt(join.as_ref()) {
            // A cgroup that the kernel clones nothing into may still be joined.
            Err(_) if join.as_ref().is_some_and(|j| j.directory().is_some()) => {
                if let Some(join) = &mut join {
                    join.use_files()?;
                }
                attempt(join.as_ref())?
            }
            other => other?,
        };
        match self.follow(&plan, &mut stub, agent) {
            Ok(()) => Ok(stub),
            Err(e) => {
                stub.abandon();
                Err(e)
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
    fn cgroup_of_init(&self) -> Option<Cgroup> {
        let ours = self.record.cgroup.unified.as_ref().filter(|_| self.options.cgroups.is_empty())?;
        let cgroup = Cgroup::of_process(&Layout::detect().ok()?, self.record.init.pid).ok()?;
        let below = cgroup.record().unified.as_ref().is_some_and(|at| at != ours && at.starts_with(ours));
        below.then_some(cgroup)
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
            let root = PathBuf::from(format!("/proc/{}/root", self.record.init.pid));
            home_in(&root, p.user.uid)
        });
        let options = plan::ExecOptions {
            id: self.container.id.clone(),
            console: !matches!(self.options.console, Console::None),
            keep_console: matches!(self.options.console, Console::Keep),
            preserve_fds: self.options.preserve_fds,
            home,
            cgroup_files: join.map_or(0, |join| join.files().len()),
            resctrl: self
                .record
                .resctrl
                .iter()
                .flat_map(Group::tasks)
                .map(|p| p.display().to_string())
                .collect(),
            namespaces: members::namespaces(self.record, self.namespaces)?,
            no_new_keyring: self.record.options.no_new_keyring,
        };
        compile_exec(&self.bound, host, &options)
    }

    fn spawn(&self, plan: &Plan, join: Option<&Join>, console: Option<&OwnedFd>) -> Result<Stub> {
        let console = console.map(AsFd::as_fd);
        let sources = Sources { join, console, directory: None, process: Some(self.init) };
        let slots = Slots::open(plan, sources)?;
        let mut null = None;
        Launch {
            blob: plan.encode(),
            presets: slots.numbers(),
            namespaces: plan.spawn_flags,
            cgroup: join.and_then(Join::directory),
            stdio: slots::stdio(&self.options.stdio, &mut null)?,
            preserve: plan.preserve_fds,
            two_stages: plan.two_stages,
            fault: None,
        }
        .begin()
    }

    /// Until the program is executed; the listener of its filter comes before, if there is one.
    fn follow(&self, plan: &Plan, stub: &mut Stub, agent: Option<Agent>) -> Result<()> {
        let (mut answer, listener) = stub.answer_with_descriptor()?;
        stub.follow()?;
        if let (Answer::Turn, Some(listener), Some(agent)) = (answer, listener, agent) {
            let state = self.container.describe(self.record.clone(), Status::Running);
            agent.send(&listener, stub.pid, &state)?;
            answer = stub.answer()?;
        }
        match answer {
            Answer::Executed => Ok(()),
            Answer::Failed(f) => Err(plan.failure(f.step, f.call, f.errno)),
            Answer::Died(_) if self.record.presence()?.alive().is_none() => Err(cannot("stopped")),
            Answer::Died(step) => Err(plan.death(step)),
            other => {
                Err(Error::new(ErrorKind::System, Phase::Launch, "the init stub does not follow its plan")
                    .with_detail(format!("{other:?}")))
            }
        }
    }

    /// Gives what was asked for to those who asked; the terminal's master to the caller.
    fn hand_over(&self, stub: &Stub, console: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        if let Some(path) = &self.options.pidfd_socket {
            handoff::send_descriptor(path, &stub.pidfd, "pidfd", "pidfd socket")?;
        }
        if let Some(path) = &self.options.pid_file {
            handoff::write_pid_file(path, stub.pid)?;
        }
        let Some(ours) = console else { return Ok(None) };
        sys::unix::receive_fd(&ours)
            .map_err(|e| Error::sys(Phase::Process, "recvmsg", e).on("the terminal's socket"))
    }
}

fn cannot(state: &str) -> Error {
    Error::new(ErrorKind::WrongState, Phase::Lifecycle, format!("cannot exec in a {state} container"))
}
