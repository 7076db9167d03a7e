//! config.md#process.

use super::checks::{absolute, id_list, one_of};
use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::names::{IO_CLASSES, RLIMITS, SCHED_FLAGS, SCHED_POLICIES, capability};
use crate::bundle::spec::{Capabilities, Process, Rlimit, Scheduler};

const PROCESS: &str = "config.md#process";
const POSIX: &str = "config.md#posix-process";
const LINUX: &str = "config.md#linux-process";

pub(super) fn check(process: &Process, at: &Pointer<'_>, found: &mut Findings) {
    program(process, at, found);
    let user = at.key("user");
    if let Some(umask) = process.user.umask.filter(|umask| *umask > 0o777) {
        let message = format!("{umask} must be from 0 to 511 (octal 777)");
        found.error(&user.key("umask"), "config.md#posix-platform-user", message);
    }
    if let Some(size) = &process.console_size {
        let at = at.key("consoleSize");
        for (name, value) in [("height", size.height), ("width", size.width)] {
            if value > u32::from(u16::MAX) {
                found.error(&at.key(name), PROCESS, format!("{value} must be from 0 to 65535"));
            }
        }
    }
    rlimits(&process.rlimits, &at.key("rlimits"), found);
    if let Some(sets) = &process.capabilities {
        capabilities(sets, &at.key("capabilities"), found);
    }
    if let Some(score) = process.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        found.error(&at.key("oomScoreAdj"), LINUX, format!("{score} must be from -1000 to 1000"));
    }
    if let Some(settings) = &process.scheduler {
        scheduler(settings, &at.key("scheduler"), found);
    }
    if let Some(io) = &process.io_priority {
        let at = at.key("ioPriority");
        one_of(&io.class, &IO_CLASSES, &at.key("class"), LINUX, found);
        if !(0..=7).contains(&io.priority) {
            found.error(&at.key("priority"), LINUX, format!("{} must be from 0 to 7", io.priority));
        }
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        let at = at.key("execCPUAffinity");
        id_list(affinity.initial.as_deref(), &at.key("initial"), LINUX, found);
        id_list(affinity.r#final.as_deref(), &at.key("final"), LINUX, found);
    }
}

/// Program, environment, working directory.
fn program(process: &Process, at: &Pointer<'_>, found: &mut Findings) {
    let args = at.key("args");
    if process.args.is_empty() {
        found.error(&args, PROCESS, "args must not be empty");
    }
    absolute(&process.cwd, &at.key("cwd"), PROCESS, found);
    let env = at.key("env");
    for (i, variable) in process.env.iter().enumerate() {
        match variable.find('=') {
            None => found.error(&env.index(i), PROCESS, "invalid environment variable: missing '='"),
            Some(0) => {
                let message = "invalid environment variable: name cannot be empty";
                found.error(&env.index(i), PROCESS, message);
            }
            Some(_) => {}
        }
    }
}

fn rlimits(limits: &[Rlimit], at: &Pointer<'_>, found: &mut Findings) {
    for (i, limit) in limits.iter().enumerate() {
        let at = at.index(i);
        let known = one_of(&limit.kind, &RLIMITS, &at.key("type"), POSIX, found);
        if known && limits[..i].iter().any(|earlier| earlier.kind == limit.kind) {
            found.error(&at.key("type"), POSIX, format!("{} is given twice", limit.kind));
        }
        if limit.soft > limit.hard {
            let message = format!("{} must not exceed the hard limit {}", limit.soft, limit.hard);
            found.error(&at.key("soft"), POSIX, message);
        }
    }
}

fn capabilities(sets: &Capabilities, at: &Pointer<'_>, found: &mut Findings) {
    let mask = |names: &[String]| {
        names.iter().filter_map(|name| capability(name)).fold(0_u64, |mask, number| mask | 1 << number)
    };
    let permitted = mask(&sets.permitted);
    let inheritable = if sets.ambient.is_empty() { 0 } else { mask(&sets.inheritable) };
    for (set, names, allowed, needs) in [
        ("bounding", &sets.bounding, u64::MAX, ""),
        ("effective", &sets.effective, permitted, "permitted"),
        ("inheritable", &sets.inheritable, u64::MAX, ""),
        ("permitted", &sets.permitted, u64::MAX, ""),
        ("ambient", &sets.ambient, permitted & inheritable, "permitted and inheritable"),
    ] {
        let at = at.key(set);
        for (i, name) in names.iter().enumerate() {
            match capability(name) {
                None => {
                    found.warn(&at.index(i), LINUX, format!("unknown capability {name:?} is ignored"));
                }
                Some(number) if allowed & 1 << number == 0 => {
                    let message = format!("{name} cannot be {set}: it is not {needs}");
                    found.warn(&at.index(i), LINUX, message);
                }
                Some(_) => {}
            }
        }
    }
}

fn scheduler(settings: &Scheduler, at: &Pointer<'_>, found: &mut Findings) {
    let policy = settings.policy.as_str();
    if !one_of(policy, &SCHED_POLICIES, &at.key("policy"), LINUX, found) {
        return;
    }
    let flags = at.key("flags");
    for (i, flag) in settings.flags.iter().enumerate() {
        one_of(flag, &SCHED_FLAGS, &flags.index(i), LINUX, found);
    }
    if let Some(nice) = settings.nice.filter(|nice| !(-20..=19).contains(nice)) {
        found.error(&at.key("nice"), LINUX, format!("{nice} must be from -20 to 19"));
    }
    let priority = settings.priority.unwrap_or(0);
    let real_time = matches!(policy, "SCHED_FIFO" | "SCHED_RR");
    if real_time && !(1..=99).contains(&priority) {
        found.error(&at.key("priority"), LINUX, format!("{priority} must be from 1 to 99 with {policy}"));
    } else if !real_time && priority != 0 {
        found.error(&at.key("priority"), LINUX, "is only for SCHED_FIFO and SCHED_RR");
    }
    let [runtime, deadline, period] =
        [settings.runtime, settings.deadline, settings.period].map(|time| time.unwrap_or(0));
    if policy != "SCHED_DEADLINE" {
        for (name, time) in [("runtime", runtime), ("deadline", deadline), ("period", period)] {
            if time != 0 {
                found.error(&at.key(name), LINUX, "is only for SCHED_DEADLINE");
            }
        }
    } else if runtime < 1024 || runtime > deadline || (period != 0 && deadline > period) {
        let message =
            "requires 1024 <= runtime <= deadline <= period (nanoseconds; a period of 0 means the deadline)";
        found.error(&at.key("runtime"), LINUX, message);
    }
}
