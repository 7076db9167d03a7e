//! config.md#process: the container's process.

use crate::bundle::model::model;

model! {
    /// A container's process, or another process in the container.
    pub struct Process ["config.md#process"] {
        /// Whether it gets a new terminal.
        pub terminal: bool = "terminal",
        /// Size of that terminal.
        pub console_size: Option<ConsoleSize> = "consoleSize",
        /// User and groups.
        pub user: User = "user" expected,
        /// The program and its arguments; REQUIRED.
        pub args: Vec<String> = "args",
        /// Environment, `NAME=value`.
        pub env: Vec<String> = "env",
        /// Working directory, an absolute path inside the container.
        pub cwd: String = "cwd" required,
        /// Capability sets; absent: no capabilities.
        pub capabilities: Option<Capabilities> = "capabilities",
        /// Resource limits.
        pub rlimits: Vec<Rlimit> = "rlimits",
        /// Whether execve(2) cannot add privileges (`PR_SET_NO_NEW_PRIVS`).
        pub no_new_privileges: bool = "noNewPrivileges",
        /// AppArmor profile.
        pub apparmor_profile: Option<String> = "apparmorProfile",
        /// `/proc/<pid>/oom_score_adj`, -1000 to 1000; absent: unchanged.
        pub oom_score_adj: Option<i32> = "oomScoreAdj",
        /// Scheduling, sched_setattr(2).
        pub scheduler: Option<Scheduler> = "scheduler",
        /// SELinux label.
        pub selinux_label: Option<String> = "selinuxLabel",
        /// I/O priority, ioprio_set(2).
        pub io_priority: Option<IoPriority> = "ioPriority",
        /// CPU affinity of processes that join the container.
        pub exec_cpu_affinity: Option<ExecCpuAffinity> = "execCPUAffinity",
    }

    /// Size of a terminal, in characters.
    pub struct ConsoleSize ["config.md#process"] {
        /// Lines.
        pub height: u32 = "height" required,
        /// Columns.
        pub width: u32 = "width" required,
    }

    /// User and groups of a process, as IDs inside the container.
    pub struct User ["config.md#posix-platform-user"] {
        /// User ID.
        pub uid: u32 = "uid" expected,
        /// Group ID.
        pub gid: u32 = "gid" expected,
        /// File mode creation mask; absent: chosen by the runtime.
        pub umask: Option<u32> = "umask",
        /// Supplementary group IDs.
        pub additional_gids: Vec<u32> = "additionalGids",
    }

    /// Capability sets, capabilities(7), by names such as `CAP_CHOWN`.
    pub struct Capabilities ["config.md#linux-process"] {
        /// Bounding set.
        pub bounding: Vec<String> = "bounding",
        /// Effective set.
        pub effective: Vec<String> = "effective",
        /// Inheritable set.
        pub inheritable: Vec<String> = "inheritable",
        /// Permitted set.
        pub permitted: Vec<String> = "permitted",
        /// Ambient set.
        pub ambient: Vec<String> = "ambient",
    }

    /// A resource limit, setrlimit(2).
    pub struct Rlimit ["config.md#posix-process"] {
        /// `type`: the resource's name, such as `RLIMIT_NOFILE`.
        pub kind: String = "type" required,
        /// Ceiling; `u64::MAX` is unlimited.
        pub hard: u64 = "hard" required,
        /// Limit in force; `u64::MAX` is unlimited.
        pub soft: u64 = "soft" required,
    }

    /// Scheduling of a process, sched_setattr(2).
    pub struct Scheduler ["config.md#linux-process"] {
        /// Policy, such as `SCHED_BATCH`.
        pub policy: String = "policy" required,
        /// Nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
        pub nice: Option<i32> = "nice",
        /// Static priority, for `SCHED_FIFO` and `SCHED_RR`.
        pub priority: Option<i32> = "priority",
        /// Flags such as `SCHED_FLAG_RESET_ON_FORK`.
        pub flags: Vec<String> = "flags",
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub runtime: Option<u64> = "runtime",
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub deadline: Option<u64> = "deadline",
        /// Nanoseconds, for `SCHED_DEADLINE`.
        pub period: Option<u64> = "period",
    }

    /// I/O priority of a process, ioprio_set(2).
    pub struct IoPriority ["config.md#linux-process"] {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        pub class: String = "class" required,
        /// 0 (highest) to 7.
        pub priority: i32 = "priority" expected,
    }

    /// CPU affinity of processes that join a container, as lists such as `0-3,7`.
    pub struct ExecCpuAffinity ["config.md#linux-process"] {
        /// Before they join the container's cgroup.
        pub initial: Option<String> = "initial",
        /// After they have joined the container's cgroup.
        pub r#final: Option<String> = "final",
    }
}
