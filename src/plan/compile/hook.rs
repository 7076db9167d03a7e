//! Hooks that are programs of the host.

use super::super::compiled::Plan;
use super::super::step::{ControlStep, HostTurn, LineOrigin, ProcessStep, RootfsStep, Slot};
use super::draft::Draft;
use super::namespaces;
use crate::Result;
use crate::bundle::spec::Hook;
use crate::namespace::NamespaceKind;

/// Where a hook of the host runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HookPlace<'a> {
    /// On the host, in this directory.
    Host(&'a str),
    /// In the namespaces of a container that is being created, while it can still reach the host's files.
    Container {
        /// The namespaces of the container's process (`CLONE_NEW*`).
        namespaces: u64,
        /// The file of its pid namespace, if the process itself is not in that namespace yet.
        pid: Option<&'a str>,
        /// How many files the hook joins the container's cgroup by.
        cgroup_files: usize,
        /// Whether the caller gives the host's root; otherwise the hook's root is that of the mount namespace.
        root: bool,
        /// The container's root file system, in which the hook starts.
        rootfs: ContainerRoot<'a>,
    },
}

/// Where the container's root file system is while hooks run in its namespaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContainerRoot<'a> {
    /// At its path on the host, which has no symbolic links.
    At(&'a str),
    /// It covers the host's root, and is where a process is that joins the mount namespace.
    OverHost,
}

/// Compiles a hook, for a kernel of this version.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_hook(hook: &Hook, kernel: (u32, u32), place: HookPlace<'_>) -> Result<Plan> {
    let mut draft = Draft::new(kernel);
    draft.spawn(LineOrigin::Standard, 0, false);
    match place {
        HookPlace::Host(directory) => {
            draft.standard(ProcessStep::NewSession);
            draft.standard(ProcessStep::HookDirectory { path: directory.to_owned() });
        }
        HookPlace::Container { namespaces, pid, cgroup_files, root, rootfs } => {
            draft.standard(ControlStep::Undumpable);
            namespaces::join_cgroup(&mut draft, cgroup_files)?;
            if let Some(path) = pid {
                namespaces::join(&mut draft, LineOrigin::Standard, NamespaceKind::Pid, path.to_owned())?;
            }
            namespaces::join_container(&mut draft, namespaces)?;
            if root {
                let slot = draft.standard_slot(Slot::Given)?;
                let stay = matches!(rootfs, ContainerRoot::OverHost);
                draft.standard(RootfsStep::ChangeRoot { slot, stay });
            }
            if let ContainerRoot::At(path) = rootfs {
                draft.standard(ProcessStep::ChangeDirectory { path: path.to_owned() });
            }
        }
    }
    let candidates = vec![hook.path.clone()];
    draft.standard(ControlStep::FindProgram { name: hook.path.clone(), candidates });
    if matches!(place, HookPlace::Container { .. }) {
        // Other processes in the pid namespace can see the final process.
        namespaces::hide_before_birth(&mut draft);
        draft.standard(ControlStep::HandOver { namespaces: 0 });
        draft.standard(ProcessStep::NewSession);
    }
    // If the command is killed before it has recorded the process, nothing would find the hook.
    draft.standard(ControlStep::AwaitHost(HostTurn::Born));
    draft.standard(ControlStep::CloseDescriptors { preserve: 0 });
    draft.standard(ProcessStep::ResetSignals);
    let args = if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() };
    draft.standard(ControlStep::Execute { args, env: hook.env.clone() });
    Ok(draft.finish())
}
