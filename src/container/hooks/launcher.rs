//! Starts hooks on the host or in a container.

use super::runner::{SpawnHook, StartedHook};
use crate::Result;
use crate::bundle::spec::Hook;
use crate::cgroup::{Cgroup, Join};
use crate::container::store::lock::OperationLock;
use crate::init::launch::{self, Launch, LaunchOutcome, WithoutTurns, open_presets, serve};
use crate::init::presets::{DescriptorSources, StandardStreams};
use crate::plan::{ContainerRoot, HookPlace, Plan, compile_hook};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Starts hooks through the init stub, so that they inherit nothing that the caller has open or has changed.
pub(crate) struct HookLauncher<'a> {
    /// The version of the kernel, which the plan compiler must know.
    pub(crate) kernel: (u32, u32),
    /// Where the hooks run.
    pub(crate) location: HookLocation<'a>,
    /// The lock of the operation that runs the hooks.
    pub(crate) lock: &'a OperationLock,
}

/// Where hooks run.
pub(crate) enum HookLocation<'a> {
    /// On the host, in this directory, or in `/` if it does not exist any more.
    Host(&'a Path),
    /// In the namespaces of a container that is being created.
    Namespaces(HookNamespaces<'a>),
    /// In a created container, with everything that the container's program gets.
    Container(&'a StartHook<'a>),
}

/// Starts a hook in a container with these descriptors 0, 1 and 2.
pub(crate) type StartHook<'a> = dyn Fn(&Hook, [OwnedFd; 3]) -> Result<StartedHook> + 'a;

/// The namespaces and the cgroup of a container that is being created.
pub(crate) struct HookNamespaces<'a> {
    /// The process whose namespaces are joined.
    pub(crate) process: BorrowedFd<'a>,
    /// The namespaces to join, as `CLONE_NEW*` flags.
    pub(crate) namespaces: u64,
    /// The path of the pid namespace, if the process has not joined it yet.
    pub(crate) pid_namespace: Option<&'a str>,
    /// The cgroup, if the container has one.
    pub(crate) cgroup: Option<Cgroup>,
    /// The host's root directory, as the process still sees it.
    pub(crate) root: Option<OwnedFd>,
    /// The container's root file system.
    pub(crate) rootfs: ContainerRoot<'a>,
}

impl SpawnHook for HookLauncher<'_> {
    fn spawn(&self, hook: &Hook, stdio: [OwnedFd; 3]) -> Result<StartedHook, String> {
        let started = match &self.location {
            HookLocation::Host(directory) => {
                let directory = directory.to_string_lossy();
                let plan = compile_hook(hook, self.kernel, HookPlace::Host(&directory));
                plan.and_then(|plan| self.start(&plan, None, DescriptorSources::default(), &stdio))
            }
            HookLocation::Namespaces(namespaces) => self.start_in_namespaces(hook, namespaces, &stdio),
            HookLocation::Container(start) => start(hook, stdio),
        };
        started.map_err(|e| e.to_string())
    }
}

impl HookLauncher<'_> {
    fn start_in_namespaces(
        &self,
        hook: &Hook,
        container: &HookNamespaces<'_>,
        stdio: &[OwnedFd; 3],
    ) -> Result<StartedHook> {
        let mut join = container.cgroup.as_ref().map(Cgroup::join).transpose()?;
        if let Some(join) = &mut join {
            join.use_files()?;
        }
        let cgroup_files = join.as_ref().map_or(0, |join| join.files().len());
        let (namespaces, pid) = (container.namespaces, container.pid_namespace);
        let root = container.root.as_ref().map(AsFd::as_fd);
        let (has_root, rootfs) = (root.is_some(), container.rootfs);
        let place = HookPlace::Container { namespaces, pid, cgroup_files, root: has_root, rootfs };
        let sources = DescriptorSources {
            process: Some(container.process),
            given: root.as_slice(),
            ..DescriptorSources::default()
        };
        self.start(&compile_hook(hook, self.kernel, place)?, join.as_ref(), sources, stdio)
    }

    fn start(
        &self,
        plan: &Plan,
        join: Option<&Join>,
        sources: DescriptorSources<'_>,
        stdio: &[OwnedFd; 3],
    ) -> Result<StartedHook> {
        let sources = DescriptorSources { recorder: Some(self.lock), ..sources };
        let presets = open_presets(plan, sources)?;
        let standard = StandardStreams::Given(stdio.each_ref().map(|fd| Some(fd.as_fd())));
        let launch = Launch { plan, presets: &presets, join, standard: &standard, fault: None };
        let mut stub = self.lock.launch(launch)?;
        match serve(&mut WithoutTurns { stub: &mut stub, plan, sources }) {
            Ok(LaunchOutcome::Executed) => Ok(StartedHook { pid: stub.pid, pidfd: stub.pidfd }),
            ended => {
                stub.destroy();
                ended?;
                Err(launch::lost())
            }
        }
    }
}
