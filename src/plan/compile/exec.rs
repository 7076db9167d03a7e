//! A process that joins a container under its policy: `exec`.

use super::super::cgroup::CgroupOutcome;
use super::super::compiled::Plan;
use super::super::host::Host;
use super::super::options::Options;
use super::super::step::{
    ControlStep, Groups, HostStep, HostTurn, LineOrigin, ProcessStep, RootfsStep, Slot, TerminalPlace,
};
use super::draft::Draft;
use super::input::Input;
use super::policy::Bound;
use super::{isolation, labels, namespaces, program, terminal};
use crate::bundle::spec::{ExecCpuAffinity, Process};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::process::cpu_set::CpuSet;
use crate::{Error, Problem, Result};

/// What of the container the process joins, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct JoinedContainer {
    /// How many files the process joins its cgroup by.
    pub(crate) cgroup_files: usize,
    /// The host side moves the final process into its cgroup instead. Until then a process of the container that may
    /// trace it could make it fork outside of the cgroup.
    pub(crate) moved: bool,
    /// The host side moves the first process into the cgroup, before that joins anything of the container.
    pub(crate) moved_first: bool,
    /// The `tasks` files of the container's resctrl groups.
    pub(crate) resctrl: Vec<String>,
    /// `CLONE_NEW*` of the namespaces in which the container and the caller differ. Without a mount namespace among them, the
    /// caller gives the container's root directory.
    pub(crate) namespaces: u64,
    /// Drop the caller's groups before the user namespace is joined: nothing can set groups there.
    pub(crate) drop_groups: bool,
}

/// Compiles a process that joins a container under its policy. Options about the cgroup and the root
/// file system have no effect.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_exec(
    bound: &Bound,
    host: &Host,
    options: &Options,
    joined: &JoinedContainer,
) -> Result<Plan> {
    let policy = bound.policy();
    let input = Input {
        spec: policy.spec(),
        host,
        options,
        namespaces: Namespaces::new(),
        cgroup: CgroupOutcome { moved: joined.moved, ..CgroupOutcome::default() },
        rootfs: None,
        joining: Some(policy),
    };
    let Some(process) = &input.spec.process else {
        return Err(Error::invalid(vec![Problem {
            pointer: "/process".into(),
            message: "there is no process to execute".into(),
            section: "config.md#process",
        }]));
    };
    let mut draft = Draft::new(host.kernel);
    draft.plan.preserve_fds = options.preserve_fds;
    labels::check_labels(&input)?;
    draft.spawn(LineOrigin::Standard, 0, false);
    draft.standard(ControlStep::Undumpable);
    set_affinity(&mut draft, process, |affinity| affinity.initial.as_deref(), "initial")?;
    if joined.moved_first {
        draft.configured("/linux/cgroupsPath", ControlStep::AwaitHost(HostTurn::Cgroup));
        draft.configured("/linux/cgroupsPath", HostStep::MoveIntoCgroup);
    }
    namespaces::join_cgroup(&mut draft, joined.cgroup_files)?;
    isolation::join_resctrl(&mut draft, &joined.resctrl)?;
    if !set_affinity(&mut draft, process, |affinity| affinity.r#final.as_deref(), "final")? {
        isolation::reset_affinity(&mut draft);
    }
    if let Some(value) = process.oom_score_adj {
        draft.configured("/process/oomScoreAdj", ProcessStep::OomScoreAdj(value));
    }
    labels::open_labels(&input, &mut draft);
    if joined.drop_groups {
        draft.standard(ProcessStep::Identity { uid: None, gid: None, groups: Groups::Drop });
    }
    namespaces::join_container(&mut draft, joined.namespaces)?;
    if joined.namespaces & NamespaceKind::Mount.flag() == 0 {
        // The container has no mount namespace whose root would be its own.
        terminal::terminal(&input, &mut draft, TerminalPlace::Host)?;
        let slot = draft.standard_slot(Slot::Given)?;
        draft.standard(RootfsStep::JoinRoot { slot });
    } else {
        terminal::terminal(&input, &mut draft, TerminalPlace::Container)?;
    }
    program::program(&input, &mut draft)?;
    Ok(draft.finish())
}

/// Sets one of the two lists of `execCPUAffinity`; whether there is one.
fn set_affinity(
    draft: &mut Draft,
    process: &Process,
    which: fn(&ExecCpuAffinity) -> Option<&str>,
    name: &str,
) -> Result<bool> {
    let list = process.exec_cpu_affinity.as_ref().and_then(which).filter(|list| !list.trim().is_empty());
    let Some(list) = list else { return Ok(false) };
    let pointer = format!("/process/execCPUAffinity/{name}");
    let set = CpuSet::parse(list).map_err(|e| {
        let section = "config.md#linux-process";
        Error::invalid(vec![Problem { pointer: pointer.clone(), message: e.to_string(), section }])
    })?;
    draft.configured(pointer, ProcessStep::CpuAffinity { mask: set.to_bytes(), configured: true });
    Ok(true)
}
