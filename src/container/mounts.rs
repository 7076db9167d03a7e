//! Mounts into a running container, and out of it.
//!
//! The host side opens what is bound; a launched stub joins the container's namespaces, makes the mount points
//! below the container's root, attaches, and ends. Nothing of the calling process is changed.

use super::members;
use super::options::Stdio;
use super::slots::{self, Slots, Sources};
use super::store::Record;
use super::{Container, Status};
use crate::bundle::spec::{Mount, Process};
use crate::bundle::{Bundle, validate};
use crate::init::launch::{Answer, Launch};
use crate::plan::{Host, Plan, Step, compile_mounts, compile_unmounts};
use crate::{Error, ErrorKind, Phase, Problem, Result};
use std::os::fd::{AsFd, OwnedFd};

/// Why a change has stopped, and at which line of its plan.
struct Stopped {
    line: u16,
    error: Error,
}

impl Container {
    /// Mounts these in a container whose init process lives, in their order, as if its configuration had named
    /// them: the same options, destinations below the container's root, missing mount points made there. A
    /// relative source is below the bundle. Where one fails, those before it are unmounted again.
    ///
    /// The container's configuration stays as it was: the next one made from it is without them.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::InvalidConfig`] and [`ErrorKind::Unsupported`] (a cgroup, a root
    /// that was not pivoted) with the place in `/mounts`; those of the system.
    pub fn add_mounts(&self, mounts: &[Mount]) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, init) = self.with_root()?;
        let mut spec = self.spec()?;
        spec.mounts = mounts.to_vec();
        let of_mounts = |problem: &Problem| problem.pointer.starts_with("/mounts");
        let (mut errors, mut warnings) = validate(&spec);
        errors.retain(of_mounts);
        warnings.retain(of_mounts);
        if !errors.is_empty() {
            return Err(Error::invalid(errors));
        }
        self.runtime.warn_of(&warnings);
        let namespaces = members::namespaces(&record, super::create::namespaces(&spec))?;
        let (path, rootfs) = (record.bundle.clone(), record.rootfs.clone());
        let bundle = Bundle { path, spec, config: Vec::new(), rootfs, warnings: Vec::new() };
        let host = Host::for_joining(&Process::default())?;
        let plan = compile_mounts(&bundle, &host, namespaces)?;
        change(&plan, &init).map_err(|stopped| {
            let done: Vec<&str> = mounted(&plan, stopped.line).into_iter().rev().collect();
            if !done.is_empty()
                && let Err(again) = change(&compile_unmounts(&done, &host, namespaces), &init)
            {
                self.runtime.warn(&again.error);
            }
            stopped.error
        })
    }

    /// Unmounts what is mounted at the destinations of these (nothing else of them counts), with all that is
    /// mounted below, in a container whose init process lives. A process that uses files of it keeps them. No
    /// symbolic link is followed to a destination: what leads elsewhere by now is refused.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::InvalidArgument`] for a destination that is relative or the root;
    /// `EINVAL` where nothing is mounted.
    pub fn remove_mounts(&self, mounts: &[Mount]) -> Result<()> {
        let _lock = self.directory.lock()?;
        let (record, init) = self.with_root()?;
        let destinations: Vec<&str> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        let wrong = |path: &str| {
            let parts = || path.split('/').filter(|part| !part.is_empty() && *part != ".");
            !path.starts_with('/') || parts().next().is_none() || parts().any(|part| part == "..")
        };
        if let Some((i, path)) = destinations.iter().enumerate().find(|(_, path)| wrong(path)) {
            return Err(Error::new(ErrorKind::InvalidArgument, Phase::Mount, "cannot unmount")
                .on(format!("{path:?}"))
                .with_detail("a destination is an absolute path in the container, and not its root")
                .with_pointer(format!("/mounts/{i}/destination")));
        }
        let namespaces = members::namespaces(&record, super::create::namespaces(&self.spec()?))?;
        let host = Host::for_joining(&Process::default())?;
        change(&compile_unmounts(&destinations, &host, namespaces), &init).map_err(|stopped| stopped.error)
    }

    /// The record and the init process of a container that has a root of its own.
    fn with_root(&self) -> Result<(Record, OwnedFd)> {
        let (record, status) = self.alive_record()?;
        if status == Status::Creating {
            return Err(super::not_running());
        }
        if record.options.no_pivot {
            return Err(Error::new(ErrorKind::Unsupported, Phase::Mount, "cannot mount in container")
                .on(self.id.as_str())
                .with_detail("it was made with no_pivot: the root of its mount namespace is the host's"));
        }
        let init = record.presence()?.alive().ok_or_else(super::not_running)?;
        Ok((record, init))
    }
}

/// Launches the process that does it, and waits for its end.
fn change(plan: &Plan, init: &OwnedFd) -> Result<(), Stopped> {
    let early = |error| Stopped { line: 0, error };
    let sources = Sources { process: Some(init.as_fd()), ..Sources::default() };
    let slots = Slots::open(plan, sources).map_err(early)?;
    let mut null = None;
    let stub = Launch {
        blob: plan.encode(),
        presets: slots.numbers(),
        namespaces: 0,
        cgroup: None,
        stdio: slots::stdio(&Stdio::Null, &mut null).map_err(early)?,
        preserve: 0,
        two_stages: true,
        fault: None,
    }
    .spawn()
    .map_err(early)?;
    let answer = stub.answer();
    // It has ended, or is about to.
    stub.destroy();
    match answer.map_err(early)? {
        Answer::Created => Ok(()),
        Answer::Failed(f) => Err(Stopped { line: f.step, error: plan.failure(f.step, f.call, f.errno) }),
        Answer::Died(line) => Err(Stopped { line, error: plan.death(line) }),
        other => Err(early(
            Error::new(ErrorKind::System, Phase::Launch, "the init stub does not follow its plan")
                .with_detail(format!("{other:?}")),
        )),
    }
}

/// The destinations of the new mounts before a line of the plan.
fn mounted(plan: &Plan, line: u16) -> Vec<&str> {
    let before = plan.lines().iter().take(usize::from(line));
    before
        .filter_map(|line| match &line.step {
            Step::Mount { mount, .. } if mount.options.remount.is_none() => Some(mount.destination.as_str()),
            _ => None,
        })
        .collect()
}
