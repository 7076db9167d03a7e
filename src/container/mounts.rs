//! Adding mounts to a running container, and removing them.
//!
//! The host side opens the sources of bind mounts. A stub then joins the container's namespaces, creates the mount points
//! below the container's root, attaches the mounts, and exits. The calling process is not changed.

use super::container::Container;
use super::namespaces;
use super::status::{created_record, not_running};
use super::store::lock::OperationLock;
use super::store::{StateRecord, config};
use crate::bundle::spec::Mount;
use crate::bundle::{Spec, validate};
use crate::init::launch::{self, LaunchFailure};
use crate::init::presets::DescriptorSources;
use crate::plan::{
    BundlePaths, Host, Plan, RootfsStep, Step, compile_mounts, compile_unmounts, kernel_version,
};
use crate::{Error, ErrorKind, Phase, Problem, Result};
use std::os::fd::{AsFd, OwnedFd};

/// Creates mounts in a running container, in order. If one fails, those before it are unmounted again.
pub(super) fn add(container: &Container, mounts: &[Mount]) -> Result<()> {
    let lock = container.directory.lock()?;
    let (record, init) = pivoted_container(container)?;
    let mut spec = config::read_spec(&container.directory)?;
    spec.mounts = mounts.to_vec();
    let of_mounts = |problem: &Problem| problem.pointer.starts_with("/mounts");
    let (mut errors, mut warnings) = validate(&spec);
    errors.retain(of_mounts);
    warnings.retain(of_mounts);
    if !errors.is_empty() {
        return Err(Error::invalid(errors));
    }
    container.runtime.warn_of(&warnings);
    let namespaces = namespaces::joinable(&record, namespaces::configured(&spec))?;
    let paths = BundlePaths { bundle: &record.bundle, rootfs: &record.rootfs };
    let host = Host::for_joining(&Spec::default())?;
    let plan = compile_mounts(&spec, paths, &host, namespaces)?;
    execute(&plan, &init, &lock).map_err(|stopped| {
        let done: Vec<&str> =
            destinations_before(&plan, stopped.line.unwrap_or_default()).into_iter().rev().collect();
        let undone = compile_unmounts(&spec, &done, host.kernel, namespaces)
            .map_err(LaunchFailure::from)
            .and_then(|plan| execute(&plan, &init, &lock));
        if let Err(second) = undone {
            container.runtime.warn(&second.error);
        }
        stopped.error
    })
}

/// Unmounts what is mounted at the destinations of `mounts`.
pub(super) fn remove(container: &Container, mounts: &[Mount]) -> Result<()> {
    let lock = container.directory.lock()?;
    let (record, init) = pivoted_container(container)?;
    let destinations: Vec<&str> = mounts.iter().map(|mount| mount.destination.as_str()).collect();
    let spec = config::read_spec(&container.directory)?;
    let namespaces = namespaces::joinable(&record, namespaces::configured(&spec))?;
    let plan = compile_unmounts(&spec, &destinations, kernel_version()?, namespaces)?;
    Ok(execute(&plan, &init, &lock)?)
}

/// The record and the pidfd of a running container whose root was pivoted.
fn pivoted_container(container: &Container) -> Result<(StateRecord, OwnedFd)> {
    let (record, _) = created_record(&container.directory)?;
    if record.options.no_pivot {
        return Err(Error::new(ErrorKind::Unsupported, Phase::Mount, "cannot mount in container")
            .on(container.id.as_str())
            .with_detail("it was created with no_pivot: the root of its mount namespace is the host's"));
    }
    let init = record.open_init()?.alive_pidfd().ok_or_else(not_running)?;
    Ok((record, init))
}

/// Launches a stub that executes the plan, and waits until it has exited.
fn execute(plan: &Plan, init: &OwnedFd, lock: &OperationLock) -> Result<(), LaunchFailure> {
    let sources = DescriptorSources {
        process: Some(init.as_fd()),
        recorder: Some(lock),
        ..DescriptorSources::default()
    };
    launch::run(plan, sources, None, |launch| lock.launch(launch))
}

/// The destinations of the mounts in the lines of a plan before this one.
fn destinations_before(plan: &Plan, line: u16) -> Vec<&str> {
    let before = plan.lines().iter().take(usize::from(line));
    before
        .filter_map(|line| match &line.step {
            Step::Rootfs(RootfsStep::Mount(mount)) if !mount.is_remount() => Some(mount.destination.as_str()),
            _ => None,
        })
        .collect()
}
