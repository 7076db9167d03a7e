//! Steps that set attributes and limits of the program's process.

use super::slot::SlotId;
use crate::Phase;
use crate::process::capability::{CapSet, CapabilitySets};
use nix::errno::Errno;
use std::fmt;

/// What sends a filter's listener to the host side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The process that loads the filter, which allows sendmsg(2).
    Itself,
    /// A thread that is not under the filter.
    Thread,
    /// The process that is cloned under the filter, by [`ProcessStep::SendListener`].
    Successor,
}

/// What a label of a security module applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelTarget {
    /// The program that the next execve(2) executes.
    Program,
    /// Keys and keyrings that the process creates.
    Keys,
}

/// What happens to the caller's supplementary groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// They are replaced by these.
    Set(Vec<u32>),
    /// They are dropped, unless the user namespace denies that (`/proc/PID/setgroups`).
    Drop,
    /// They are kept.
    Keep,
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(groups) => write!(f, "{groups:?}"),
            Self::Drop => f.write_str("[], if they may be changed"),
            Self::Keep => f.write_str("of the caller"),
        }
    }
}

/// Where the process's terminal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalPlace {
    /// The container's devpts; it is bound to /dev/console too.
    Console,
    /// The container's devpts.
    Container,
    /// The host's devpts: the container has no mounts.
    Host,
}

/// A step that changes the process.
#[derive(Clone, Debug, PartialEq)]
pub enum ProcessStep {
    /// setsid(2).
    NewSession,
    /// Write `oom_score_adj`.
    OomScoreAdj(i32),
    /// Open the terminal, and send its master over a socket.
    Terminal {
        /// The socket that receives the master.
        slot: SlotId,
        /// Height and width.
        size: Option<(u16, u16)>,
        /// Its owner.
        uid: u32,
        /// Where it comes from.
        place: TerminalPlace,
        /// Whether the caller relays it to a terminal of its own, which adds the carriage returns.
        relayed: bool,
    },
    /// Make the terminal at descriptor 0 the controlling terminal of the session.
    ControllingTerminal,
    /// prlimit(2) to raise a hard limit. The limit is set later, by a process that has no right to raise it.
    RaiseHardLimit {
        /// `RLIMIT_*` as a number.
        resource: u32,
        /// As a name.
        name: String,
        /// The hard limit.
        hard: u64,
    },
    /// Join the session keyring of this name, or create it.
    Keyring {
        /// Its name.
        name: String,
        /// The permissions that it gets, as of keyctl(2); `None`: it keeps those that it has.
        permissions: Option<u32>,
    },
    /// prlimit(2).
    Rlimit {
        /// `RLIMIT_*` as a number.
        resource: u32,
        /// As a name.
        name: String,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    },
    /// sched_setattr(2).
    Scheduler {
        /// `struct sched_attr`.
        attr: [u8; 56],
        /// Whether the container's cgroup limits its processors.
        cpuset: bool,
    },
    /// ioprio_set(2).
    IoPriority(u32),
    /// sched_setaffinity(2). If the configuration does not name processors, the process gets all that its cgroup allows,
    /// even if the caller is confined to fewer.
    CpuAffinity {
        /// One bit for each processor.
        mask: Vec<u8>,
        /// Whether the configuration names the processors.
        configured: bool,
    },
    /// personality(2).
    Personality(u64),
    /// set_mempolicy(2).
    MemoryPolicy {
        /// The mode, with its flags.
        mode: u32,
        /// One bit for each node.
        nodes: Vec<u8>,
        /// How many bits count.
        max_node: u64,
    },
    /// Open the file for the label, while the host's /proc is within reach.
    OpenLabel {
        /// What the label applies to.
        target: LabelTarget,
        /// The paths to try, in order.
        files: Vec<String>,
    },
    /// Write the label.
    WriteLabel {
        /// What the label applies to.
        target: LabelTarget,
        /// The label, as the file takes it.
        text: String,
    },
    /// fchown(2) of the standard descriptors to the user.
    ChownStdio {
        /// The user.
        uid: u32,
    },
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// PR_CAPBSET_DROP of all other capabilities.
    BoundingSet {
        /// The capabilities to keep.
        keep: u64,
        /// The highest capability that the kernel knows.
        last: u32,
    },
    /// setgroups, setresgid, setresuid, keeping capabilities.
    Identity {
        /// The user; `None` leaves it as it is.
        uid: Option<u32>,
        /// The group; `None` leaves it as it is.
        gid: Option<u32>,
        /// The supplementary groups.
        groups: Groups,
    },
    /// capset(2), and the ambient set. `extra` stays until execve(2), for a filter that is to be loaded.
    Capabilities {
        /// The sets that the program begins with.
        sets: CapabilitySets,
        /// Capabilities that are permitted and effective as well.
        extra: u64,
        /// The ambient set.
        ambient: u64,
    },
    /// capset(2) once the filter is loaded: drops what was kept for that, except `extra`.
    GiveUp {
        /// The sets that the program begins with.
        sets: CapabilitySets,
        /// Capabilities that stay permitted and effective.
        extra: u64,
    },
    /// umask(2).
    Umask(u32),
    /// Change to the working directory in the container, which is created if it is missing.
    WorkingDirectory {
        /// Its path.
        path: String,
        /// Creates it if it is missing.
        create: bool,
    },
    /// Change to a hook's working directory, or to `/` if it does not exist.
    HookDirectory {
        /// Its path.
        path: String,
    },
    /// chdir(2) to a directory that must exist.
    ChangeDirectory {
        /// Its path.
        path: String,
    },
    /// Let each signal end the process whose default action does. The process may be PID 1, for which the kernel ignores that
    /// action.
    ExitOnSignals,
    /// Reset all signal dispositions, and unblock all signals.
    ResetSignals,
    /// seccomp(2).
    Seccomp {
        /// The program, as the kernel takes it.
        filter: Vec<u8>,
        /// Its flags.
        flags: u64,
        /// What sends the listener, if the filter has one.
        listener: Option<Sender>,
    },
    /// Send the listener of the filter that is loaded already to the agent.
    SendListener,
}

