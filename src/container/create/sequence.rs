//! The host side's steps of creating a container, in order.

use super::creation::{Creation, Goal};
use super::host_side::serve_stub;
use super::new_scope;
use super::spawn::spawn;
use crate::bundle::Bundle;
use crate::cgroup::resctrl::ResctrlGroup;
use crate::cgroup::systemd::{RequestedProperties, Systemd};
use crate::cgroup::{Cgroup, CgroupManager};
use crate::container::console::receive_master;
use crate::container::container::Container;
use crate::container::options::{CreateOptions, require_absolute_paths};
use crate::container::process::identity::ProcessState;
use crate::container::runtime::Runtime;
use crate::container::seccomp_agent::SeccompAgent;
use crate::container::store::{Stage, StateDirectory, config};
use crate::container::teardown;
use crate::container::{
    files, id, lifecycle_hooks, new_cgroup, new_record, notifications, notify, plan_options, unix_socket,
};
use crate::init::launch::{Stub, lost};
use crate::plan::{CgroupOutcome, Filter, Host, Policy, compile};
use crate::sys;
use crate::{Error, Result};
use std::os::fd::OwnedFd;

/// Creates a container, and with [`Goal::Running`] lets its program run.
pub(in crate::container) fn create(
    runtime: &Runtime,
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    goal: Goal,
) -> Result<Container> {
    id::validate(id)?;
    let (pid_file, pidfd_socket) = (options.pid_file.as_deref(), options.pidfd_socket.as_deref());
    require_absolute_paths(pid_file, pidfd_socket, &options.console)?;
    let systemd = match options.cgroup_manager {
        CgroupManager::Systemd => Some(Systemd::connect(&options.systemd)?),
        CgroupManager::Cgroupfs | CgroupManager::Disabled => None,
    };
    let mut plan_options = plan_options::new(id, bundle, options, goal == Goal::Created);
    plan_options.systemd = systemd.as_ref().map(Systemd::instance).unwrap_or_default();
    let state_directory = runtime.state_root().path.join(id);
    let notify = notify::environment::directory_and_variable(bundle, options, &state_directory);
    if let Some((directory, variable)) = notify {
        plan_options.notify = Some(directory);
        plan_options.extra_env.push(variable);
    }
    let host = Host::detect_for(bundle, &plan_options)?;
    let plan = compile(bundle, &host, &plan_options)?;
    // The bundle's own warnings come first; they were reported when the bundle was read.
    runtime.warn_of(&plan.warnings()[bundle.warnings.len().min(plan.warnings().len())..]);
    let mut record = new_record::new(id, bundle, &plan, plan_options);
    record.resctrl = plan_resctrl(id, bundle, &host)?;
    let (directory, lock) = StateDirectory::create(runtime.state_root(), id)?;
    let container = Container::new(runtime.clone(), directory);
    let mut creation = Creation {
        container,
        lock,
        record,
        bundle,
        plan,
        cgroup_outcome: CgroupOutcome::default(),
        host,
        options,
        goal,
        systemd,
        asked: RequestedProperties::default(),
        stub: None,
        agent: None,
    };
    match run_steps(&mut creation) {
        Ok(()) => Ok(creation.container),
        Err(error) => Err(undo(creation, error)),
    }
}

fn run_steps(creation: &mut Creation<'_>) -> Result<()> {
    new_scope::claim(creation)?;
    new_cgroup::record(&creation.plan, &mut creation.record)?;
    creation.container.directory.write_first(&creation.record)?;
    notifications::create_socket(&creation.container, &creation.record)?;
    if creation.goal == Goal::Running {
        creation.agent = SeccompAgent::connect(&creation.bundle.spec)?;
    }
    let join = new_cgroup::create(&creation.plan, &creation.host, &mut creation.record)?;
    creation.show_callers_cgroup()?;
    if join.is_some() {
        new_scope::delegate(creation, &Cgroup::open(creation.record.cgroup.clone()))?;
    }
    create_resctrl_group(creation)?;
    let console = spawn(creation, join)?;
    // This work of the host side overlaps with that of the stub.
    let policy = Policy::of(&creation.bundle.spec, Filter::of_lines(creation.plan.lines())).encode()?;
    config::write(&creation.container.directory, &creation.bundle.config, &policy)?;
    creation.identify_init()?;
    match creation.goal {
        Goal::Created => finish_created(creation, console),
        Goal::Running => finish_running(creation, console),
    }
}

