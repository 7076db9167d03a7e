//! The process: limits, identity, capabilities, filter, program.

use super::super::step::{ControlStep, Groups, HostStep, ProcessStep, Sender, Slot, Turn};
use super::birth::Late;
use super::{Compiler, Filter, Policy};
use crate::bundle::HookKind;
use crate::bundle::annotations::KEEP_GROUPS;
use crate::bundle::spec::Process;
use crate::process::capability::{self, CapabilitySets};
use crate::process::scheduler::SchedAttr;
use crate::process::{env, io_priority, label, memory_policy, personality, rlimit, scheduler, user};
use crate::seccomp::{self, Profile};
use crate::{Error, ErrorKind, Phase, Problem, Result};

/// Where the scheduler is in `config.json`.
pub(super) const SCHEDULER: &str = "/process/scheduler";

pub(super) const CAP_SYS_ADMIN: u32 = 21;

impl Compiler<'_> {
    pub(super) fn program(&mut self) -> Result<()> {
        let bundle = self.bundle;
        let Some(process) = &bundle.spec.process else {
            // Nobody says what it may do, so it may do nothing: it waits where processes of the container may be.
            let (sets, last) = (CapabilitySets::default(), self.host.last_cap);
            self.standard(ProcessStep::BoundingSet { keep: 0, last });
            self.standard(ProcessStep::Capabilities { sets, extra: 0, ambient: 0 });
            self.be_born(None, None, Late::new())?;
            self.created()?;
            self.standard(ControlStep::NoProgram);
            return Ok(());
        };
        if process.args.is_empty() {
            return Err(Error::invalid(vec![Problem {
                pointer: "/process/args".into(),
                message: "args must not be empty".into(),
                section: "config.md#process",
            }]));
        }
        let late = self.limits(process)?;
        let identity = user::parse(&process.user, "/process").map_err(Error::invalid)?;
        self.asked("/process/cwd", ProcessStep::WorkingDirectory { path: process.cwd.clone() });
        if identity.uid != 0 && !process.terminal {
            self.asked("/process/user", ProcessStep::ChownStdio { uid: identity.uid });
        }
        self.privileges(process, &identity);
        self.asked("/process/user", ProcessStep::Umask(identity.umask));
        let environment = self.environment(process)?;
        self.find(process, &environment);
        self.write_label(process);
        let filter = self.filter()?;
        let filter = if self.is_born_late() {
            self.be_born(Some(process), filter, late)?
        } else {
            self.filter_before_wait(process, filter)?
        };
        self.created()?;
        self.close_descriptors();
        self.begin(process, environment, filter)
    }

    /// Limits and scheduling; what has to wait until the final process is there, if that comes up late. A child of a
    /// deadline task could not be made, and neither could one of a user who may have no more processes.
    fn limits(&mut self, process: &Process) -> Result<Late> {
        let mut late = Late::new();
        if !self.options.no_new_keyring {
            self.standard(ProcessStep::Keyring { name: self.options.id.clone() });
        }
        let limits = rlimit::parse(&process.rlimits, "/process").map_err(Error::invalid)?;
        for (i, limit) in limits.iter().enumerate() {
            let name = process.rlimits.get(i).map_or_else(String::new, |l| l.kind.clone());
            let (resource, hard) = (limit.resource, limit.hard);
            let pointer = format!("/process/rlimits/{i}");
            let step = ProcessStep::Rlimit { resource, name: name.clone(), soft: limit.soft, hard };
            if self.is_born_late() && resource == libc::RLIMIT_NPROC {
                self.asked(pointer.clone(), ProcessStep::RaiseHardLimit { resource, name, hard });
                late.push((pointer, step.into()));
            } else {
                self.asked(pointer, step);
            }
        }
        self.scheduler(process, &mut late)?;
        if let Some(spec) = &process.io_priority {
            let value = io_priority::parse(spec, "/process").map_err(|p| Error::invalid(vec![p]))?;
            self.asked("/process/ioPriority", ProcessStep::IoPriority(value));
        }
        let Some(linux) = &self.bundle.spec.linux else { return Ok(late) };
        if let Some(spec) = &linux.personality {
            let persona = personality::parse(spec, "/linux").map_err(|p| Error::invalid(vec![p]))?;
            self.asked("/linux/personality", ProcessStep::Personality(persona.into()));
        }
        if let Some(spec) = &linux.memory_policy {
            let policy = memory_policy::parse(spec, "/linux").map_err(Error::invalid)?;
            let max_node = policy.max_node();
            let step = ProcessStep::MemoryPolicy { mode: policy.mode, nodes: policy.nodes, max_node };
            self.asked("/linux/memoryPolicy", step);
        }
        Ok(late)
    }

    /// Whether a filter is loaded by privilege and not under no_new_privs.
    pub(super) fn filter_needs_privilege(&self, process: &Process) -> bool {
        let profile = self.bundle.spec.linux.as_ref().is_some_and(|l| l.seccomp.is_some());
        !process.no_new_privileges && (profile || self.compiled_filter().is_some())
    }

    fn capabilities(&self, process: &Process) -> (CapabilitySets, Vec<Problem>) {
        match &process.capabilities {
            Some(spec) => capability::parse(spec, self.host.last_cap, "/process"),
            None => (CapabilitySets::default(), Vec::new()),
        }
    }

    pub(super) fn sets(&self, process: &Process) -> CapabilitySets {
        self.capabilities(process).0
    }

    fn privileges(&mut self, process: &Process, identity: &user::Identity) {
        if process.no_new_privileges {
            self.asked("/process/noNewPrivileges", ProcessStep::NoNewPrivileges);
        }
        let (sets, warnings) = self.capabilities(process);
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let last = self.host.last_cap;
        self.asked(
            "/process/capabilities/bounding",
            ProcessStep::BoundingSet { keep: sets.bounding.0, last },
        );
        let groups = self.groups(identity);
        self.asked(
            "/process/user",
            ProcessStep::Identity { uid: Some(identity.uid), gid: Some(identity.gid), groups },
        );
        let extra = self.kept(process);
        self.asked(
            "/process/capabilities",
            ProcessStep::Capabilities { sets, extra, ambient: sets.ambient.0 },
        );
    }

    /// The caller's groups never come in by themselves, not even where its user namespace has no names
    /// for them: they would still open the files of others.
    fn groups(&self, identity: &user::Identity) -> Groups {
        // Podman's `--group-add keep-groups`.
        let keep = self.bundle.spec.annotations.value(&KEEP_GROUPS) == Some("1");
        match (keep, identity.groups.is_empty() && !self.host.privileged) {
            (true, _) => Groups::Keep,
            (false, true) => Groups::Drop,
            (false, false) => Groups::Set(identity.groups.clone()),
        }
    }

    fn environment(&mut self, process: &Process) -> Result<Vec<String>> {
        let mut all = process.env.clone();
        all.extend(self.options.extra_env.iter().cloned());
        let mut environment = env::compose(&all, "/process").map_err(Error::invalid)?;
        if env::needs_home(&environment) {
            env::set_home(&mut environment, self.options.home.as_deref());
        }
        Ok(environment)
    }

    fn find(&mut self, process: &Process, environment: &[String]) {
        let name = self.options.program.clone().unwrap_or_else(|| process.args[0].clone());
        let candidates = env::candidates(&name, environment, &process.cwd);
        self.asked("/process/args/0", ControlStep::FindProgram { name, candidates });
    }

    /// While the host's /proc is in reach.
    pub(super) fn open_labels(&mut self) {
        let Some(process) = &self.bundle.spec.process else { return };
        if let Some((pointer, label)) = Self::label(process) {
            let files = label.files.iter().map(|f| format!("/proc/thread-self/{f}")).collect();
            self.asked(pointer, ProcessStep::OpenLabel { files });
        }
    }

    fn write_label(&mut self, process: &Process) {
        if let Some((pointer, label)) = Self::label(process) {
            self.asked(pointer, ProcessStep::WriteLabel { text: label.text });
        }
    }

    fn label(process: &Process) -> Option<(&'static str, label::LsmLabel)> {
        let named = |l: &Option<String>| l.clone().filter(|l| !l.is_empty());
        named(&process.apparmor_profile)
            .map(|profile| ("/process/apparmorProfile", label::apparmor(&profile)))
            .or_else(|| {
                named(&process.selinux_label)
                    .map(|context| ("/process/selinuxLabel", label::selinux(&context)))
            })
    }

    /// Refuses labels which no module would enforce.
    pub(super) fn check_labels(&self) -> Result<()> {
        let Some(process) = &self.bundle.spec.process else { return Ok(()) };
        let named = |l: &Option<String>| l.as_ref().is_some_and(|l| !l.is_empty());
        let refuse = |pointer: &str, why: &str| Err(Error::unsupported(Phase::Process, pointer, why));
        match (named(&process.apparmor_profile), named(&process.selinux_label)) {
            (true, true) => refuse("/process/selinuxLabel", "AppArmor and SELinux labels exclude each other"),
            (true, _) if !self.host.apparmor => {
                refuse("/process/apparmorProfile", "AppArmor is not enabled on this host")
            }
            (_, true) if !self.host.selinux => {
                refuse("/process/selinuxLabel", "SELinux is not enabled on this host")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn terminal(&mut self) -> Result<()> {
        let Some(process) = self.bundle.spec.process.as_ref().filter(|p| p.terminal) else {
            return if self.options.console {
                Err(Error::new(
                    ErrorKind::InvalidArgument,
                    Phase::Process,
                    "cannot use a console socket if process.terminal is false",
                ))
            } else {
                Ok(())
            };
        };
        if !self.options.console {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                Phase::Process,
                "cannot allocate tty if runc will detach without setting console socket",
            )
            .with_pointer("/process/terminal")
            .with_hint("give --console-socket, or run in the foreground"));
        }
        let clamp = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        let size = process.console_size.as_ref().map(|s| (clamp(s.height), clamp(s.width)));
        let uid = process.user.uid;
        let slot = self.slot("/process/terminal", Slot::Console)?;
        self.asked(
            "/process/terminal",
            ProcessStep::Terminal {
                slot,
                size,
                uid,
                console: self.joining.is_none(),
                kept: self.options.keep_console,
            },
        );
        if !self.is_born_late() {
            self.asked("/process/terminal", ProcessStep::ControllingTerminal);
        }
        Ok(())
    }

    fn created(&mut self) -> Result<()> {
        if self.joining.is_some() {
            return Ok(());
        }
        if self.options.wait_for_start {
            let slot = self.slot("/process", Slot::Start)?;
            self.standard(ControlStep::Created);
            self.standard(HostStep::RecordCreated);
            self.standard(ControlStep::AwaitStart { slot });
            return Ok(());
        }
        if self.is_born_late() {
            self.standard(ControlStep::AwaitHost(Turn::Born));
        }
        let hooks = self.bundle.spec.hooks.as_ref().map_or(0, |h| h.start_container.len());
        if hooks > 0 {
            self.asked("/hooks/startContainer", ControlStep::AwaitHost(Turn::StartHooks));
            let step = HostStep::RunHooks { kind: HookKind::StartContainer, count: hooks };
            self.asked("/hooks/startContainer", step);
        }
        Ok(())
    }

    fn begin(&mut self, process: &Process, env: Vec<String>, mut filter: Option<ProcessStep>) -> Result<()> {
        let execute = ControlStep::Execute { args: process.args.clone(), env };
        // An agent answers for an init and its program: they have one listener. It may also answer for what is left to
        // be done under a filter that is loaded already.
        let is_first = |filter: &mut ProcessStep| match filter {
            ProcessStep::SendListener => true,
            filter => self.options.init && filter.sends_listener(),
        };
        if let Some(first) = filter.take_if(is_first) {
            self.asked("/linux/seccomp", first);
        }
        if self.options.init {
            let (uid, sets) = (Some(process.user.uid), Some(self.sets(process)));
            let stay = ControlStep::stay_as_init(process.terminal, uid, sets, filter.as_ref());
            self.standard(stay);
            self.scheduler_below_init(process)?;
        }
        self.standard(ProcessStep::ResetSignals);
        if let Some(filter) = filter {
            self.asked("/linux/seccomp", filter);
        }
        self.asked("/process/args", execute);
        Ok(())
    }

    /// The filter of the container that is joined, as it was compiled once.
    fn compiled_filter(&self) -> Option<ProcessStep> {
        self.joining.and_then(Policy::filter).map(Filter::step)
    }

    fn filter(&self) -> Result<Option<ProcessStep>> {
        if let Some(filter) = self.compiled_filter() {
            return Ok(Some(filter));
        }
        let Some(spec) = self.bundle.spec.linux.as_ref().and_then(|l| l.seccomp.as_ref()) else {
            return Ok(None);
        };
        let profile = Profile::try_from(spec)?;
        let program = profile.compile()?;
        let support = seccomp::SeccompSupport::probe();
        let listener = program.notifies().then(|| {
            // The stub's own call: once the filter is there, its agent would have to answer for it.
            let passes = program.lets_pass(&profile, "sendmsg");
            if passes { Sender::Itself } else { Sender::Aside }
        });
        let flags = match listener {
            None => support.flag_word(&program)?,
            Some(_) => {
                support.check_actions(&program)?;
                support.flag_word_with_listener(&program)?
            }
        };
        Ok(Some(ProcessStep::Seccomp { filter: program.to_bytes(), flags: flags.into(), listener }))
    }
}

/// The process's scheduler, if it has one of its own.
pub(super) fn scheduling(process: &Process) -> Result<Option<SchedAttr>> {
    process
        .scheduler
        .as_ref()
        .map(|spec| scheduler::parse(spec, "/process").map_err(Error::invalid))
        .transpose()
}
