//! The record of a new container.

use super::store::StateRecord;
use super::{clock, rootfs, seccomp_agent};
use crate::bundle::{Bundle, HookKind};
use crate::namespace;
use crate::plan::{self, Plan};
use crate::sys;

/// The record before anything is created.
pub(super) fn new(id: &str, bundle: &Bundle, plan: &Plan, options: plan::Options) -> StateRecord {
    let hooks = bundle.spec.hooks.as_ref();
    let root = rootfs::open(&bundle.rootfs);
    let device = root.and_then(|root| sys::fs::identity(root).ok()).map(|(device, _)| device);
    StateRecord {
        device,
        bundle: bundle.path.clone(),
        rootfs: bundle.rootfs.clone(),
        created: clock::now(),
        owner: nix::unistd::getuid().as_raw(),
        annotations: bundle.spec.annotations.clone(),
        start_container: !HookKind::StartContainer.hooks_in(hooks).is_empty(),
        poststart: !HookKind::Poststart.hooks_in(hooks).is_empty(),
        poststop: !HookKind::Poststop.hooks_in(hooks).is_empty(),
        notifies: seccomp_agent::notifies(&bundle.spec),
        kills_program: plan.kills_program,
        own_pid_namespace: plan.namespaces.is_new(namespace::NamespaceKind::Pid),
        options,
        ..StateRecord::new(id)
    }
}
