//! Capabilities: names, numbers and the five sets of a process; capabilities(7).

use super::problem;
use crate::bundle::names;
use crate::bundle::spec::Capabilities;
use crate::sys::{fs, process};
use crate::{Error, Phase, Problem, Result};
use nix::errno::Errno;
use std::fmt;

/// Every capability of Linux 6.x; the index is the number.
pub const NAMES: [&str; 41] = names::CAPABILITIES;

/// The number of `CAP_SYS_PTRACE`.
pub(crate) const CAP_SYS_PTRACE: u32 = 19;
/// The number of `CAP_SYS_ADMIN`.
pub(crate) const CAP_SYS_ADMIN: u32 = 21;
/// The number of `CAP_SYS_NICE`.
pub(crate) const CAP_SYS_NICE: u32 = 23;

/// The number of a capability.
pub fn number(name: &str) -> Option<u32> {
    NAMES.iter().position(|n| *n == name).map(|n| n as u32)
}

/// The highest capability which the running kernel knows (as `/proc/sys/kernel/cap_last_cap` says, but
/// asked for with fewer system calls), which may be beyond [`NAMES`]: whoever empties a bounding set must
/// go up to here.
///
/// # Errors
/// If prctl(2) fails, for example because of a seccomp filter.
pub fn last_cap() -> Result<u32> {
    let knows =
        |number| process::knows_capability(number).map_err(|e| Error::sys(Phase::Process, "prctl", e));
    let mut last = NAMES.len() as u32 - 1;
    while last > 0 && !knows(last)? {
        last -= 1;
    }
    while last < 63 && knows(last + 1)? {
        last += 1;
    }
    Ok(last)
}

/// The calling thread's effective capabilities, in the user namespace it is in.
///
/// # Errors
/// If they cannot be read.
pub fn effective() -> Result<CapSet> {
    let failed = |e| Error::sys(Phase::Process, "read", e).on("/proc/thread-self/status");
    let status = fs::read_at(fs::cwd(), c"/proc/thread-self/status").map_err(failed)?;
    let status = String::from_utf8_lossy(&status);
    let field = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = field.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.map(CapSet).ok_or_else(|| failed(Errno::EPROTO))
}

/// A set of capabilities, bit n for the capability of number n.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapSet(pub u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// All capabilities up to the number `last`.
    pub fn up_to(last: u32) -> Self {
        Self(u64::MAX >> (63 - last.min(63)))
    }

    /// Whether all of `other` are in it.
    pub fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether it has the capability of this number.
    pub fn has(self, number: u32) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, by number; those without a name left out.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().enumerate().filter(move |(n, _)| self.has(*n as u32)).map(|(_, name)| *name)
    }
}

impl fmt::Debug for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The five capability sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What exec can ever gain.
    pub bounding: CapSet,
    /// What permission checks look at.
    pub effective: CapSet,
    /// What files with inheritable capabilities may keep across exec.
    pub inheritable: CapSet,
    /// What may be made effective.
    pub permitted: CapSet,
    /// What an ordinary program keeps across exec.
    pub ambient: CapSet,
}

impl Sets {
    /// Ambient capabilities which the kernel will refuse to raise, not being permitted and inheritable.
    pub fn unraisable(&self) -> CapSet {
        self.ambient.without(self.permitted.and(self.inheritable))
    }

    /// The data of capset(2), version 3: effective, permitted, inheritable; low words, then high ones.
    pub fn capset_words(&self) -> [u32; 6] {
        let three = [self.effective.0, self.permitted.0, self.inheritable.0];
        let [e, p, i] = three;
        [e as u32, p as u32, i as u32, (e >> 32) as u32, (p >> 32) as u32, (i >> 32) as u32]
    }
}

/// Reads the five sets. Names which the kernel (`last`: see [`last_cap`]) or this library does not know
/// are no error but a warning each (`config.md#linux-process`); so are ambient capabilities that cannot
/// be raised, which are left out.
pub fn parse(spec: &Capabilities, last: u32, at: &str) -> (Sets, Vec<Problem>) {
    let mut warnings = Vec::new();
    let mut read = |names: &[String], set: &str| {
        let mut result = CapSet::EMPTY;
        for (i, name) in names.iter().enumerate() {
            match number(name).filter(|n| *n <= last) {
                Some(n) => result.0 |= 1 << n,
                None => warnings.push(problem(
                    format!("{at}/capabilities/{set}/{i}"),
                    format!("unknown or unavailable capability {name:?} is ignored"),
                    "config.md#linux-process",
                )),
            }
        }
        result
    };
    let mut sets = Sets {
        bounding: read(&spec.bounding, "bounding"),
        effective: read(&spec.effective, "effective"),
        inheritable: read(&spec.inheritable, "inheritable"),
        permitted: read(&spec.permitted, "permitted"),
        ambient: read(&spec.ambient, "ambient"),
    };
    for name in sets.unraisable().names() {
        warnings.push(problem(
            format!("{at}/capabilities/ambient"),
            format!("can't raise ambient capability {name}: it is not both permitted and inheritable"),
            "config.md#linux-process",
        ));
    }
    sets.ambient = sets.ambient.without(sets.unraisable());
    (sets, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn names_and_numbers_agree_with_the_caps_crate() {
        let theirs = caps::all();
        assert_eq!(theirs.len(), NAMES.len());
        for capability in theirs {
            assert_eq!(number(&capability.to_string()), Some(u32::from(capability.index())));
        }
    }

    #[test]
    fn five_sets() {
        let spec = Capabilities {
            bounding: list(&["CAP_KILL", "CAP_BPF"]),
            effective: list(&["CAP_KILL"]),
            permitted: list(&["CAP_KILL", "CAP_CHOWN"]),
            inheritable: list(&["CAP_CHOWN"]),
            ambient: list(&["CAP_CHOWN", "CAP_KILL"]),
        };
        let (sets, warnings) = parse(&spec, 40, "/process");
        assert_eq!(sets.bounding, CapSet(1 << 5 | 1 << 39));
        assert_eq!(sets.ambient, CapSet(1), "kill is not inheritable");
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].message.contains("CAP_KILL"));
        assert_eq!(sets.capset_words(), [1 << 5, 1 << 5 | 1, 1, 0, 0, 0]);
        assert_eq!(format!("{:?}", sets.bounding), r#"{"CAP_KILL", "CAP_BPF"}"#);
    }

    #[test]
    fn unknown_names_warn() {
        let spec = Capabilities { bounding: list(&["CAP_KILL", "CAP_FLY", "CAP_BPF"]), ..Default::default() };
        let (sets, warnings) = parse(&spec, 37, "/process");
        assert_eq!(sets.bounding, CapSet(1 << 5));
        let pointers: Vec<_> = warnings.iter().map(|w| w.pointer.as_str()).collect();
        assert_eq!(pointers, ["/process/capabilities/bounding/1", "/process/capabilities/bounding/2"]);
    }

    #[test]
    fn arithmetic() {
        assert_eq!(CapSet::up_to(40).names().count(), 41);
        assert!(CapSet::up_to(40).contains(CapSet(1 << 40)) && !CapSet::up_to(39).has(40));
        assert_eq!(CapSet::up_to(63).0, u64::MAX);
        assert_eq!(CapSet(3).without(CapSet(1)).or(CapSet(4)).and(CapSet(6)), CapSet(6));
        assert!(last_cap().unwrap() >= 37);
    }
}
