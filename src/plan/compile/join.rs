//! Processes which join a container that is there: `exec`, and hooks in its namespaces.

use super::super::step::{
    ControlStep, Groups, HostStep, Line, NamespaceStep, Origin, ProcessStep, RootfsStep, Slot, SlotId, Slots,
    Step, Which,
};
use super::{Bound, Compiler, Host, Options, Plan};
use crate::bundle::Bundle;
use crate::bundle::spec::{ExecCpuAffinity, Hook, Process};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::process::cpu_set::CpuSet;
use crate::{Error, ErrorKind, Phase, Problem, Result};
use std::path::PathBuf;

/// What the caller of `exec` wants besides the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExecOptions {
    /// The container's id.
    pub(crate) id: String,
    /// A socket for the terminal's master will be there.
    pub(crate) console: bool,
    /// The caller itself relays the terminal.
    pub(crate) keep_console: bool,
    /// How many descriptors from 3 on the program keeps.
    pub(crate) preserve_fds: u32,
    /// `HOME` of the user, from the container's passwd file.
    pub(crate) home: Option<String>,
    /// Through how many files the process joins its cgroup.
    pub(crate) cgroup_files: usize,
    /// The `tasks` files of the container's resctrl groups.
    pub(crate) resctrl: Vec<String>,
    /// `CLONE_NEW*` of the namespaces in which the container and the caller differ.
    pub(crate) namespaces: u64,
    /// Give up the caller's groups before the user namespace is joined, which lets nothing set them.
    pub(crate) drop_groups: bool,
    /// Keep the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// The program, if it is not what the process's first argument names.
    pub(crate) program: Option<String>,
}

const USER: u64 = NamespaceKind::User.flag();

/// Compiles a process that joins a container under its policy.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_exec(bound: &Bound, host: &Host, options: &ExecOptions) -> Result<Plan> {
    let policy = bound.policy();
    let bundle = Bundle {
        path: PathBuf::new(),
        spec: policy.spec().clone(),
        config: Vec::new(),
        rootfs: PathBuf::new(),
        warnings: Vec::new(),
    };
    let general = Options {
        id: options.id.clone(),
        console: options.console,
        keep_console: options.keep_console,
        preserve_fds: options.preserve_fds,
        home: options.home.clone(),
        no_new_keyring: options.no_new_keyring,
        program: options.program.clone(),
        ..Options::default()
    };
    let Some(process) = &bundle.spec.process else {
        return Err(Error::invalid(vec![Problem {
            pointer: "/process".into(),
            message: "there is no process to execute".into(),
            section: "config.md#process",
        }]));
    };
    let mut compiler = Compiler {
        bundle: &bundle,
        host,
        options: &general,
        lines: Vec::with_capacity(32),
        slots: Slots::default(),
        namespaces: Namespaces::new(),
        spawn_flags: 0,
        two_stages: true,
        foreign: Vec::new(),
        cgroup: None,
        warnings: Vec::new(),
        joining: Some(policy),
    };
    compiler.check_labels()?;
    compiler.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    compiler.standard(ControlStep::Undumpable);
    compiler.affinity(process, |affinity| affinity.initial.as_deref(), "initial")?;
    compiler.join_cgroup_files(options.cgroup_files)?;
    compiler.join_resctrl(&options.resctrl)?;
    if !compiler.affinity(process, |affinity| affinity.r#final.as_deref(), "final")? {
        compiler.any_processor();
    }
    if let Some(value) = process.oom_score_adj {
        compiler.asked("/process/oomScoreAdj", ProcessStep::OomScoreAdj(value));
    }
    compiler.open_labels();
    if options.drop_groups {
        compiler.standard(ProcessStep::Identity { uid: None, gid: None, groups: Groups::Drop });
    }
    compiler.enter(options.namespaces)?;
    compiler.terminal()?;
    compiler.program()?;
    Ok(compiler.finish())
}

impl Compiler<'_> {
    /// Into the namespaces (`CLONE_NEW*`) of a container's process, all at once: root and working directory are the
    /// container's from here on. Its pid namespace is for the next process.
    pub(super) fn enter(&mut self, namespaces: u64) -> Result<()> {
        if namespaces != 0 {
            let slot = self.slot("/linux/namespaces", Slot::Process)?;
            self.standard(NamespaceStep::JoinNamespace { slot, which: Which::Container(namespaces) });
        }
        if namespaces & USER != 0 {
            self.standard(NamespaceStep::BecomeRoot);
        }
        Ok(())
    }

    /// One of the two lists of `execCPUAffinity`; whether there is one.
    fn affinity(
        &mut self,
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
        self.asked(pointer, ProcessStep::CpuAffinity { mask: set.to_bytes(), asked: true });
        Ok(true)
    }
}