/// Why the kernel refuses a scheduler in a cgroup with a cpuset; the words are those that callers know.
pub(crate) const SCHEDULER_OR_CPUSET: &str = "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE needs \
                                              all processors, and /linux/resources/cpu/cpus limits them";

impl ProcessStep {
    /// Whether it sends the listener of a filter.
    pub(crate) fn sends_listener(&self) -> bool {
        matches!(
            self,
            Self::SendListener | Self::Seccomp { listener: Some(Sender::Itself | Sender::Thread), .. }
        )
    }

    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Seccomp { .. } | Self::SendListener => Phase::Seccomp,
            Self::NewSession
            | Self::OomScoreAdj(_)
            | Self::Terminal { .. }
            | Self::ControllingTerminal
            | Self::RaiseHardLimit { .. }
            | Self::Keyring { .. }
            | Self::Rlimit { .. }
            | Self::Scheduler { .. }
            | Self::IoPriority(_)
            | Self::CpuAffinity { .. }
            | Self::Personality(_)
            | Self::MemoryPolicy { .. }
            | Self::OpenLabel { .. }
            | Self::WriteLabel { .. }
            | Self::ChownStdio { .. }
            | Self::NoNewPrivileges
            | Self::BoundingSet { .. }
            | Self::Identity { .. }
            | Self::Capabilities { .. }
            | Self::GiveUp { .. }
            | Self::Umask(_)
            | Self::WorkingDirectory { .. }
            | Self::HookDirectory { .. }
            | Self::ChangeDirectory { .. }
            | Self::ExitOnSignals
            | Self::ResetSignals => Phase::Process,
        }
    }

    pub(super) fn hint(&self, errno: Errno) -> Option<&'static str> {
        let when = |expected: Errno, hint: &'static str| (errno == expected).then_some(hint);
        match self {
            Self::OomScoreAdj(_) => when(Errno::EACCES, "lowering oom_score_adj takes CAP_SYS_RESOURCE"),
            Self::Keyring { .. } => {
                let hint = "the user's key quota is used up; see /proc/key-users, or use --no-new-keyring";
                when(Errno::EDQUOT, hint)
            }
            Self::Rlimit { .. } | Self::RaiseHardLimit { .. } => {
                when(Errno::EPERM, "raising a hard limit takes CAP_SYS_RESOURCE")
            }
            Self::Scheduler { cpuset: true, .. } => when(Errno::EPERM, SCHEDULER_OR_CPUSET),
            Self::Scheduler { cpuset: false, .. } => when(Errno::EPERM, "it takes CAP_SYS_NICE"),
            Self::WriteLabel { target: LabelTarget::Program, .. } => {
                when(Errno::ENOENT, "is the AppArmor profile loaded?")
            }
            Self::Identity { .. } => {
                let denied = "the container's user namespace denies setgroups(2), as an unprivileged user has made it: \
                              leave /process/user/additionalGids out";
                when(Errno::EINVAL, "the id is not mapped into the user namespace")
                    .or(when(Errno::EPERM, denied))
            }
            Self::Capabilities { .. } => {
                when(Errno::EPERM, "a capability that the caller does not have itself")
            }
            Self::Seccomp { listener: Some(_), .. } => {
                let small = "a thread has to send the listener, as the profile does not allow sendmsg(2): is \
                             pids.limit too small?";
                let busy =
                    "the caller is itself under a filter with a listener, and a process can only have one";
                when(Errno::EAGAIN, small).or(when(Errno::EBUSY, busy))
            }
            Self::Seccomp { listener: None, .. }
            | Self::SendListener
            | Self::NewSession
            | Self::Terminal { .. }
            | Self::ControllingTerminal
            | Self::IoPriority(_)
            | Self::CpuAffinity { .. }
            | Self::Personality(_)
            | Self::MemoryPolicy { .. }
            | Self::OpenLabel { .. }
            | Self::WriteLabel { target: LabelTarget::Keys, .. }
            | Self::ChownStdio { .. }
            | Self::NoNewPrivileges
            | Self::BoundingSet { .. }
            | Self::GiveUp { .. }
            | Self::Umask(_)
            | Self::WorkingDirectory { .. }
            | Self::HookDirectory { .. }
            | Self::ChangeDirectory { .. }
            | Self::ExitOnSignals
            | Self::ResetSignals => None,
        }
    }
}

