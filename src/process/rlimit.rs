//! Resource limits by name; setrlimit(2).

use crate::Problem;
use crate::bundle::spec::Rlimit;

/// All limits of Linux, by name. The numbers differ between architectures.
#[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
pub const NAMES: [(&str, u32); 16] = [
    ("RLIMIT_AS", libc::RLIMIT_AS as u32),
    ("RLIMIT_CORE", libc::RLIMIT_CORE as u32),
    ("RLIMIT_CPU", libc::RLIMIT_CPU as u32),
    ("RLIMIT_DATA", libc::RLIMIT_DATA as u32),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE as u32),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS as u32),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK as u32),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE as u32),
    ("RLIMIT_NICE", libc::RLIMIT_NICE as u32),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE as u32),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC as u32),
    ("RLIMIT_RSS", libc::RLIMIT_RSS as u32),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO as u32),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME as u32),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING as u32),
    ("RLIMIT_STACK", libc::RLIMIT_STACK as u32),
];

/// One limit, as for prlimit(2); `u64::MAX` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// The limit in force.
    pub soft: u64,
    /// The ceiling of the soft limit.
    pub hard: u64,
}

/// The number of a limit.
pub fn number(name: &str) -> Option<u32> {
    NAMES.iter().find(|(n, _)| *n == name).map(|(_, number)| *number)
}

/// Reads a list of limits.
///
/// # Errors
/// If a type is unknown or repeated (`config.md#posix-process`), or a soft limit is above the hard limit.
pub fn parse(limits: &[Rlimit], at: &str) -> Result<Vec<ResourceLimit>, Vec<Problem>> {
    const SECTION: &str = "config.md#posix-process";
    let (mut result, mut problems) = (Vec::<ResourceLimit>::with_capacity(limits.len()), Vec::new());
    for (i, limit) in limits.iter().enumerate() {
        let at = format!("{at}/rlimits/{i}");
        let Some(resource) = number(&limit.kind) else {
            let message = format!("unknown resource limit {:?}; names are such as RLIMIT_NOFILE", limit.kind);
            problems.push(Problem::new(format!("{at}/type"), message, SECTION));
            continue;
        };
        if result.iter().any(|other| other.resource == resource) {
            problems.push(Problem::new(
                format!("{at}/type"),
                format!("{} is set twice", limit.kind),
                SECTION,
            ));
        }
        if limit.soft > limit.hard {
            let message = format!("the soft limit {} is above the hard limit {}", limit.soft, limit.hard);
            problems.push(Problem::new(format!("{at}/soft"), message, SECTION));
        }
        result.push(ResourceLimit { resource, soft: limit.soft, hard: limit.hard });
    }
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(kind: &str, soft: u64, hard: u64) -> Rlimit {
        Rlimit { kind: kind.into(), soft, hard }
    }

    #[test]
    fn limits_are_read_and_checked() {
        assert!(NAMES.is_sorted());
        let good = [limit("RLIMIT_NOFILE", 1024, 4096), limit("RLIMIT_CORE", 0, u64::MAX)];
        let parsed = parse(&good, "/process").unwrap();
        assert_eq!(
            parsed[0],
            ResourceLimit { resource: number("RLIMIT_NOFILE").unwrap(), soft: 1024, hard: 4096 }
        );
        let bad = [limit("RLIMIT_FLY", 0, 0), limit("RLIMIT_CPU", 2, 1), limit("RLIMIT_CPU", 1, 1)];
        let problems = parse(&bad, "/process").unwrap_err();
        let pointers: Vec<_> = problems.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/process/rlimits/0/type", "/process/rlimits/1/soft", "/process/rlimits/2/type"]
        );
    }
}
