//! config-linux.md#seccomp: the system call filter.

use crate::bundle::model::model;

model! {
    /// A seccomp profile.
    pub struct Seccomp ["config-linux.md#seccomp"] {
        /// The action of calls without a rule, such as `SCMP_ACT_ERRNO`.
        pub default_action: String = "defaultAction" required,
        /// errno of the default action; absent: `EPERM`.
        pub default_errno_ret: Option<u32> = "defaultErrnoRet",
        /// Architectures such as `SCMP_ARCH_X86_64`, in addition to the native one.
        pub architectures: Vec<String> = "architectures",
        /// Flags of seccomp(2), such as `SECCOMP_FILTER_FLAG_LOG`; absent: chosen by the runtime.
        pub flags: Option<Vec<String>> = "flags",
        /// Absolute path of the socket of the agent that receives the listener.
        pub listener_path: Option<String> = "listenerPath",
        /// Opaque data for that agent.
        pub listener_metadata: Option<String> = "listenerMetadata",
        /// The rules.
        pub syscalls: Vec<Syscall> = "syscalls",
    }

    /// A rule for some system calls.
    pub struct Syscall ["config-linux.md#seccomp"] {
        /// Names of the system calls, at least one.
        pub names: Vec<String> = "names" required,
        /// The action of these calls.
        pub action: String = "action" required,
        /// errno, or trace message, of the action; absent: `EPERM`.
        pub errno_ret: Option<u32> = "errnoRet",
        /// Conditions on the arguments, which must all hold.
        pub args: Vec<SeccompArg> = "args",
    }

    /// A condition on one argument.
    pub struct SeccompArg ["config-linux.md#seccomp"] {
        /// The argument, 0 to 5.
        pub index: u32 = "index" required,
        /// The value to compare with; for `SCMP_CMP_MASKED_EQ` the mask.
        pub value: u64 = "value" required,
        /// For `SCMP_CMP_MASKED_EQ` the value of the masked argument.
        pub value_two: Option<u64> = "valueTwo",
        /// The comparison, such as `SCMP_CMP_EQ`.
        pub op: String = "op" required,
    }
}