/// Where a hook runs that is the host's program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HookPlace<'a> {
    /// On the host, in this directory.
    Host(&'a str),
    /// In the namespaces of a container in the making, of which the host's files are not gone yet.
    Container {
        /// Those of the process (`CLONE_NEW*`).
        namespaces: u64,
        /// The file of its pid namespace, if the process is not in that itself.
        pid: Option<&'a str>,
        /// Through how many files the hook joins the container's cgroup.
        cgroup_files: usize,
        /// The host's root is given; it is that of the namespaces otherwise.
        root: bool,
    },
}

/// Compiles a hook.
///
/// # Errors
/// As [`compile`](super::compile).
pub(crate) fn compile_hook(hook: &Hook, host: &Host, place: HookPlace<'_>) -> Result<Plan> {
    let mut course = Course::default();
    course.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    let two_stages = matches!(place, HookPlace::Container { .. });
    match place {
        HookPlace::Host(directory) => {
            course.standard(ProcessStep::NewSession);
            course.standard(ProcessStep::HookDirectory { path: directory.to_owned() });
        }
        HookPlace::Container { namespaces, pid, cgroup_files, root } => {
            course.standard(ControlStep::Undumpable);
            let files = (0..cgroup_files).map(|i| course.slot(Slot::Tasks(i)));
            let slots = files.collect::<Result<Vec<_>>>()?;
            if !slots.is_empty() {
                course.standard(NamespaceStep::JoinCgroup { slots });
            }
            if let Some(path) = pid {
                let slot =
                    course.slot(Slot::Namespace { kind: NamespaceKind::Pid, path: path.to_owned() })?;
                course.standard(NamespaceStep::JoinNamespace { slot, which: Which::One(NamespaceKind::Pid) });
            }
            course.enter(namespaces)?;
            if root {
                let slot = course.slot(Slot::Given)?;
                course.standard(RootfsStep::ChangeRoot { slot });
            }
        }
    }
    let candidates = vec![hook.path.clone()];
    course.standard(ControlStep::FindProgram { name: hook.path.clone(), candidates });
    if two_stages {
        course.be_born();
    }
    course.standard(ControlStep::CloseDescriptors { preserve: 0 });
    course.standard(ProcessStep::ResetSignals);
    let args = if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() };
    course.standard(ControlStep::Execute { args, env: hook.env.clone() });
    Ok(course.finish(0, two_stages, host))
}

/// A plan that no bundle asked for.
#[derive(Default)]
pub(super) struct Course {
    lines: Vec<Line>,
    slots: Slots,
}

impl Course {
    pub(super) fn standard(&mut self, step: impl Into<Step>) {
        self.lines.push(Line { origin: Origin::Standard, step: step.into() });
    }

    pub(super) fn slot(&mut self, slot: Slot) -> Result<SlotId> {
        let why = "this takes more descriptors than the init stub can hold";
        let added = self.slots.add(slot);
        added.map(|added| added.id).ok_or_else(|| Error::new(ErrorKind::Unsupported, Phase::Plan, why))
    }

    /// See [`Compiler::enter`].
    pub(super) fn enter(&mut self, namespaces: u64) -> Result<()> {
        if namespaces != 0 {
            let slot = self.slot(Slot::Process)?;
            self.standard(NamespaceStep::JoinNamespace { slot, which: Which::Container(namespaces) });
        }
        if namespaces & USER != 0 {
            self.standard(NamespaceStep::BecomeRoot);
        }
        Ok(())
    }

    /// The final process, in the pid namespace that was joined.
    pub(super) fn be_born(&mut self) {
        self.hide();
        self.standard(ControlStep::HandOver { namespaces: 0 });
        self.standard(ProcessStep::NewSession);
    }

    /// Makes ready for a birth where others look: see [`Compiler::be_born`].
    pub(super) fn hide(&mut self) {
        self.standard(ControlStep::Undumpable);
        self.standard(ProcessStep::NewSession);
    }

    pub(super) fn finish(self, spawn_flags: u64, two_stages: bool, host: &Host) -> Plan {
        self.finish_on(spawn_flags, two_stages, host.kernel)
    }

    pub(super) fn finish_on(self, spawn_flags: u64, two_stages: bool, kernel: (u32, u32)) -> Plan {
        Plan::assembled(self.lines, self.slots, (spawn_flags, two_stages), 0, kernel)
    }
}
