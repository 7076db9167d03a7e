//! Scheduling policy, flags and parameters; sched_setattr(2).

use crate::Problem;
use crate::bundle::spec::Scheduler;

const SECTION: &str = "config.md#linux-process";

/// Policies, by name. Linux only reserves the number of `SCHED_ISO`, and refuses it with EINVAL.
pub const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Flags, by name.
pub const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// `struct sched_attr` of linux/sched/types.h, version 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// Size of this structure.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value of `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// Static priority of `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds, for `SCHED_DEADLINE`.
    pub period: u64,
    /// Lower clamp of utilization, 0 to 1024.
    pub util_min: u32,
    /// Upper clamp of utilization, 0 to 1024.
    pub util_max: u32,
}

const DEADLINE: u32 = 6;
const RESET_ON_FORK: u64 = 0x01;

impl SchedAttr {
    /// Whether the policy is `SCHED_DEADLINE`. Such a process cannot create children, and setting the policy always
    /// requires `CAP_SYS_NICE`.
    pub(crate) fn is_deadline(self) -> bool {
        self.policy == DEADLINE
    }

    /// Whether children do not inherit it.
    pub(crate) fn resets_on_fork(self) -> bool {
        self.flags & RESET_ON_FORK != 0
    }

    /// The attributes without `SCHED_FLAG_RESET_ON_FORK`, which a child inherits. Setting that flag later requires no
    /// capability.
    pub(crate) fn inherited(self) -> Self {
        Self { flags: self.flags & !RESET_ON_FORK, ..self }
    }

    /// The structure as the kernel reads it.
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        let words32 = [self.size, self.policy];
        let (nice, priority) = (self.nice as u32, self.priority);
        bytes[0..4].copy_from_slice(&words32[0].to_ne_bytes());
        bytes[4..8].copy_from_slice(&words32[1].to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[16..20].copy_from_slice(&nice.to_ne_bytes());
        bytes[20..24].copy_from_slice(&priority.to_ne_bytes());
        bytes[24..32].copy_from_slice(&self.runtime.to_ne_bytes());
        bytes[32..40].copy_from_slice(&self.deadline.to_ne_bytes());
        bytes[40..48].copy_from_slice(&self.period.to_ne_bytes());
        bytes[48..52].copy_from_slice(&self.util_min.to_ne_bytes());
        bytes[52..56].copy_from_slice(&self.util_max.to_ne_bytes());
        bytes
    }
}

/// Reads a scheduler.
///
/// # Errors
/// If a name is unknown, or a parameter does not belong to the policy.
pub fn parse(scheduler: &Scheduler, at: &str) -> Result<SchedAttr, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut wrong = |field: &str, message: String| {
        problems.push(Problem::new(format!("{at}/scheduler/{field}"), message, SECTION));
    };
    let name = scheduler.policy.as_str();
    let policy = POLICIES.iter().find(|(n, _)| *n == name).map_or(0, |(_, p)| *p);
    if !POLICIES.iter().any(|(n, _)| *n == name) {
        wrong("policy", format!("unknown scheduling policy {name:?}"));
    }
    let mut flags = 0;
    for (i, flag) in scheduler.flags.iter().enumerate() {
        match FLAGS.iter().find(|(n, _)| n == flag) {
            Some((_, bit)) => flags |= bit,
            None => wrong(&format!("flags/{i}"), format!("unknown scheduling flag {flag:?}")),
        }
    }
    let nice = scheduler.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        wrong("nice", format!("{nice} is not in the range -20 to 19"));
    }
    let priority = scheduler.priority.unwrap_or(0);
    if priority != 0 && !matches!(name, "SCHED_FIFO" | "SCHED_RR") {
        wrong("priority", "is only for SCHED_FIFO and SCHED_RR".into());
    } else if !(0..=99).contains(&priority) {
        wrong("priority", format!("{priority} is not in the range 1 to 99"));
    }
    for (field, value) in
        [("runtime", scheduler.runtime), ("deadline", scheduler.deadline), ("period", scheduler.period)]
    {
        if value.unwrap_or(0) != 0 && name != "SCHED_DEADLINE" {
            wrong(field, "is only for SCHED_DEADLINE".into());
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy,
        flags,
        nice,
        priority: priority as u32,
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
        util_min: 0,
        util_max: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_encoded_for_the_kernel() {
        let s = Scheduler {
            policy: "SCHED_DEADLINE".into(),
            flags: vec!["SCHED_FLAG_RESET_ON_FORK".into(), "SCHED_FLAG_DL_OVERRUN".into()],
            runtime: Some(1),
            deadline: Some(2),
            period: Some(3),
            ..Default::default()
        };
        let attr = parse(&s, "/process").unwrap();
        assert_eq!((attr.size, attr.policy, attr.flags), (56, 6, 5));
        let bytes = attr.to_bytes();
        assert_eq!((bytes[0], bytes[4], bytes[8], bytes[24], bytes[32], bytes[40]), (56, 6, 5, 1, 2, 3));
        let batch = Scheduler { policy: "SCHED_BATCH".into(), nice: Some(-3), ..Default::default() };
        assert_eq!(parse(&batch, "").unwrap().to_bytes()[16..20], (-3i32).to_ne_bytes());
    }

    #[test]
    fn every_problem_is_reported() {
        let s = Scheduler {
            policy: "SCHED_NONE".into(),
            flags: vec!["X".into()],
            nice: Some(20),
            priority: Some(1),
            runtime: Some(1),
            ..Default::default()
        };
        let pointers: Vec<_> = parse(&s, "").unwrap_err().into_iter().map(|p| p.pointer).collect();
        let want = ["policy", "flags/0", "nice", "priority", "runtime"].map(|f| format!("/scheduler/{f}"));
        assert_eq!(pointers, want);
    }
}
