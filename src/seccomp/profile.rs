//! What a filter shall do, before it is compiled: actions, rules, conditions, flags.

use super::Arch;
use std::borrow::Cow;

/// What the kernel does with a call. Named `SCMP_ACT_*` in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Kill the calling thread with SIGSYS (`SCMP_ACT_KILL`, `SCMP_ACT_KILL_THREAD`).
    KillThread,
    /// Kill the whole process with SIGSYS.
    KillProcess,
    /// Send SIGSYS to the thread, which may handle it.
    Trap,
    /// Answer with this errno, at most 4095.
    Errno(u16),
    /// Tell the tracer, with this message; without a tracer the call answers `ENOSYS`.
    Trace(u16),
    /// Let the call pass and write it to the audit log.
    Log,
    /// Let the call pass.
    Allow,
    /// Ask the supervisor behind the filter's listener.
    Notify,
}

impl Action {
    /// The kernel's word for it, `SECCOMP_RET_*`, with its data.
    pub const fn value(self) -> u32 {
        match self {
            Self::KillThread => 0,
            Self::KillProcess => 0x8000_0000,
            Self::Trap => 0x0003_0000,
            Self::Errno(n) => 0x0005_0000 | n as u32,
            Self::Notify => 0x7fc0_0000,
            Self::Trace(n) => 0x7ff0_0000 | n as u32,
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }

    /// The action that a filter's answer means; what the kernel does not know kills the process.
    pub const fn from_value(value: u32) -> Self {
        let data = (value & 0xffff) as u16;
        match value & 0xffff_0000 {
            0 => Self::KillThread,
            0x0003_0000 => Self::Trap,
            0x0005_0000 => Self::Errno(data),
            0x7fc0_0000 => Self::Notify,
            0x7ff0_0000 => Self::Trace(data),
            0x7ffc_0000 => Self::Log,
            0x7fff_0000 => Self::Allow,
            _ => Self::KillProcess,
        }
    }

    /// The names of `config.json`, sorted, as `features` reports them.
    pub const NAMES: [&'static str; 9] = [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
    ];

    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Log => "SCMP_ACT_LOG",
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Notify => "SCMP_ACT_NOTIFY",
        }
    }

    /// Whether a call which the profile's author never heard of should be left to the kernel: a
    /// tracer is expected to know what to do with it.
    pub(super) const fn permissive(self) -> bool {
        matches!(self, Self::Allow | Self::Log | Self::Trace(_))
    }
}

/// How an argument is compared. Named `SCMP_CMP_*` in `config.json`. Comparisons are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// `argument & value == value_two & value`
    MaskedEqual,
}

impl Operator {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Equal,
        Self::GreaterOrEqual,
        Self::Greater,
        Self::LessOrEqual,
        Self::Less,
        Self::MaskedEqual,
        Self::NotEqual,
    ];

    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotEqual => "SCMP_CMP_NE",
            Self::Less => "SCMP_CMP_LT",
            Self::LessOrEqual => "SCMP_CMP_LE",
            Self::Equal => "SCMP_CMP_EQ",
            Self::GreaterOrEqual => "SCMP_CMP_GE",
            Self::Greater => "SCMP_CMP_GT",
            Self::MaskedEqual => "SCMP_CMP_MASKED_EQ",
        }
    }

    /// The operator with this name of `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.name() == name)
    }
}

/// A condition on one argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// The comparison.
    pub operator: Operator,
    /// What to compare with; the mask of [`Operator::MaskedEqual`].
    pub value: u64,
    /// What the masked argument must be; unused by the other operators.
    pub value_two: u64,
}

/// What happens to some calls, perhaps only under conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallRule<'a> {
    /// Names of the calls. One that no architecture knows is skipped and reported
    /// ([`Program::unknown_names`](super::Program::unknown_names)).
    pub names: Vec<Cow<'a, str>>,
    /// What happens.
    pub action: Action,
    /// All must hold; but where two compare the same argument each stands for a rule of its own
    /// (as runc has it).
    pub conditions: Vec<Condition>,
}

/// A flag of seccomp(2). Named `SECCOMP_FILTER_FLAG_*` in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// Give the filter to every thread of the process.
    Tsync,
    /// Log every action but `Allow`.
    Log,
    /// Do not switch off speculative store bypass.
    SpecAllow,
    /// A notifying thread can only be killed once its supervisor has read the notification.
    WaitKillableRecv,
}

impl Flag {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tsync, Self::Log, Self::SpecAllow, Self::WaitKillableRecv];

    /// Its name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsync => "SECCOMP_FILTER_FLAG_TSYNC",
            Self::Log => "SECCOMP_FILTER_FLAG_LOG",
            Self::SpecAllow => "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            Self::WaitKillableRecv => "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        }
    }

    /// The flag with this name of `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// The kernel's bit.
    pub const fn bit(self) -> u32 {
        match self {
            Self::Tsync => 1,
            Self::Log => 1 << 1,
            Self::SpecAllow => 1 << 2,
            Self::WaitKillableRecv => 1 << 5,
        }
    }
}

/// A filter to be: what to do with calls in general, and with some in particular.
///
/// # Which rule decides
/// As with runc and libseccomp, whatever order the rules are in:
/// - A rule whose action is the default action is no rule.
/// - A rule without conditions beats those with conditions; the first such rule wins.
/// - Rules with conditions are tried in this order: by the lowest argument they look at, higher
///   arguments first; then equality (`EQ`, `NE`, `MASKED_EQ`) before `LT`/`LE` before `GT`/`GE`;
///   then larger values first (smaller first for `LT`/`LE`); then by the next argument; a rule with fewer
///   conditions first; then as listed. The first whose conditions all hold decides.
/// - On 32-bit architectures (x32 too) values are cut to their low 32 bits for equality and
///   saturate for ordering.
/// - Where socketcall(2) or ipc(2) carry the named call, they get the rule as well (without its
///   condition on the first argument).
///
/// # Calls which the profile does not know
/// Unless the default action lets calls pass (`Allow`, `Log`, `Trace`) or is `Errno(ENOSYS)` anyway,
/// numbers above the highest one named in any rule answer `ENOSYS`, so that programs fall back
/// from system calls newer than the profile.
///
/// # Other architectures
/// The native architecture always belongs to the filter; a call through one that does not kills
/// the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile<'a> {
    /// What happens to calls without a rule.
    pub default_action: Action,
    /// Architectures besides the native one.
    pub architectures: Vec<Arch>,
    /// Flags of seccomp(2); `None`: [`Flag::SpecAllow`] where the kernel knows it.
    pub flags: Option<Vec<Flag>>,
    /// Socket of the agent that gets the listener; carried for the caller.
    pub listener_path: Option<Cow<'a, str>>,
    /// Data for that agent; carried for the caller.
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

    /// Whether some rule asks a supervisor, so that loading the program makes a listener.
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|r| r.action == Action::Notify)
    }
}
