//! Controllers and sets of them.

use std::fmt;

/// A cgroup controller. `blkio` (v1) and `io` (v2) count as the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Controller {
    /// CPU time: weight, quota.
    Cpu,
    /// CPU accounting (v1; v2 needs no controller for this).
    CpuAcct,
    /// CPUs and memory nodes.
    CpuSet,
    /// Memory and swap.
    Memory,
    /// Device access (v1; a BPF program on v2).
    Devices,
    /// Freezing (v1; part of the core on v2).
    Freezer,
    /// Block I/O: `blkio` on v1, `io` on v2.
    Io,
    /// Number of tasks.
    Pids,
    /// Huge pages.
    HugeTlb,
    /// RDMA handles and objects.
    Rdma,
    /// Network class ids (v1).
    NetCls,
    /// Network priorities (v1).
    NetPrio,
    /// perf events by cgroup.
    PerfEvent,
    /// Miscellaneous scalar resources.
    Misc,
    /// Device memory regions (GPU; v2).
    Dmem,
}

const ALL: [Controller; 15] = [
    Controller::Cpu,
    Controller::CpuAcct,
    Controller::CpuSet,
    Controller::Memory,
    Controller::Devices,
    Controller::Freezer,
    Controller::Io,
    Controller::Pids,
    Controller::HugeTlb,
    Controller::Rdma,
    Controller::NetCls,
    Controller::NetPrio,
    Controller::PerfEvent,
    Controller::Misc,
    Controller::Dmem,
];

impl Controller {
    /// The kernel's name on cgroup v1.
    pub const fn v1_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuAcct => "cpuacct",
            Self::CpuSet => "cpuset",
            Self::Memory => "memory",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Io => "blkio",
            Self::Pids => "pids",
            Self::HugeTlb => "hugetlb",
            Self::Rdma => "rdma",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::PerfEvent => "perf_event",
            Self::Misc => "misc",
            Self::Dmem => "dmem",
        }
    }

    /// The kernel's name on cgroup v2, as in `cgroup.controllers`.
    pub const fn v2_name(self) -> &'static str {
        match self {
            Self::Io => "io",
            other => other.v1_name(),
        }
    }

    /// The controller with this name on v1 or v2.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|c| c.v1_name() == name || c.v2_name() == name)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v1_name())
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controllers(u16);

impl Controllers {
    /// No controller.
    pub const NONE: Self = Self(0);

    /// Adds a controller.
    pub fn insert(&mut self, controller: Controller) {
        self.0 |= 1 << controller as u8;
    }

    /// Whether `controller` is in the set.
    pub const fn contains(self, controller: Controller) -> bool {
        self.0 & (1 << controller as u8) != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The difference.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The intersection.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The union.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The controllers, in the order of [`Controller`].
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        ALL.into_iter().filter(move |c| self.contains(*c))
    }

    /// Parses names that are separated by blanks or commas; unknown names are ignored.
    pub fn parse(names: &str) -> Self {
        names.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter_map(Controller::from_name).collect()
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<I: IntoIterator<Item = Controller>>(iter: I) -> Self {
        let mut set = Self::NONE;
        iter.into_iter().for_each(|c| set.insert(c));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_parsed_from_v1_and_v2_names() {
        let set = Controllers::parse("cpuset cpu io memory hugetlb pids rdma misc\n");
        assert!(set.contains(Controller::Io) && set.contains(Controller::Misc));
        assert!(!set.contains(Controller::CpuAcct));
        assert_eq!(set.iter().count(), 8);
        assert_eq!(Controllers::parse("cpu,cpuacct").iter().count(), 2);
        assert_eq!(Controller::from_name("blkio"), Controller::from_name("io"));
        assert_eq!(
            Controllers::parse("cpu pids").without(Controllers::parse("pids")),
            Controllers::parse("cpu")
        );
    }
}
