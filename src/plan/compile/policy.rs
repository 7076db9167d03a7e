//! What a container's configuration decides for every process that joins it.
//!
//! A process that joins ([`compile_exec`](super::compile_exec)) is compiled from a [`Bound`] process, which only
//! [`Policy::bind`] creates. So no process can be compiled without the container's filter, or outside one of its
//! namespaces. The caller may choose another identity, other capabilities, other limits or another label. Everything that
//! the process does not mention comes from the container, and `noNewPrivileges` of the container always holds.

use super::super::step::{Line, ProcessStep, Step};
use crate::bundle::Spec;
use crate::bundle::annotations::KEEP_GROUPS;
use crate::bundle::spec::{Linux, Process};
use crate::process::capability::{self, CapSet};
use crate::{Error, ErrorKind, Phase, Result};

/// The compiled filter of system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The program, as the kernel takes it.
    program: Vec<u8>,
    /// Flags of seccomp(2).
    flags: u64,
}

impl Filter {
    /// The filter of a compiled container. `None` if it has no filter, or if an agent listens to it: the agent then gets a
    /// listener for every process.
    pub(crate) fn of_lines(lines: &[Line]) -> Option<Self> {
        lines.iter().find_map(|line| match &line.step {
            Step::Process(ProcessStep::Seccomp { filter, flags, listener: None }) => {
                Some(Self { program: filter.clone(), flags: *flags })
            }
            _ => None,
        })
    }

    pub(super) fn step(&self) -> ProcessStep {
        ProcessStep::Seccomp { filter: self.program.clone(), flags: self.flags, listener: None }
    }
}

/// The part of a configuration that binds every process of its container.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    /// The defaults of a process, and what every process begins under.
    spec: Spec,
    /// The compiled filter. Without it, `spec` has the profile.
    filter: Option<Filter>,
    /// Whether some process of the container may have `CAP_SYS_PTRACE`; known once a process is bound.
    traces: bool,
}

impl Policy {
    /// The policy of a configuration. `filter` is its compiled profile, if it is known.
    pub(crate) fn of(spec: &Spec, filter: Option<Filter>) -> Self {
        let process = spec.process.as_ref().map(|process| Process {
            terminal: false,
            console_size: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: String::new(),
            ..process.clone()
        });
        let linux = spec.linux.as_ref().map(|linux| Linux {
            namespaces: linux.namespaces.clone(),
            memory_policy: linux.memory_policy.clone(),
            personality: linux.personality.clone(),
            seccomp: linux.seccomp.clone().filter(|_| filter.is_none()),
            ..Linux::default()
        });
        let version = spec.version.clone();
        let annotations = spec.annotations.only(&[&KEEP_GROUPS]);
        Self { spec: Spec { version, process, annotations, linux, ..Spec::default() }, filter, traces: false }
    }

    /// The configuration's part of it.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(super) fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Whether another process in the container's pid namespace may be able to trace an undumpable process of this policy.
    /// Nothing is known about other containers in a joined pid namespace. In the host's pid namespace there is no more to
    /// gain from this process than from any other.
    pub(super) fn may_be_reached(&self) -> bool {
        let mut namespaces = self.spec.linux.iter().flat_map(|linux| &linux.namespaces);
        let pid = namespaces.find(|namespace| namespace.kind == "pid");
        let joined = |path: &Option<String>| path.as_ref().is_some_and(|path| !path.is_empty());
        pid.is_some_and(|pid| self.traces || joined(&pid.path))
    }

    /// A process under this policy.
    pub(crate) fn bind(mut self, process: &Process) -> Bound {
        let ours = self.spec.process.take().unwrap_or_default();
        self.traces = may_trace(&ours);
        let named = |label: &Option<String>| label.clone().filter(|label| !label.is_empty());
        let mut bound = process.clone();
        bound.no_new_privileges |= ours.no_new_privileges;
        // A label of one security module replaces the container's label of the other one.
        if named(&bound.apparmor_profile).or(named(&bound.selinux_label)).is_none() {
            bound.apparmor_profile = ours.apparmor_profile;
            bound.selinux_label = ours.selinux_label;
        }
        bound.capabilities = bound.capabilities.or(ours.capabilities);
        if bound.rlimits.is_empty() {
            bound.rlimits = ours.rlimits;
        }
        bound.oom_score_adj = bound.oom_score_adj.or(ours.oom_score_adj);
        bound.scheduler = bound.scheduler.or(ours.scheduler);
        bound.io_priority = bound.io_priority.or(ours.io_priority);
        bound.exec_cpu_affinity = bound.exec_cpu_affinity.or(ours.exec_cpu_affinity);
        bound.user.umask = bound.user.umask.or(ours.user.umask);
        self.spec.process = Some(bound);
        Bound { policy: self }
    }

    /// The bytes that [`decode`](Self::decode) reads.
    ///
    /// # Errors
    /// If the configuration cannot be written as JSON.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let (program, flags) = self.filter.as_ref().map_or((&[][..], 0), |f| (&f.program, f.flags));
        let mut out = format!("{flags} {}\n", program.len()).into_bytes();
        out.extend_from_slice(program);
        serde_json::to_writer(&mut out, &self.spec).map_err(|e| {
            Error::new(ErrorKind::System, Phase::Plan, "encode the policy").with_detail(e.to_string())
        })?;
        Ok(out)
    }

    /// The policy that [`encode`](Self::encode) has written; `None` for any other bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let (flags, length) = std::str::from_utf8(&bytes[..end]).ok()?.split_once(' ')?;
        let (flags, length) = (flags.parse().ok()?, length.parse::<usize>().ok()?);
        let (program, spec) = bytes[end + 1..].split_at_checked(length)?;
        let filter = (length > 0).then(|| Filter { program: program.to_vec(), flags });
        Some(Self { spec: Spec::from_json(spec).ok()?, filter, traces: false })
    }
}

