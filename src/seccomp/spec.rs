//! `linux.seccomp` of `config.json` as a profile.

use super::arch::Arch;
use super::profile::Profile;
use super::rule::{Action, Condition, Flag, Operator, SyscallRule};
use crate::bundle::spec;
use crate::{Error, Problem};
use std::borrow::Cow;

const AT: &str = "/linux/seccomp";
const SECTION: &str = "config-linux.md#seccomp";
/// The kernel's `MAX_ERRNO`: user space does not see a larger value as an error.
const MAX_ERRNO: u32 = 4095;
const DEFAULT_ERRNO: u16 = libc::EPERM as u16;

impl<'a> TryFrom<&'a spec::Seccomp> for Profile<'a> {
    type Error = Error;

    /// Reads the profile. The error has every problem, with its JSON pointer.
    fn try_from(seccomp: &'a spec::Seccomp) -> Result<Self, Error> {
        let mut reader = ProfileReader { problems: Vec::new() };
        let profile = reader.profile(seccomp);
        if reader.problems.is_empty() { Ok(profile) } else { Err(Error::invalid(reader.problems)) }
    }
}

struct ProfileReader {
    problems: Vec<Problem>,
}

impl ProfileReader {
    fn problem(&mut self, place: &str, message: String) {
        self.problems.push(Problem { pointer: format!("{AT}{place}"), message, section: SECTION });
    }

    fn profile<'a>(&mut self, seccomp: &'a spec::Seccomp) -> Profile<'a> {
        let default_action = self.action(
            "",
            "defaultAction",
            "defaultErrnoRet",
            &seccomp.default_action,
            seccomp.default_errno_ret,
        );
        let mut architectures = Vec::with_capacity(seccomp.architectures.len());
        for (i, name) in seccomp.architectures.iter().enumerate() {
            match Arch::from_name(name) {
                Some(arch) => architectures.push(arch),
                None => self.problem(
                    &format!("/architectures/{i}"),
                    format!("there is no table of system calls for architecture {name:?}"),
                ),
            }
        }
        let flags = seccomp.flags.as_deref().map(|names| self.flags(names));
        let rules = seccomp.syscalls.iter().enumerate().map(|(i, call)| self.rule(i, call)).collect();
        Profile {
            default_action,
            architectures,
            flags,
            listener_path: seccomp.listener_path.as_deref().map(Cow::Borrowed),
            listener_metadata: seccomp.listener_metadata.as_deref().map(Cow::Borrowed),
            rules,
        }
    }

    fn flags(&mut self, names: &[String]) -> Vec<Flag> {
        let mut flags = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            match Flag::from_name(name) {
                Some(flag) => flags.push(flag),
                None => self.problem(&format!("/flags/{i}"), format!("unknown seccomp flag {name:?}")),
            }
        }
        flags
    }

    fn rule<'a>(&mut self, i: usize, call: &'a spec::Syscall) -> SyscallRule<'a> {
        let place = |what: &str| format!("/syscalls/{i}{what}");
        if call.names.is_empty() {
            self.problem(&place("/names"), "must name at least one system call".into());
        }
        if let Some(j) = call.names.iter().position(String::is_empty) {
            self.problem(&place(&format!("/names/{j}")), "an empty string is not a system call".into());
        }
        let action = self.action(&place(""), "action", "errnoRet", &call.action, call.errno_ret);
        let mut conditions = Vec::with_capacity(call.args.len());
        for (j, arg) in call.args.iter().enumerate() {
            let operator = Operator::from_name(&arg.op);
            if operator.is_none() {
                self.problem(&place(&format!("/args/{j}/op")), format!("unknown operator {:?}", arg.op));
            }
            if arg.index > 5 {
                self.problem(
                    &place(&format!("/args/{j}/index")),
                    format!("a system call has arguments 0 to 5, not {}", arg.index),
                );
            }
            conditions.push(Condition {
                argument: arg.index.min(5) as u8,
                operator: operator.unwrap_or(Operator::Equal),
                value: arg.value,
                value_two: arg.value_two.unwrap_or(0),
            });
        }
        SyscallRule {
            names: call.names.iter().map(|n| Cow::Borrowed(n.as_str())).collect(),
            action,
            conditions,
        }
    }

    fn action(&mut self, place: &str, key: &str, errno_key: &str, name: &str, errno: Option<u32>) -> Action {
        let number = |limit: u32| errno.filter(|&n| n <= limit).map_or(DEFAULT_ERRNO, |n| n as u16);
        let (action, limit) = match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => (Action::KillThread, None),
            "SCMP_ACT_KILL_PROCESS" => (Action::KillProcess, None),
            "SCMP_ACT_TRAP" => (Action::Trap, None),
            "SCMP_ACT_ERRNO" => (Action::Errno(number(MAX_ERRNO)), Some(MAX_ERRNO)),
            "SCMP_ACT_TRACE" => (Action::Trace(number(0xffff)), Some(0xffff)),
            "SCMP_ACT_LOG" => (Action::Log, None),
            "SCMP_ACT_ALLOW" => (Action::Allow, None),
            "SCMP_ACT_NOTIFY" => (Action::Notify, None),
            _ => {
                self.problem(&format!("{place}/{key}"), format!("unknown action {name:?}"));
                return Action::KillThread;
            }
        };
        match (errno, limit) {
            (Some(n), Some(limit)) if n > limit => {
                self.problem(&format!("{place}/{errno_key}"), format!("{n} is above {limit}"));
            }
            (Some(_), None) => {
                self.problem(&format!("{place}/{errno_key}"), format!("{name} takes no errno"));
            }
            _ => {}
        }
        action
    }
}
