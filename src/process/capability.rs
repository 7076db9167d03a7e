//! Capabilities: names, numbers, and the five sets of a process; capabilities(7).

use crate::bundle::names;
use crate::bundle::spec::Capabilities;
use crate::sys::{fs, process};
use crate::{Error, Phase, Problem, Result};
use nix::errno::Errno;
use std::fmt;

/// The capabilities of Linux 6.x; the index of a name is its number.
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

/// The highest capability of the running kernel, which may be higher than [`NAMES`]. A bounding set has
/// capabilities up to this number. It is the number in `/proc/sys/kernel/cap_last_cap`, found by prctl(2).
///
/// # Errors
/// If prctl(2) fails, for example because of a seccomp filter.
pub fn last_cap() -> Result<u32> {
    let knows = |number| Ok::<_, Error>(bounding_has(number)?.is_some());
    let mut last = NAMES.len() as u32 - 1;
    while last > 0 && !knows(last)? {
        last -= 1;
    }
    while last < 63 && knows(last + 1)? {
        last += 1;
    }
    Ok(last)
}

/// The bounding set of the calling thread, up to the capability `last` (see [`last_cap`]): the programs that it starts can
/// have no others, except in a new user namespace.
///
/// # Errors
/// As [`last_cap`].
pub fn bounding(last: u32) -> Result<CapSet> {
    let mut set = CapSet::EMPTY;
    for number in 0..=last.min(63) {
        if bounding_has(number)? == Some(true) {
            set.0 |= 1 << number;
        }
    }
    Ok(set)
}

/// Whether the bounding set has a capability; `None` if the kernel does not know it.
fn bounding_has(number: u32) -> Result<Option<bool>> {
    process::bounding_has(number).map_err(|e| Error::sys(Phase::Process, "prctl", e))
}

/// The effective capabilities of the calling thread.
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

/// A set of capabilities: bit n is the capability with the number n.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CapSet(pub u64);

impl CapSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// All capabilities from 0 to `last`.
    pub fn up_to(last: u32) -> Self {
        Self(u64::MAX >> (63 - last.min(63)))
    }

    /// Whether it includes all of `other`.
    pub fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether it includes the capability with this number.
    pub fn has(self, number: u32) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    /// The union.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The capabilities that are not in `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, ordered by number, without capabilities that have none.
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
pub struct CapabilitySets {
    /// Limits what execve(2) can add.
    pub bounding: CapSet,
    /// Used by permission checks.
    pub effective: CapSet,
    /// Kept by execve(2) if the file has them as inheritable too.
    pub inheritable: CapSet,
    /// Limits the effective set.
    pub permitted: CapSet,
    /// Kept by execve(2) of a program without file capabilities.
    pub ambient: CapSet,
}

impl CapabilitySets {
    /// The ambient capabilities that the kernel refuses, because they are not both permitted and inheritable.
    fn unraisable(&self) -> CapSet {
        self.ambient.without(self.permitted.and(self.inheritable))
    }

    /// The capabilities that are in any of the sets.
    pub(crate) fn all(&self) -> CapSet {
        let Self { bounding, effective, inheritable, permitted, ambient } = *self;
        bounding.or(effective).or(inheritable).or(permitted).or(ambient)
    }

    /// The sets without the capabilities that are not in `grantable`.
    pub(crate) fn and(&self, grantable: CapSet) -> Self {
        Self {
            bounding: self.bounding.and(grantable),
            effective: self.effective.and(grantable),
            inheritable: self.inheritable.and(grantable),
            permitted: self.permitted.and(grantable),
            ambient: self.ambient.and(grantable),
        }
    }

    /// The data of capset(2), version 3: effective, permitted, inheritable; lower words, then upper ones.
    pub fn capset_words(&self) -> [u32; 6] {
        let three = [self.effective.0, self.permitted.0, self.inheritable.0];
        let [e, p, i] = three;
        [e as u32, p as u32, i as u32, (e >> 32) as u32, (p >> 32) as u32, (i >> 32) as u32]
    }
}

/// Reads the five sets. A name that the kernel (up to `last`, see [`last_cap`]) or this library does not know is
/// ignored with a warning (`config.md#linux-process`), as is an ambient capability that cannot be raised.
pub fn parse(spec: &Capabilities, last: u32, at: &str) -> (CapabilitySets, Vec<Problem>) {
    let mut warnings = Vec::new();
    let mut read = |names: &[String], set: &str| {
        let mut result = CapSet::EMPTY;
        for (i, name) in names.iter().enumerate() {
            match number(name).filter(|n| *n <= last) {
                Some(n) => result.0 |= 1 << n,
                None => warnings.push(Problem::new(
                    format!("{at}/capabilities/{set}/{i}"),
                    format!("unknown or unavailable capability {name:?} is ignored"),
                    "config.md#linux-process",
                )),
            }
        }
        result
    };
    let mut sets = CapabilitySets {
        bounding: read(&spec.bounding, "bounding"),
        effective: read(&spec.effective, "effective"),
        inheritable: read(&spec.inheritable, "inheritable"),
        permitted: read(&spec.permitted, "permitted"),
        ambient: read(&spec.ambient, "ambient"),
    };
    for name in sets.unraisable().names() {
        warnings.push(Problem::new(
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
    fn names_and_numbers_agree_with_the_crate_caps() {
        let all = caps::all();
        assert_eq!(all.len(), NAMES.len());
        for capability in all {
            assert_eq!(number(&capability.to_string()), Some(u32::from(capability.index())));
        }
    }

    #[test]
    fn the_five_sets_are_read() {
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
    fn an_unknown_name_is_a_warning() {
        let spec = Capabilities { bounding: list(&["CAP_KILL", "CAP_FLY", "CAP_BPF"]), ..Default::default() };
        let (sets, warnings) = parse(&spec, 37, "/process");
        assert_eq!(sets.bounding, CapSet(1 << 5));
        let pointers: Vec<_> = warnings.iter().map(|w| w.pointer.as_str()).collect();
        assert_eq!(pointers, ["/process/capabilities/bounding/1", "/process/capabilities/bounding/2"]);
    }

    #[test]
    fn set_operations() {
        assert_eq!(CapSet::up_to(40).names().count(), 41);
        assert!(CapSet::up_to(40).contains(CapSet(1 << 40)) && !CapSet::up_to(39).has(40));
        assert_eq!(CapSet::up_to(63).0, u64::MAX);
        assert_eq!(CapSet(3).without(CapSet(1)).or(CapSet(4)).and(CapSet(6)), CapSet(6));
        assert!(last_cap().unwrap() >= 37);
        let all = CapSet::up_to(last_cap().unwrap());
        assert!(all.contains(bounding(63).unwrap()));
    }
}
