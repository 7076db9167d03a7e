//! Lists of names which the spec closes, and the small grammars inside of its strings.

use std::ops::RangeInclusive;

/// Capabilities of capabilities(7) in the order of their numbers.
pub(crate) const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The number of a capability, if its name is known.
pub(crate) fn capability(name: &str) -> Option<usize> {
    CAPABILITIES.iter().position(|known| *known == name)
}

/// Resources of setrlimit(2).
pub(crate) const RLIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

/// Scheduling policies.
pub(crate) const SCHED_POLICIES: [&str; 7] =
    ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];

/// Scheduling flags.
pub(crate) const SCHED_FLAGS: [&str; 7] = [
    "SCHED_FLAG_RESET_ON_FORK",
    "SCHED_FLAG_RECLAIM",
    "SCHED_FLAG_DL_OVERRUN",
    "SCHED_FLAG_KEEP_POLICY",
    "SCHED_FLAG_KEEP_PARAMS",
    "SCHED_FLAG_UTIL_CLAMP_MIN",
    "SCHED_FLAG_UTIL_CLAMP_MAX",
];

/// Classes of ioprio_set(2).
pub(crate) const IO_CLASSES: [&str; 3] = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];

/// Kinds of namespaces.
pub(crate) const NAMESPACES: [&str; 8] = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

/// Propagations of the root mount.
pub(crate) const PROPAGATIONS: [&str; 8] =
    ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"];

/// Modes of set_mempolicy(2).
pub(crate) const MEMORY_MODES: [&str; 7] = [
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
];

/// Flags of set_mempolicy(2).
pub(crate) const MEMORY_FLAGS: [&str; 3] =
    ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// Seccomp actions.
pub(crate) const SECCOMP_ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

/// Seccomp comparisons.
pub(crate) const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Seccomp flags.
pub(crate) const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// Seccomp architectures.
pub(crate) const SECCOMP_ARCHITECTURES: [&str; 23] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
];

/// Highest number that a list of processors or memory nodes may name.
const LIST_MAX: u32 = 65_535;

/// Reads a list of processors or memory nodes such as `0-3,7`; spaces around the parts are allowed.
/// The answer keeps the order of the text.
///
/// # Errors
/// Says which part is wrong. An empty list is none.
pub fn parse_id_list(text: &str) -> Result<Vec<RangeInclusive<u32>>, String> {
    let number = |digits: &str| {
        let digits = digits.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten().filter(|n| *n <= LIST_MAX)
    };
    let mut ranges = Vec::new();
    for part in text.split(',') {
        let range = match part.split_once('-') {
            Some((first, last)) => number(first).zip(number(last)),
            None => number(part).map(|n| (n, n)),
        };
        match range {
            Some((first, last)) if first <= last => ranges.push(first..=last),
            _ => return Err(format!("{part:?} is neither a number nor a range such as 0-3")),
        }
    }
    Ok(ranges)
}

/// The file below `/proc/sys` of a kernel parameter, as sysctl(8) reads the name: of `.` and `/` the
/// one that comes first separates, and the other is a plain character of a name
/// (`net.ipv4.conf.eth0/1.forwarding`). `None` if the name is not well formed.
pub fn sysctl_path(name: &str) -> Option<String> {
    let separator = name.find(['.', '/']).map(|i| name.as_bytes()[i])?;
    let path: String = if separator == b'/' {
        name.to_owned()
    } else {
        name.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect()
    };
    let good = path.split('/').all(|part| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(|b| b.is_ascii_graphic())
    });
    good.then_some(path)
}

/// Whether `version` is a version of SemVer 2.0.0; gives major, minor and patch.
pub(crate) fn parse_semver(version: &str) -> Option<[u64; 3]> {
    let identifier =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let plain = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0'))
    };
    let (version, build) = version.split_once('+').map_or((version, None), |(v, b)| (v, Some(b)));
    let (core, pre) = version.split_once('-').map_or((version, None), |(v, p)| (v, Some(p)));
    let numeric = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let good = build.is_none_or(|b| b.split('.').all(identifier))
        && pre.is_none_or(|p| p.split('.').all(|i| identifier(i) && (!numeric(i) || plain(i))));
    let mut numbers = core.split('.').map(|n| plain(n).then(|| n.parse::<u64>().ok()).flatten());
    let parsed = [numbers.next()??, numbers.next()??, numbers.next()??];
    (good && numbers.next().is_none()).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_lists() {
        assert_eq!(parse_id_list("0-3, 7").unwrap(), [0..=3, 7..=7]);
        for bad in ["", ",", "1,", "3-1", "a", "-1", "1-", "+1", "99999", "1--2", "0x1"] {
            assert!(parse_id_list(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sysctl_names() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/mtu").as_deref(), Some("net/ipv4/conf/eth0.1/mtu"));
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.mtu").as_deref(), Some("net/ipv4/conf/eth0.1/mtu"));
        for bad in
            ["", "net", "/net/x", "net//x", "net/../x", "net..x", "net./.x", "net.x ", "net.\n", "net/"]
        {
            assert_eq!(sysctl_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn versions() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0+dev", "1.0.0-rc1", "1.0.0-rc.1+a.b-c", "1.10.20"] {
            assert_eq!(parse_semver(good).map(|v| v[0]), Some(1), "{good}");
        }
        for bad in
            ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1.0.0-01", "v1.0.0", "1.0.x", "1.0.-1"]
        {
            assert_eq!(parse_semver(bad), None, "{bad:?}");
        }
    }
}
