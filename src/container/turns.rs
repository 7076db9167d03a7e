//! What the host side does while the init stub of a container in the making waits for it.

use super::Status;
use super::create::{Making, Until, namespaces, pid_inside};
use super::hooks::{self, Inside, Kind, Launcher, Place};
use super::{State, members};
use crate::init::launch::{End, HostSide, Stub, lost, serve};
use crate::plan::{Filter, HostStep, Plan, Policy, Step, Turn};
use crate::sys;
use crate::{Error, Phase, Result, namespace};
use std::os::fd::{AsFd, OwnedFd};

impl HostSide for Making<'_> {
    fn launched(&mut self) -> Result<(&mut Stub, &Plan)> {
        Ok((self.stub.as_mut().ok_or_else(lost)?, &self.plan))
    }

    fn take(&mut self, turn: Turn, descriptor: Option<OwnedFd>) -> Result<()> {
        match turn {
            Turn::IdMaps => namespace::write_id_maps(self.record.init.pid, self.plan.namespaces.id_maps()),
            Turn::NetDevices => self.move_net_devices(),
            Turn::Scope => self.start_scope(),
            Turn::RuntimeHooks => {
                self.write_before_hooks()?;
                self.run_hooks(Kind::Prestart, None)?;
                self.run_hooks(Kind::CreateRuntime, None)
            }
            Turn::ContainerHooks => {
                self.write_before_hooks()?;
                self.run_hooks(Kind::CreateContainer, descriptor)
            }
            Turn::StartHooks => self.run_hooks(Kind::StartContainer, None),
            Turn::Listener => self.listener(&descriptor.ok_or_else(lost)?),
            Turn::Born => self.container.directory.write(&self.record),
            Turn::Created | Turn::Mounts | Turn::Made | Turn::Scheduler => Err(lost()),
        }
    }

    fn born(&mut self) -> Result<()> {
        self.identify()
    }
}

impl Making<'_> {
    /// Takes the host side's turns until the stub waits to be recorded, or has executed the program.
    pub(super) fn serve(&mut self) -> Result<()> {
        match (serve(self)?, self.until) {
            (End::Created, Until::Created) | (End::Executed, Until::Running) => self.identify(),
            (End::Created | End::Executed | End::Done, _) => Err(lost()),
        }
    }

    fn move_net_devices(&self) -> Result<()> {
        let found = self.plan.lines().iter().find_map(|line| match &line.step {
            Step::Host(HostStep::MoveNetDevices { devices }) => Some((line, devices)),
            _ => None,
        });
        let (line, devices) = found.ok_or_else(lost)?;
        let path = format!("/proc/{}/ns/net", self.record.init.pid);
        let namespace = sys::fs::cstring(&path)
            .and_then(|name| sys::fs::openat(sys::fs::cwd(), &name, libc::O_RDONLY, 0))
            .map_err(|e| Error::sys(Phase::Namespace, "open namespace", e).on(path))?;
        let names = devices.iter().map(|(name, new)| (name.as_str(), new.as_str()));
        namespace::move_devices(names, namespace).map_err(|e| match line.pointer() {
            Some(pointer) => e.with_pointer(pointer),
            None => e,
        })
    }

    fn listener(&mut self, listener: &OwnedFd) -> Result<()> {
        let agent = self.agent.take().ok_or_else(lost)?;
        let state = self.container.describe(self.record.clone(), Status::Created);
        agent.send(listener, self.record.init.pid, &state)
    }

    /// A hook may ask for the container's state, and what it does is to be undone by poststop hooks
    /// also where this program is killed.
    fn write_before_hooks(&mut self) -> Result<()> {
        if self.record.hooked {
            return Ok(());
        }
        self.record.hooked = true;
        self.container.directory.write(&self.record)
    }

    /// `root` is the host's root directory, as the stub still has it.
    fn run_hooks(&self, kind: Kind, root: Option<OwnedFd>) -> Result<()> {
        let hooks = kind.of(self.bundle.spec.hooks.as_ref());
        if hooks.is_empty() {
            return Ok(());
        }
        let Some(stub) = &self.stub else { return Err(lost()) };
        let mut state = self.container.describe(self.record.clone(), Status::Creating);
        let run = |state: &State, place| {
            hooks::run(kind, hooks, state, &Launcher { kernel: self.host.kernel, place, lock: &self.lock })
        };
        match kind {
            Kind::Prestart | Kind::CreateRuntime | Kind::Poststart | Kind::Poststop => {
                run(&state, Place::Host(&self.bundle.path))
            }
            Kind::CreateContainer => {
                // A process that is to join a pid namespace does so last, and has no number there yet.
                let joined = match self.plan.namespaces.source(namespace::Kind::Pid) {
                    Some(namespace::Source::Path(path)) => path.to_str(),
                    _ => None,
                };
                let mut namespaces = namespaces(&self.bundle.spec);
                if joined.is_some() {
                    namespaces &= !namespace::Kind::Pid.flag();
                    state.pid = 0;
                } else {
                    state.pid = pid_inside(stub.pid)?;
                }
                let cgroup = members::cgroup(&self.record);
                let process = stub.pidfd.as_fd();
                run(&state, Place::Container(Inside { process, namespaces, pid: joined, cgroup, root }))
            }
            Kind::StartContainer => {
                let policy = Policy::of(&self.bundle.spec, Filter::of_lines(self.plan.lines()));
                let (record, init) = (&self.record, stub.pidfd.as_fd());
                self.container.start_container_hooks(record, &self.bundle.spec, init, &policy, &self.lock)
            }
        }
    }
}
