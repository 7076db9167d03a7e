//! Profiles: what a filter does with calls, before it is compiled.

use super::arch::Arch;
use super::compile::compile_rules;
use super::program::SeccompProgram;
use super::rule::{Action, Flag, SyscallRule};
use crate::{Error, ErrorKind, Phase, Result};
use std::borrow::Cow;

/// What a filter does with calls: by default, and with certain calls.
///
/// # Which rule decides
/// As in runc and libseccomp, the order of the rules does not matter:
/// - A rule whose action is the default action has no effect.
/// - A rule without conditions beats those with conditions; the first such rule wins.
/// - Rules with conditions are tried in this order: by the lowest argument that they compare, higher
///   arguments first; then equality (`EQ`, `NE`, `MASKED_EQ`) before `LT`/`LE` before `GT`/`GE`;
///   then larger values first (smaller first for `LT`/`LE`); then by the next argument; a rule with fewer
///   conditions first; then in the order of the profile. The first rule whose conditions all hold decides.
/// - On 32-bit architectures (including x32), comparisons for equality use the lower 32 bits of a value; in other
///   comparisons a larger value is larger than every argument.
/// - If the architecture also has the named call as a part of socketcall(2) or ipc(2), the rule applies there too,
///   without its conditions on the first argument.
///
/// # Calls that are newer than the profile
/// Calls above the highest number that any rule names fail with `ENOSYS`, so that programs fall back to older calls.
/// This does not apply if the default action is `Allow`, `Log` or `Trace`.
///
/// # Other architectures
/// The native architecture is always in the filter. A call of an architecture that is not in the filter kills the
/// thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    /// What happens to calls without a rule.
    pub default_action: Action,
    /// Architectures in addition to the native one.
    pub architectures: Vec<Arch>,
    /// Flags of seccomp(2); `None`: [`Flag::SpecAllow`] if the kernel supports it.
    pub flags: Option<Vec<Flag>>,
    /// Socket of the agent that receives the listener; not used by the compiler.
    pub listener_path: Option<Cow<'a, str>>,
    /// Data for that agent; not used by the compiler.
    pub listener_metadata: Option<Cow<'a, str>>,
    /// The rules.
    pub rules: Vec<SyscallRule<'a>>,
}

impl Profile<'_> {
    /// A profile without rules.
    pub const fn new(default_action: Action) -> Self {
        Self {
            default_action,
            architectures: Vec::new(),
            flags: None,
            listener_path: None,
            listener_metadata: None,
            rules: Vec::new(),
        }
    }

    /// Whether some rule has [`Action::Notify`], so that loading the program creates a listener.
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|r| r.action == Action::Notify)
    }

    /// Compiles for the architecture that this library was built for. Makes no system call.
    pub fn compile(&self) -> Result<SeccompProgram> {
        let native = Arch::native().ok_or_else(|| {
            Error::unsupported(
                Phase::Seccomp,
                "/linux/seccomp",
                "no table of system calls for this architecture",
            )
        })?;
        self.compile_for(native)
    }

    /// Compiles for a machine whose native architecture is `native`.
    pub fn compile_for(&self, native: Arch) -> Result<SeccompProgram> {
        self.check()?;
        let compiled = compile_rules(&self.rules, self.default_action, &self.with_native(native))?;
        Ok(SeccompProgram {
            code: compiled.code,
            sections: compiled.sections,
            flags: self.flags.clone(),
            notifies: self.notifies(),
            unknown_names: compiled.unknown_names,
        })
    }

    /// Refuses what cannot work under any kernel.
    fn check(&self) -> Result<()> {
        let refuse = |pointer: String, why: &'static str| {
            Err(Error::new(ErrorKind::InvalidConfig, Phase::Seccomp, why).with_pointer(pointer))
        };
        if self.default_action == Action::Notify {
            return refuse(
                "/linux/seccomp/defaultAction".into(),
                "SCMP_ACT_NOTIFY cannot be used as default action",
            );
        }
        for (i, rule) in self.rules.iter().enumerate() {
            if let Some(j) = rule.conditions.iter().position(|c| c.argument > 5) {
                return refuse(
                    format!("/linux/seccomp/syscalls/{i}/args/{j}/index"),
                    "a system call has arguments 0 to 5",
                );
            }
        }
        Ok(())
    }

    /// The native architecture, then the others, each once.
    fn with_native(&self, native: Arch) -> Vec<Arch> {
        let mut archs = vec![native];
        for &arch in &self.architectures {
            if !archs.contains(&arch) {
                archs.push(arch);
            }
        }
        archs
    }

    /// Whether the program of this profile allows the native system call of this name, whatever its arguments are.
    pub(crate) fn always_allows(&self, program: &SeccompProgram, name: &str) -> bool {
        matches!(self.fixed_action(program, name), Some(Action::Allow | Action::Log))
    }

    /// Whether a process that makes the native system call of this name dies of SIGSYS, whatever its arguments are.
    pub(crate) fn always_kills(&self, program: &SeccompProgram, name: &str) -> bool {
        let action = self.fixed_action(program, name);
        matches!(action, Some(Action::KillProcess | Action::KillThread | Action::Trap))
    }

    /// What the program of this profile does with the native system call of this name, if its arguments do not matter.
    fn fixed_action(&self, program: &SeccompProgram, name: &str) -> Option<Action> {
        let conditional =
            |rule: &SyscallRule<'_>| !rule.conditions.is_empty() && rule.names.iter().any(|n| n == name);
        let arch = Arch::native()?;
        let number = arch.number(name)?;
        let fixed = !self.rules.iter().any(conditional);
        fixed.then(|| program.evaluate(arch, number, [0; 6]))
    }
}
