//! What the host side does while the init stub of a container in the making waits for it.

use super::Status;
use super::create::{Making, Until, lost, namespaces, pid_inside};
use super::hooks::{self, Kind, Launcher, Place};
use crate::init::launch::Answer;
use crate::plan::{Step, Turn};
use crate::sys;
use crate::{Error, Phase, Result, namespace};
use std::os::fd::{AsFd, OwnedFd};

impl Making<'_> {
    /// Takes the host side's turns until the stub waits to be recorded, or has executed the program.
    pub(super) fn serve(&mut self) -> Result<()> {
        // The filter of a program that waits for `start` is loaded after that.
        let last = self.until == Until::Created;
        let turns = self.plan.turns().filter(|turn| !last || *turn != Turn::Listener);
        let mut turns = turns.collect::<Vec<_>>().into_iter();
        loop {
            let Some(stub) = &self.stub else { return Err(lost()) };
            let (answer, descriptor) = stub.answer_with_descriptor()?;
            match answer {
                Answer::Executed if self.until == Until::Running => return Ok(()),
                Answer::Created | Answer::Executed => return Err(lost()),
                Answer::Failed(f) => return Err(self.plan.failure(f.step, f.call, f.errno)),
                Answer::Died(step) => return Err(self.plan.death(step)),
                Answer::Turn => {
                    // After the last turn it is created.
                    let Some(turn) = turns.next() else { return Ok(()) };
                    if turn == Turn::Listener {
                        self.listener(&descriptor.ok_or_else(lost)?)?;
                        continue;
                    }
                    self.take(turn)?;
                    if let Some(stub) = &self.stub {
                        stub.go()?;
                    }
                }
            }
        }
    }

    fn take(&mut self, turn: Turn) -> Result<()> {
        match turn {
            Turn::IdMaps => namespace::write_id_maps(self.record.init.pid, self.plan.namespaces.id_maps()),
            Turn::NetDevices => self.move_net_devices(),
            Turn::Scope => self.start_scope(),
            Turn::RuntimeHooks => {
                self.write_before_hooks()?;
                self.run_hooks(Kind::Prestart)?;
                self.run_hooks(Kind::CreateRuntime)
            }
            Turn::ContainerHooks => {
                self.write_before_hooks()?;
                self.run_hooks(Kind::CreateContainer)
            }
            Turn::StartHooks => self.run_hooks(Kind::StartContainer),
            Turn::Listener => Err(lost()),
        }
    }

    fn move_net_devices(&self) -> Result<()> {
        let found = self.plan.lines().iter().find_map(|line| match &line.step {
            Step::MoveNetDevices { devices } => Some((line, devices)),
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

    fn run_hooks(&self, kind: Kind) -> Result<()> {
        let hooks = kind.of(self.bundle.spec.hooks.as_ref());
        if hooks.is_empty() {
            return Ok(());
        }
        let Some(stub) = &self.stub else { return Err(lost()) };
        let status = if kind == Kind::StartContainer { Status::Created } else { Status::Creating };
        let mut state = self.container.describe(self.record.clone(), status);
        let place = if matches!(kind, Kind::Prestart | Kind::CreateRuntime) {
            Place::Host(&self.bundle.path)
        } else {
            state.pid = pid_inside(stub.pid)?;
            Place::Container(stub.pidfd.as_fd(), namespaces(&self.bundle.spec))
        };
        hooks::run(kind, hooks, &state, &Launcher { host: self.host, place, lock: &self.lock })
    }
}
