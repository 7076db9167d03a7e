//! What the host side does while the init stub of a new container waits for it.

use super::creation::{Creation, Goal};
use super::new_scope;
use crate::bundle::HookKind;
use crate::cgroup::Cgroup;
use crate::container::hooks::launcher::{HookLauncher, HookLocation, HookNamespaces};
use crate::container::hooks::runner;
use crate::container::process::pid_namespace::pid_inside;
use crate::container::state::{State, Status};
use crate::container::{lifecycle_hooks, namespaces, status};
use crate::init::launch::{HostSide, LaunchOutcome, Launched, lost, serve};
use crate::init::presets::DescriptorSources;
use crate::plan::{ContainerRoot, Filter, HostStep, HostTurn, Policy, RootfsStep, Step};
use crate::sys;
use crate::{Error, Phase, Result, namespace};
use std::os::fd::{AsFd, OwnedFd};

impl HostSide for Creation<'_> {
    fn launched(&mut self) -> Result<Launched<'_>> {
        let sources = DescriptorSources { recorder: Some(&self.lock), ..DescriptorSources::default() };
        Ok(Launched { stub: self.stub.as_mut().ok_or_else(lost)?, plan: &self.plan, sources })
    }

    fn take(&mut self, turn: HostTurn, descriptor: Option<OwnedFd>) -> Result<()> {
        match turn {
            HostTurn::IdMaps => {
                namespace::write_id_maps(self.record.init.pid, self.plan.namespaces.id_maps())
            }
            HostTurn::NetDevices => move_net_devices(self),
            HostTurn::Scope => new_scope::start(self),
            HostTurn::Cgroup => {
                Cgroup::open(self.record.cgroup.clone()).add(self.stub.as_ref().ok_or_else(lost)?.pid)
            }
            HostTurn::RuntimeHooks => {
                record_hooks(self)?;
                run_hooks(self, HookKind::Prestart, None)?;
                run_hooks(self, HookKind::CreateRuntime, None)
            }
            HostTurn::ContainerHooks => {
                record_hooks(self)?;
                run_hooks(self, HookKind::CreateContainer, descriptor)
            }
            HostTurn::StartHooks => run_hooks(self, HookKind::StartContainer, None),
            HostTurn::Listener => send_listener(self, &descriptor.ok_or_else(lost)?),
            HostTurn::Born => self.container.directory.write(&self.record),
            HostTurn::Created
            | HostTurn::Mounts
            | HostTurn::NewMount
            | HostTurn::Idmap
            | HostTurn::Scheduler => Err(lost()),
        }
    }

    fn handed_over(&mut self) -> Result<()> {
        self.identify_init()
    }
}

/// Serves the stub until it waits to be recorded, or has executed the program.
pub(super) fn serve_stub(creation: &mut Creation<'_>) -> Result<()> {
    match (serve(creation)?, creation.goal) {
        (LaunchOutcome::Created, Goal::Created) | (LaunchOutcome::Executed, Goal::Running) => {
            creation.identify_init()
        }
        (LaunchOutcome::Created | LaunchOutcome::Executed | LaunchOutcome::Done, _) => Err(lost()),
    }
}

fn move_net_devices(creation: &Creation<'_>) -> Result<()> {
    let found = creation.plan.lines().iter().find_map(|line| match &line.step {
        Step::Host(HostStep::MoveNetDevices { devices }) => Some((line, devices)),
        _ => None,
    });
    let (line, devices) = found.ok_or_else(lost)?;
    let path = format!("/proc/{}/ns/net", creation.record.init.pid);
    let namespace = sys::fs::cstring(&path)
        .and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_RDONLY, 0))
        .map_err(|e| Error::sys(Phase::Namespace, "open namespace", e).on(path))?;
    let names = devices.iter().map(|(name, new)| (name.as_str(), new.as_str()));
    namespace::move_devices(names, namespace).map_err(|e| match line.pointer() {
        Some(pointer) => e.with_pointer(pointer),
        None => e,
    })
}

fn send_listener(creation: &mut Creation<'_>, listener: &OwnedFd) -> Result<()> {
    let agent = creation.agent.take().ok_or_else(lost)?;
    let state = status::describe(&creation.container.id, creation.record.clone(), Status::Created);
    agent.send(listener, creation.record.init.pid, &state)
}

/// Writes the record before the first hook: a hook may ask for the container's state, and the poststop hooks must undo its
/// effects even if this process is killed.
fn record_hooks(creation: &mut Creation<'_>) -> Result<()> {
    if creation.record.hooked {
        return Ok(());
    }
    creation.record.hooked = true;
    creation.container.directory.write(&creation.record)
}

/// Runs the hooks of one kind. `root` is the host's root directory, as the stub still sees it.
fn run_hooks(creation: &Creation<'_>, kind: HookKind, root: Option<OwnedFd>) -> Result<()> {
    let hooks = kind.hooks_in(creation.bundle.spec.hooks.as_ref());
    if hooks.is_empty() {
        return Ok(());
    }
    let Some(stub) = &creation.stub else { return Err(lost()) };
    let record = &creation.record;
    let mut state = status::describe(&creation.container.id, record.clone(), Status::Creating);
    let run = |state: &State, location| {
        let launcher = HookLauncher { kernel: creation.host.kernel, location, lock: &creation.lock };
        runner::run(kind, hooks, state, &launcher)
    };
    match kind {
        HookKind::Prestart | HookKind::CreateRuntime | HookKind::Poststart | HookKind::Poststop => {
            run(&state, HookLocation::Host(&creation.bundle.path))
        }
        HookKind::CreateContainer => {
            // A process that joins a pid namespace does so last, and has no pid in it yet.
            let joined = match creation.plan.namespaces.source(namespace::NamespaceKind::Pid) {
                Some(namespace::NamespaceSource::Path(path)) => path.to_str(),
                _ => None,
            };
            let mut namespaces = namespaces::configured(&creation.bundle.spec);
            if joined.is_some() {
                namespaces &= !namespace::NamespaceKind::Pid.flag();
                state.pid = 0;
            } else {
                state.pid = pid_inside(stub.pid)?;
            }
            let (process, cgroup) = (stub.pidfd.as_fd(), record.open_cgroup());
            let path = creation.bundle.rootfs.to_string_lossy();
            let rootfs =
                if covers_host(creation) { ContainerRoot::OverHost } else { ContainerRoot::At(&path) };
            let pid_namespace = joined;
            let container = HookNamespaces { process, namespaces, pid_namespace, cgroup, root, rootfs };
            run(&state, HookLocation::Namespaces(container))
        }
        HookKind::StartContainer => {
            let policy = Policy::of(&creation.bundle.spec, Filter::of_lines(creation.plan.lines()));
            let (spec, init) = (&creation.bundle.spec, stub.pidfd.as_fd());
            lifecycle_hooks::start_container(&creation.container, record, spec, init, &policy, &creation.lock)
        }
    }
}

/// Whether the container's root is attached over the host's: its user namespace may not reach the path.
fn covers_host(creation: &Creation<'_>) -> bool {
    let mut steps = creation.plan.lines().iter().map(|line| &line.step);
    steps.any(|step| matches!(step, Step::Rootfs(RootfsStep::Root { slot: Some(_), .. })))
}
