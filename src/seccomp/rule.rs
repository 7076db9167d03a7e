//! What a profile consists of: rules with their conditions and actions, and flags.

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
    /// Fail the call with this errno, at most 4095.
    Errno(u16),
    /// Notify the tracer, with this message; without a tracer the call fails with `ENOSYS`.
    Trace(u16),
    /// Allow the call and write it to the audit log.
    Log,
    /// Allow the call.
    Allow,
    /// Ask the supervisor, which has the filter's listener.
    Notify,
}

impl Action {
    /// The return value of a filter: `SECCOMP_RET_*` with its data.
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

    /// The action of a filter's return value; the kernel kills the process if it does not know the value.
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

    /// The names in `config.json`, sorted, as `features` reports them.
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

    /// The name in `config.json`.
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

    /// Whether this default action also applies to calls that are newer than the profile. A tracer is expected to
    /// decide about them itself.
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
    /// All operators, sorted by name.
    pub const ALL: [Self; 7] = [
        Self::Equal,
        Self::GreaterOrEqual,
        Self::Greater,
        Self::LessOrEqual,
        Self::Less,
        Self::MaskedEqual,
        Self::NotEqual,
    ];

    /// The name in `config.json`.
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

    /// The operator with this name in `config.json`.
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
    /// The value to compare with; for [`Operator::MaskedEqual`] the mask.
    pub value: u64,
    /// For [`Operator::MaskedEqual`] the value of the masked argument; unused by other operators.
    pub value_two: u64,
}

/// What happens to some calls, possibly under conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallRule<'a> {
    /// The names of the calls. A name that no architecture has is skipped, and reported by
    /// [`SeccompProgram::unknown_names`](super::SeccompProgram::unknown_names).
    pub names: Vec<Cow<'a, str>>,
    /// What happens to them.
    pub action: Action,
    /// All of them must hold. But if two compare the same argument, each condition is a rule of its own, as in
    /// runc.
    pub conditions: Vec<Condition>,
}

/// A flag of seccomp(2). Named `SECCOMP_FILTER_FLAG_*` in `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flag {
    /// Give the filter to every thread of the process.
    Tsync,
    /// Log every action except `Allow`.
    Log,
    /// Do not disable speculative store bypass.
    SpecAllow,
    /// Once the supervisor has received a notification, only a fatal signal interrupts the call.
    WaitKillableRecv,
}

impl Flag {
    /// All flags.
    pub const ALL: [Self; 4] = [Self::Tsync, Self::Log, Self::SpecAllow, Self::WaitKillableRecv];

    /// The name in `config.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsync => "SECCOMP_FILTER_FLAG_TSYNC",
            Self::Log => "SECCOMP_FILTER_FLAG_LOG",
            Self::SpecAllow => "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            Self::WaitKillableRecv => "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        }
    }

    /// The flag with this name in `config.json`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// The flag's bit in the argument of seccomp(2).
    pub const fn bit(self) -> u32 {
        match self {
            Self::Tsync => 1,
            Self::Log => 1 << 1,
            Self::SpecAllow => 1 << 2,
            Self::WaitKillableRecv => 1 << 5,
        }
    }
}