/// Records and delivers a container whose program waits for `start`.
fn finish_created(creation: &mut Creation<'_>, console: Option<OwnedFd>) -> Result<()> {
    serve_stub(creation)?;
    creation.record.page = creation.stub.as_ref().map(Stub::page).transpose()?;
    creation.record.stage = Stage::Created;
    creation.record.hooked = true;
    creation.container.directory.write(&creation.record)?;
    deliver(creation, console)?;
    // From here on the stub may survive this process.
    creation.stub.as_ref().ok_or_else(lost)?.resume()?;
    store_init_pidfd(creation);
    Ok(())
}

/// Records and delivers a container whose program runs.
///
/// The record with the pid is written while the stub works. The record that the program runs is not needed if the program
/// has already exited and no hook follows.
fn finish_running(creation: &mut Creation<'_>, console: Option<OwnedFd>) -> Result<()> {
    creation.container.directory.write(&creation.record)?;
    serve_stub(creation)?;
    let has_exited =
        creation.stub.as_ref().is_some_and(|stub| sys::process::poll_in(&stub.pidfd, 0) == Ok(true));
    creation.record.stage = Stage::Started;
    creation.record.hooked = true;
    if !has_exited || creation.record.poststart {
        creation.container.directory.write(&creation.record)?;
    }
    deliver(creation, console)?;
    store_init_pidfd(creation);
    if creation.record.poststart
        && let Some(pidfd) = creation.container.init.get()
    {
        let (container, record, spec) = (&creation.container, &creation.record, &creation.bundle.spec);
        lifecycle_hooks::poststart(container, record, spec, pidfd, &creation.lock)?;
    }
    Ok(())
}

/// The resctrl groups to create.
fn plan_resctrl(id: &str, bundle: &Bundle, host: &Host) -> Result<Option<ResctrlGroup>> {
    let config = bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    let (Some(config), Some(root)) = (config, &host.resctrl) else { return Ok(None) };
    let mut group = ResctrlGroup::plan(root, config, id);
    group.find_existing().map_err(|e| e.with_pointer("/linux/intelRdt"))?;
    Ok(Some(group))
}

fn create_resctrl_group(creation: &mut Creation<'_>) -> Result<()> {
    let config = creation.bundle.spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    match (&mut creation.record.resctrl, config) {
        (Some(group), Some(config)) => group.create(config).map_err(|e| e.with_pointer("/linux/intelRdt")),
        _ => Ok(()),
    }
}

/// Sends the pidfd, stores the terminal's master for the caller, and writes the pid file, as the options request.
fn deliver(creation: &Creation<'_>, console: Option<OwnedFd>) -> Result<()> {
    let Some(stub) = &creation.stub else { return Err(lost()) };
    if let Some(path) = &creation.options.pidfd_socket {
        unix_socket::send_descriptor(path, &stub.pidfd, "pidfd", "pidfd socket")?;
    }
    if let Some(socket) = console
        && let Some(master) = receive_master(&socket)?
    {
        creation.container.set_console(master);
    }
    if let Some(path) = &creation.options.pid_file {
        files::write_pid_file(path, stub.pid)?;
    }
    Ok(())
}

/// Stores the pidfd in the [`Container`], so that the process need not be looked up again.
fn store_init_pidfd(creation: &mut Creation<'_>) {
    if let Some(stub) = creation.stub.take() {
        let _ = creation.container.init.set(stub.pidfd);
    }
}

/// Removes everything that was created; returns the error that explains the failure.
fn undo(mut creation: Creation<'_>, error: Error) -> Error {
    // If the stub has failed, later errors of the host side are consequences.
    let reason = creation.stub.as_ref().and_then(|stub| stub.failure(&creation.plan));
    let error = reason.unwrap_or(error);
    if let Some(path) = &creation.options.pid_file {
        files::remove_pid_file(path, creation.record.init.pid);
    }
    let init = creation.stub.take().map_or(ProcessState::Gone, |stub| ProcessState::Alive(stub.into_pidfd()));
    teardown::undo(&creation.container, creation.record, init, error, &creation.lock)
}
