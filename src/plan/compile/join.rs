//! Processes which join a container that is there: `exec`, and hooks in its namespaces.

use super::super::step::{
    ControlStep, HostStep, Line, NamespaceStep, Origin, ProcessStep, Slot, Step, Which,
};
use super::{Bound, Compiler, Host, Options, Plan};
use crate::bundle::Bundle;
use crate::bundle::spec::{ExecCpuAffinity, Hook, Process};
use crate::namespace::{Kind, Set};
use crate::process::cpu_set::CpuSet;
use crate::{Error, Problem, Result};
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
    /// Keep the caller's session keyring.
    pub(crate) no_new_keyring: bool,
}

const MOUNT: u64 = Kind::Mount.flag();
const USER: u64 = Kind::User.flag();

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
        slots: Vec::new(),
        namespaces: Set::empty(),
        spawn_flags: 0,
        two_stages: true,
        cgroup: None,
        warnings: Vec::new(),
        joining: Some(policy),
    };
    compiler.check_labels()?;
    compiler.standard(HostStep::Spawn { namespaces: 0, into_cgroup: false });
    compiler.standard(ControlStep::Undumpable);
    compiler.affinity(process, |affinity| affinity.initial.as_deref(), "initial")?;
    if options.cgroup_files > 0 {
        let slots = (0..options.cgroup_files).map(|i| compiler.slot(Slot::Tasks(i))).collect();
        compiler.standard(NamespaceStep::JoinCgroup { slots });
    }
    compiler.join_resctrl(&options.resctrl);
    if !compiler.affinity(process, |affinity| affinity.r#final.as_deref(), "final")? {
        compiler.any_processor();
    }
    if let Some(value) = process.oom_score_adj {
        compiler.asked("/process/oomScoreAdj", ProcessStep::OomScoreAdj(value));
    }
    let slot = compiler.slot(Slot::Process);
    enter(&mut compiler.lines, slot, options.namespaces);
    compiler.open_labels();
    enter_mounts(&mut compiler.lines, slot, options.namespaces);
    compiler.terminal()?;
    compiler.program()?;
    Ok(compiler.finish())
}

impl Compiler<'_> {
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

/// Where a hook runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HookPlace<'a> {
    /// On the host, in this directory.
    Host(&'a str),
    /// In the namespaces (`CLONE_NEW*`) of the process in the plan's one slot.
    Container(u64),
}

/// Compiles a hook.
pub(crate) fn compile_hook(hook: &Hook, host: &Host, place: HookPlace<'_>) -> Plan {
    let mut lines = Vec::with_capacity(12);
    standard(&mut lines, HostStep::Spawn { namespaces: 0, into_cgroup: false });
    let two_stages = match place {
        HookPlace::Host(directory) => {
            standard(&mut lines, ProcessStep::NewSession);
            standard(&mut lines, ProcessStep::HookDirectory { path: directory.to_owned() });
            false
        }
        HookPlace::Container(namespaces) => {
            standard(&mut lines, ControlStep::Undumpable);
            enter(&mut lines, 0, namespaces);
            enter_mounts(&mut lines, 0, namespaces);
            true
        }
    };
    let candidates = vec![hook.path.clone()];
    standard(&mut lines, ControlStep::FindProgram { name: hook.path.clone(), candidates });
    standard(&mut lines, ControlStep::CloseDescriptors { preserve: 0 });
    standard(&mut lines, ProcessStep::ResetSignals);
    let args = if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() };
    standard(&mut lines, ControlStep::Execute { args, env: hook.env.clone() });
    Plan {
        lines,
        slots: if two_stages { vec![Slot::Process] } else { Vec::new() },
        namespaces: Set::empty(),
        spawn_flags: 0,
        two_stages,
        cgroup: None,
        preserve_fds: 0,
        kernel: host.lowering(),
        warnings: Vec::new(),
    }
}

pub(super) fn standard(lines: &mut Vec<Line>, step: impl Into<Step>) {
    lines.push(Line { origin: Origin::Standard, step: step.into() });
}

/// All namespaces but the mounts, while the host's /proc is in reach; then the final process.
pub(super) fn enter(lines: &mut Vec<Line>, slot: usize, namespaces: u64) {
    let flags = namespaces & !MOUNT;
    if flags != 0 {
        standard(lines, NamespaceStep::JoinNamespace { slot, which: Which::Container(flags) });
    }
    standard(lines, ControlStep::HandOver { namespaces: 0 });
    standard(lines, ProcessStep::NewSession);
}

pub(super) fn enter_mounts(lines: &mut Vec<Line>, slot: usize, namespaces: u64) {
    if namespaces & MOUNT != 0 {
        standard(lines, NamespaceStep::JoinNamespace { slot, which: Which::One(Kind::Mount) });
    }
    if namespaces & USER != 0 {
        standard(lines, NamespaceStep::BecomeRoot);
    }
}
