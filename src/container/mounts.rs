//! Mounts into a running container, and out of it.
//!
//! The host side opens what is bound; a launched stub joins the container's namespaces, makes the mount points
//! below the container's root, attaches, and ends. Nothing of the calling process is changed.

use super::lock::Lock;
use super::members;
use super::store::Record;
use super::{Container, Status};
use crate::bundle::spec::Mount;
use crate::bundle::{Spec, validate};
use crate::init::launch::{self, Stopped};
use crate::init::presets::Sources;
use crate::plan::{
    BundlePaths, Host, Plan, RootfsStep, Step, compile_mounts, compile_unmounts, kernel_version,
};
use crate::{Error, ErrorKind, Phase, Problem, Result};
use std::os::fd::{AsFd, OwnedFd};

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
        let lock = self.directory.lock()?;
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
        let paths = BundlePaths { bundle: &record.bundle, rootfs: &record.rootfs };
        let host = Host::for_joining(&Spec::default())?;
        let plan = compile_mounts(&spec, paths, &host, namespaces)?;
        change(&plan, &init, &lock).map_err(|stopped| {
            let done: Vec<&str> =
                mounted(&plan, stopped.line.unwrap_or_default()).into_iter().rev().collect();
            let undone = compile_unmounts(&spec, &done, host.kernel, namespaces)
                .map_err(Stopped::from)
                .and_then(|plan| change(&plan, &init, &lock));
            if let Err(again) = undone {
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
        let lock = self.directory.lock()?;
        let (record, init) = self.with_root()?;
        let destinations: Vec<&str> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
        let spec = self.spec()?;
        let namespaces = members::namespaces(&record, super::create::namespaces(&spec))?;
        let plan = compile_unmounts(&spec, &destinations, kernel_version()?, namespaces)?;
        Ok(change(&plan, &init, &lock)?)
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
fn change(plan: &Plan, init: &OwnedFd, lock: &Lock) -> Result<(), Stopped> {
    let recorder = |pid| lock.helping(pid);
    let sources = Sources { process: Some(init.as_fd()), recorder: Some(&recorder), ..Sources::default() };
    launch::run(plan, sources, None, |launch| lock.launch(launch))
}

/// The destinations of the new mounts before a line of the plan.
fn mounted(plan: &Plan, line: u16) -> Vec<&str> {
    let before = plan.lines().iter().take(usize::from(line));
    before
        .filter_map(|line| match &line.step {
            Step::Rootfs(RootfsStep::Mount(mount)) if !mount.is_remount() => Some(mount.destination.as_str()),
            _ => None,
        })
        .collect()
}
