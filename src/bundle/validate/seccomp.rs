//! config-linux.md#seccomp.

use super::checks::{absolute, one_of};
use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::names::{SECCOMP_ACTIONS, SECCOMP_ARCHITECTURES, SECCOMP_FLAGS, SECCOMP_OPERATORS};
use crate::bundle::spec::{Seccomp, SeccompArg};

const SECTION: &str = "config-linux.md#seccomp";
const NOTIFY: &str = "SCMP_ACT_NOTIFY";
/// The kernel's `MAX_ERRNO`.
const MAX_ERRNO: u32 = 4095;

pub(super) fn check(profile: &Seccomp, at: &Pointer<'_>, found: &mut Findings) {
    let default_at = at.key("defaultAction");
    let default = profile.default_action.as_str();
    one_of(default, &SECCOMP_ACTIONS, &default_at, SECTION, found);
    if default == NOTIFY {
        found.error(&default_at, SECTION, "SCMP_ACT_NOTIFY cannot be used as default action");
    }
    errno(profile.default_errno_ret, default, &at.key("defaultErrnoRet"), found);
    for (name, list, allowed) in [
        ("architectures", profile.architectures.as_slice(), &SECCOMP_ARCHITECTURES[..]),
        ("flags", profile.flags.as_deref().unwrap_or_default(), &SECCOMP_FLAGS[..]),
    ] {
        let at = at.key(name);
        for (i, value) in list.iter().enumerate() {
            one_of(value, allowed, &at.index(i), SECTION, found);
        }
    }
    rules(profile, at, found);
    let notifies = profile.syscalls.iter().any(|rule| rule.action == NOTIFY);
    let listener = at.key("listenerPath");
    match &profile.listener_path {
        Some(path) => absolute(path, &listener, SECTION, found),
        None if notifies => found.error(&listener, SECTION, "is required by SCMP_ACT_NOTIFY"),
        None => {}
    }
    if profile.listener_metadata.is_some() && profile.listener_path.is_none() {
        found.error(&at.key("listenerMetadata"), SECTION, "must not be set without listenerPath");
    }
}

fn rules(profile: &Seccomp, at: &Pointer<'_>, found: &mut Findings) {
    let at = at.key("syscalls");
    for (i, rule) in profile.syscalls.iter().enumerate() {
        let at = at.index(i);
        let names = at.key("names");
        if rule.names.is_empty() {
            found.error(&names, SECTION, "must contain at least one entry");
        }
        for (j, name) in rule.names.iter().enumerate() {
            if name.is_empty() {
                found.error(&names.index(j), SECTION, "must not be empty");
            }
            // Callers know runc's rule and its words; a program whose every write(2) waits for the agent is useless.
            if name == "write" && rule.action == NOTIFY {
                found.error(&names.index(j), SECTION, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
            }
        }
        one_of(&rule.action, &SECCOMP_ACTIONS, &at.key("action"), SECTION, found);
        errno(rule.errno_ret, &rule.action, &at.key("errnoRet"), found);
        let args = at.key("args");
        for (j, condition) in rule.args.iter().enumerate() {
            argument(condition, &args.index(j), found);
        }
    }
}

fn argument(condition: &SeccompArg, at: &Pointer<'_>, found: &mut Findings) {
    if condition.index > 5 {
        found.error(&at.key("index"), SECTION, format!("{} must be from 0 to 5", condition.index));
    }
    one_of(&condition.op, &SECCOMP_OPERATORS, &at.key("op"), SECTION, found);
}

fn errno(value: Option<u32>, action: &str, at: &Pointer<'_>, found: &mut Findings) {
    let Some(value) = value else { return };
    let max = match action {
        "SCMP_ACT_ERRNO" => MAX_ERRNO,
        "SCMP_ACT_TRACE" => u32::from(u16::MAX),
        // An unknown action has already been reported.
        _ if !SECCOMP_ACTIONS.contains(&action) => return,
        _ => return found.error(at, SECTION, format!("{action} has no errno")),
    };
    if value > max {
        found.error(at, SECTION, format!("{value} must not be above {max} with {action}"));
    }
}
