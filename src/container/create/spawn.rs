//! Launching the init stub of a new container.

use super::creation::Creation;
use crate::Result;
use crate::cgroup::Join;
use crate::container::console::ConsoleSocket;
use crate::container::store::sockets;
use crate::init::launch::{Launch, is_at_process_limit, may_join_by_file, open_presets};
use crate::init::presets::DescriptorSources;
use crate::plan::Plan;
use std::os::fd::{AsFd, OwnedFd};

/// Launches the stub; returns the caller's end of the console socket.
pub(super) fn spawn(creation: &mut Creation<'_>, mut join: Option<Join>) -> Result<Option<OwnedFd>> {
    if join.as_ref().is_some_and(|join| join.directory().is_none())
        && let Some(plan) = creation.plan_joining_by_file()?
    {
        creation.plan = plan;
    }
    let console = ConsoleSocket::open(&creation.options.console)?;
    let directory = &creation.container.directory;
    let listen = || sockets::listen_for_start(directory, directory.id());
    let sources = DescriptorSources {
        console: console.stub.as_ref().map(AsFd::as_fd),
        listen: Some(&listen),
        recorder: Some(&creation.lock),
        ..DescriptorSources::default()
    };
    let presets = open_presets(&creation.plan, sources)?;
    let standard = creation.options.stdio.standard()?;
    let fault = creation.container.runtime.fault();
    let launch = |plan: &Plan, join: Option<&Join>| {
        creation.lock.launch(Launch { plan, presets: &presets, join, standard: &standard, fault })
    };
    let mut stub = match launch(&creation.plan, join.as_ref()) {
        Err(e) if may_join_by_file(&e, join.as_ref()) => {
            if let Some(join) = &mut join {
                join.use_files()?;
            }
            if let Some(plan) = creation.plan_joining_by_file()? {
                creation.plan = plan;
            }
            launch(&creation.plan, join.as_ref())?
        }
        other => other?,
    };
    if creation.plan.hands_over_first()
        && stub.follow_hand_over().is_ok()
        && stub.failure(&creation.plan).is_some_and(|e| is_at_process_limit(&e))
        && join.is_some()
    {
        stub.destroy();
        creation.plan = creation.plan_moved()?;
        stub = launch(&creation.plan, None)?;
    }
    // If the first process only clones the final one, the host side does not need to know it.
    let settled = if creation.plan.hands_over_at_once() { stub.follow_hand_over() } else { Ok(()) };
    creation.stub = Some(stub);
    settled.map(|()| console.caller)
}