/// A process under the policy of the container that it is to join.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    policy: Policy,
}

impl Bound {
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The configuration that it is compiled from.
    pub(crate) fn spec(&self) -> &Spec {
        &self.policy.spec
    }

    /// Whether another process of the container may reach into this one before it executes its program.
    pub(crate) fn may_be_reached(&self) -> bool {
        self.policy.may_be_reached()
    }

    /// Whether the process could gain `CAP_SYS_ADMIN` by tracing a process with these capabilities in the container's pid
    /// namespace. In a user namespace of the container that capability has no effect on the host.
    pub(crate) fn may_take(&self, held: CapSet) -> bool {
        let linux = self.policy.spec.linux.as_ref();
        if !held.has(capability::CAP_SYS_ADMIN) || linux.is_some_and(|linux| linux.has_namespace("user")) {
            return false;
        }
        self.process().is_some_and(|process| {
            let mut permitted = process.capabilities.iter().flat_map(|capabilities| &capabilities.permitted);
            let has = permitted.any(|name| capability::number(name) == Some(capability::CAP_SYS_ADMIN));
            !has && (may_trace(process) || self.policy.traces)
        })
    }

    /// The process, with all that it has from the container.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.policy.spec.process.as_ref()
    }
}

/// Whether a process or its descendants can have `CAP_SYS_PTRACE`.
pub(super) fn may_trace(process: &Process) -> bool {
    let bounding = process.capabilities.iter().flat_map(|capabilities| &capabilities.bounding);
    bounding.into_iter().any(|name| capability::number(name) == Some(capability::CAP_SYS_PTRACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::spec::{Capabilities, IoPriority, Rlimit, Scheduler, User};

    fn spec() -> Spec {
        let text = br#"{"ociVersion": "1.2.0", "hostname": "h", "root": {"path": "r"},
            "process": {"args": ["init"], "env": ["A=1"], "cwd": "/init", "terminal": true,
                "user": {"uid": 7, "gid": 8, "umask": 63}, "noNewPrivileges": true, "oomScoreAdj": 9,
                "apparmorProfile": "ours", "capabilities": {"bounding": ["CAP_KILL"]},
                "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
                "scheduler": {"policy": "SCHED_BATCH"}, "ioPriority": {"class": "IOPRIO_CLASS_IDLE"},
                "execCPUAffinity": {"final": "1"}},
            "linux": {"namespaces": [{"type": "pid"}], "personality": {"domain": "LINUX32"},
                "memoryPolicy": {"mode": "MPOL_LOCAL"}, "maskedPaths": ["/x"],
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}"#;
        Spec::from_json(text).unwrap()
    }

    #[test]
    fn a_process_gets_what_it_does_not_mention_from_the_container() {
        let (spec, theirs) = (spec(), Process { args: vec!["x".into()], ..Process::default() });
        let ours = spec.process.clone().unwrap();
        let bound = Policy::of(&spec, None).bind(&theirs);
        let process = bound.process().unwrap();
        let user = User { umask: Some(63), ..User::default() };
        let expected = Process {
            args: vec!["x".into()],
            env: Vec::new(),
            cwd: String::new(),
            terminal: false,
            user,
            ..ours
        };
        assert_eq!(process, &expected);
        let linux = bound.policy().spec().linux.as_ref().unwrap();
        assert!(linux.seccomp.is_some() && linux.personality.is_some() && linux.memory_policy.is_some());
        assert_eq!(linux.namespaces.len(), 1);
    }

    #[test]
    fn a_process_keeps_what_it_mentions_except_new_privileges() {
        let theirs = Process {
            no_new_privileges: false,
            selinux_label: Some("theirs".into()),
            capabilities: Some(Capabilities::default()),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 3, hard: 4 }],
            oom_score_adj: Some(0),
            scheduler: Some(Scheduler { policy: "SCHED_OTHER".into(), ..Scheduler::default() }),
            io_priority: Some(IoPriority { class: "IOPRIO_CLASS_BE".into(), priority: 1 }),
            user: User { umask: Some(0), ..User::default() },
            ..Process::default()
        };
        let bound = Policy::of(&spec(), None).bind(&theirs);
        let process = bound.process().unwrap();
        assert!(process.no_new_privileges);
        let expected = Process {
            no_new_privileges: true,
            exec_cpu_affinity: spec().process.unwrap().exec_cpu_affinity,
            ..theirs
        };
        assert_eq!(process, &expected, "no AppArmor profile beside the SELinux label");
    }

    #[test]
    fn an_encoded_policy_is_decoded() {
        for filter in [None, Some(Filter { program: b"{\n\0".repeat(8), flags: 4 })] {
            let policy = Policy::of(&spec(), filter);
            assert_eq!(policy.spec.linux.as_ref().unwrap().seccomp.is_some(), policy.filter.is_none());
            let bytes = policy.encode().unwrap();
            assert_eq!(Policy::decode(&bytes), Some(policy));
            for length in 0..bytes.len() {
                assert_eq!(Policy::decode(&bytes[..length]), None, "{length}");
            }
        }
    }
}