impl fmt::Display for ProcessStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewSession => f.write_str("new session"),
            Self::OomScoreAdj(value) => write!(f, "oom_score_adj {value}"),
            Self::Terminal { size, place, .. } => {
                let of_host = if *place == TerminalPlace::Host { " of the host" } else { "" };
                write!(f, "open the terminal{of_host}, send its master")?;
                size.map_or(Ok(()), |(height, width)| write!(f, " ({width}x{height})"))
            }
            Self::ControllingTerminal => f.write_str("set the controlling terminal"),
            Self::RaiseHardLimit { name, hard, .. } => write!(f, "hard limit {name} {hard}"),
            Self::Keyring { name, .. } => write!(f, "session keyring {name}"),
            Self::Rlimit { name, soft, hard, .. } => write!(f, "limit {name} {soft} {hard}"),
            Self::Scheduler { .. } => f.write_str("scheduler"),
            Self::IoPriority(value) => write!(f, "I/O priority {value:#x}"),
            Self::CpuAffinity { configured: false, .. } => f.write_str("reset CPU affinity"),
            Self::CpuAffinity { mask, .. } => write!(f, "run on processors {}", processors(mask)),
            Self::Personality(value) => write!(f, "personality {value:#x}"),
            Self::MemoryPolicy { mode, .. } => write!(f, "memory policy {mode:#x}"),
            Self::OpenLabel { target: LabelTarget::Program, .. } => f.write_str("open the label file"),
            Self::OpenLabel { target: LabelTarget::Keys, .. } => f.write_str("open the label file of keys"),
            Self::WriteLabel { target: LabelTarget::Program, text } => write!(f, "label {text}"),
            Self::WriteLabel { target: LabelTarget::Keys, text } => write!(f, "label of new keys {text}"),
            Self::ChownStdio { uid } => write!(f, "chown standard descriptors to user {uid}"),
            Self::NoNewPrivileges => f.write_str("no new privileges"),
            Self::BoundingSet { keep, .. } => write!(f, "bounding set {}", capabilities(CapSet(*keep))),
            Self::Identity { uid, gid, groups } => {
                write!(f, "user {}, group {}, groups {groups}", id(*uid), id(*gid))
            }
            Self::Capabilities { sets, .. } => write!(
                f,
                "permitted {}, effective {}, inheritable {}, ambient {}",
                capabilities(sets.permitted),
                capabilities(sets.effective),
                capabilities(sets.inheritable),
                capabilities(sets.ambient)
            ),
            Self::GiveUp { .. } => f.write_str("drop the capabilities for loading the filter"),
            Self::Umask(mask) => write!(f, "umask {mask:04o}"),
            Self::WorkingDirectory { path, .. } | Self::ChangeDirectory { path } => {
                write!(f, "working directory {path}")
            }
            Self::HookDirectory { path } => write!(f, "working directory {path}, or /"),
            Self::ExitOnSignals => f.write_str("exit on signals"),
            Self::ResetSignals => f.write_str("reset signal handlers"),
            Self::SendListener => f.write_str("send the listener to the agent"),
            Self::Seccomp { filter, flags, listener } => {
                write!(f, "seccomp filter of {} instructions, flags {flags:#x}", filter.len() / 8)?;
                f.write_str(match listener {
                    None => "",
                    Some(Sender::Itself) => "; its listener to the agent",
                    Some(Sender::Thread) => "; its listener to the agent, by a thread",
                    Some(Sender::Successor) => "; its listener to the agent, by the final process",
                })
            }
        }
    }
}

fn id(id: Option<u32>) -> String {
    id.map_or_else(|| "as it is".into(), |id| id.to_string())
}

/// Up to four capabilities by name, more of them as a mask with their number.
fn capabilities(set: CapSet) -> String {
    let list: Vec<_> = set.names().collect();
    match list.len() {
        0 => "none".into(),
        1..=4 => list.join("+"),
        n => format!("{:#x} ({n})", set.0),
    }
}

/// The processors in a mask: `0 2 3`.
fn processors(mask: &[u8]) -> String {
    let bits = (0..mask.len() * 8).filter(|bit| mask[bit / 8] >> (bit % 8) & 1 == 1);
    bits.map(|bit| bit.to_string()).collect::<Vec<_>>().join(" ")
}
