//! The process: limits, identity, capabilities, filter, program.

use super::super::step::{Groups, Sender, Slot, Step, Turn};
use super::{Compiler, Filter, Policy};
use crate::bundle::annotations::KEEP_GROUPS;
use crate::bundle::spec::Process;
use crate::process::capability::{self, Sets};
use crate::process::{env, io_priority, label, memory_policy, personality, rlimit, scheduler, user};
use crate::seccomp::{self, Profile};
use crate::{Error, ErrorKind, Phase, Problem, Result};

pub(super) const CAP_SYS_ADMIN: u32 = 21;

impl Compiler<'_> {
    pub(super) fn program(&mut self) -> Result<()> {
        let bundle = self.bundle;
        let Some(process) = &bundle.spec.process else {
            self.created();
            self.standard(Step::NoProgram);
            return Ok(());
        };
        if process.args.is_empty() {
            return Err(Error::invalid(vec![Problem {
                pointer: "/process/args".into(),
                message: "args must not be empty".into(),
                section: "config.md#process",
            }]));
        }
        self.limits(process)?;
        let identity = user::parse(&process.user, "/process").map_err(Error::invalid)?;
        self.asked("/process/cwd", Step::WorkingDirectory { path: process.cwd.clone() });
        if identity.uid != 0 && !process.terminal {
            self.asked("/process/user", Step::ChownStdio { uid: identity.uid });
        }
        self.privileges(process, &identity);
        self.asked("/process/user", Step::Umask(identity.umask));
        let environment = self.environment(process)?;
        self.find(process, &environment);
        self.write_label(process);
        self.created();
        self.standard(Step::CloseDescriptors { preserve: self.options.preserve_fds });
        self.begin(process, environment)
    }

    fn limits(&mut self, process: &Process) -> Result<()> {
        if !self.options.no_new_keyring {
            self.standard(Step::Keyring { name: self.options.id.clone() });
        }
        let limits = rlimit::parse(&process.rlimits, "/process").map_err(Error::invalid)?;
        for (i, limit) in limits.iter().enumerate() {
            let name = process.rlimits.get(i).map_or_else(String::new, |l| l.kind.clone());
            let step = Step::Rlimit { resource: limit.resource, name, soft: limit.soft, hard: limit.hard };
            self.asked(format!("/process/rlimits/{i}"), step);
        }
        if let Some(spec) = &process.scheduler {
            let attr = scheduler::parse(spec, "/process").map_err(Error::invalid)?.to_bytes();
            self.asked("/process/scheduler", Step::Scheduler { attr });
        }
        if let Some(spec) = &process.io_priority {
            let value = io_priority::parse(spec, "/process").map_err(|p| Error::invalid(vec![p]))?;
            self.asked("/process/ioPriority", Step::IoPriority(value));
        }
        let Some(linux) = &self.bundle.spec.linux else { return Ok(()) };
        if let Some(spec) = &linux.personality {
            let persona = personality::parse(spec, "/linux").map_err(|p| Error::invalid(vec![p]))?;
            self.asked("/linux/personality", Step::Personality(persona.into()));
        }
        if let Some(spec) = &linux.memory_policy {
            let policy = memory_policy::parse(spec, "/linux").map_err(Error::invalid)?;
            let max_node = policy.max_node();
            let step = Step::MemoryPolicy { mode: policy.mode, nodes: policy.nodes, max_node };
            self.asked("/linux/memoryPolicy", step);
        }
        Ok(())
    }

    /// Whether a filter is loaded by privilege and not under no_new_privs.
    fn filter_needs_privilege(&self, process: &Process) -> bool {
        let profile = self.bundle.spec.linux.as_ref().is_some_and(|l| l.seccomp.is_some());
        !process.no_new_privileges && (profile || self.compiled_filter().is_some())
    }

    fn privileges(&mut self, process: &Process, identity: &user::Identity) {
        if process.no_new_privileges {
            self.asked("/process/noNewPrivileges", Step::NoNewPrivileges);
        }
        let (sets, warnings) = match &process.capabilities {
            Some(spec) => capability::parse(spec, self.host.last_cap, "/process"),
            None => (Sets::default(), Vec::new()),
        };
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let last = self.host.last_cap;
        self.asked("/process/capabilities/bounding", Step::BoundingSet { keep: sets.bounding.0, last });
        let groups = self.groups(identity);
        self.asked("/process/user", Step::Identity { uid: identity.uid, gid: identity.gid, groups });
        let extra = if self.filter_needs_privilege(process) { 1 << CAP_SYS_ADMIN } else { 0 };
        self.asked("/process/capabilities", Step::Capabilities { sets, extra, ambient: sets.ambient.0 });
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
        let name = process.args[0].clone();
        let candidates = env::candidates(&name, environment, &process.cwd);
        self.asked("/process/args/0", Step::FindProgram { name, candidates });
    }

    /// While the host's /proc is in reach.
    pub(super) fn open_labels(&mut self) {
        let Some(process) = &self.bundle.spec.process else { return };
        if let Some((pointer, label)) = Self::label(process) {
            let files = label.files.iter().map(|f| format!("/proc/thread-self/{f}")).collect();
            self.asked(pointer, Step::OpenLabel { files });
        }
    }

    fn write_label(&mut self, process: &Process) {
        if let Some((pointer, label)) = Self::label(process) {
            self.asked(pointer, Step::WriteLabel { text: label.text });
        }
    }

    fn label(process: &Process) -> Option<(&'static str, label::Label)> {
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
        let slot = self.slot(Slot::Console);
        self.asked(
            "/process/terminal",
            Step::Terminal {
                slot,
                size,
                uid,
                console: self.joining.is_none(),
                kept: self.options.keep_console,
            },
        );
        Ok(())
    }

    fn created(&mut self) {
        if self.joining.is_some() {
            return;
        }
        if self.options.wait_for_start {
            let slot = self.slot(Slot::Start);
            self.standard(Step::Created);
            self.standard(Step::RecordCreated);
            self.standard(Step::AwaitStart { slot });
            return;
        }
        let hooks = self.bundle.spec.hooks.as_ref().map_or(0, |h| h.start_container.len());
        if hooks > 0 {
            self.asked("/hooks/startContainer", Step::AwaitHost(Turn::StartHooks));
            let step = Step::RunHooks { kind: "startContainer", count: hooks };
            self.asked("/hooks/startContainer", step);
        }
    }

    fn begin(&mut self, process: &Process, env: Vec<String>) -> Result<()> {
        let filter = self.filter()?;
        let execute = Step::Execute { args: process.args.clone(), env };
        if self.options.init {
            // PID 1 is under the same filter as what it looks after.
            if let Some(filter) = filter {
                self.asked("/linux/seccomp", filter);
            }
            self.standard(Step::StayAsInit { foreground: process.terminal });
            self.standard(Step::ResetSignals);
        } else {
            self.standard(Step::ResetSignals);
            if let Some(filter) = filter {
                self.asked("/linux/seccomp", filter);
            }
        }
        self.asked("/process/args", execute);
        Ok(())
    }

    /// The filter of the container that is joined, as it was compiled once.
    fn compiled_filter(&self) -> Option<Step> {
        self.joining.and_then(Policy::filter).map(Filter::step)
    }

    fn filter(&self) -> Result<Option<Step>> {
        if let Some(filter) = self.compiled_filter() {
            return Ok(Some(filter));
        }
        let Some(spec) = self.bundle.spec.linux.as_ref().and_then(|l| l.seccomp.as_ref()) else {
            return Ok(None);
        };
        let profile = Profile::try_from(spec)?;
        let program = profile.compile()?;
        let support = seccomp::Support::probe();
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
        Ok(Some(Step::Seccomp { filter: program.to_bytes(), flags: flags.into(), listener }))
    }
}
