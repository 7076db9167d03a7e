//! Command lines to test with.

use super::super::low::LowArgs;
use super::super::parse::{Request, parse};
use super::super::table::{Command, CommandId, Flag, FlagSetter};
use crate::failure::Failure;
use std::ffi::OsString;

/// The first stage, for this command line.
pub(super) fn parsed(line: &[&str]) -> (Result<Request<&'static Command>, Failure>, LowArgs) {
    let mut args = LowArgs::default();
    let request = parse("orlop", line.iter().map(OsString::from), &mut args);
    (request, args)
}

/// The first stage, for a command line that is valid.
pub(super) fn accepted(line: &str) -> (&'static Command, LowArgs) {
    match parsed(&line.split(' ').collect::<Vec<_>>()) {
        (Ok(Request::Run(command)), args) => (command, args),
        (other, _) => panic!("{line}: {other:?}"),
    }
}

/// The message of the first stage, for a command line that is not valid.
pub(super) fn rejected(line: &str) -> String {
    parsed(&line.split_whitespace().collect::<Vec<_>>()).0.expect_err(line).message
}

/// A value that differs from the default, for every flag that takes one.
pub(super) fn sample(flag: &Flag) -> &'static str {
    match (flag.long, &flag.setter) {
        (_, FlagSetter::Switch(_)) => "",
        (_, FlagSetter::Path(_)) => "/some/path",
        (_, FlagSetter::Number(_)) => "7",
        ("log-format" | "format", _) => "json",
        ("allow-annotation", _) => "org.criu.config",
        ("log-level", _) => "debug",
        ("cgroup-manager", _) => "systemd",
        ("rootless", _) => "true",
        ("env", _) => "A=b",
        ("manage-cgroups-mode", _) => "soft",
        ("network-lock", _) => "skip",
        ("empty-ns", _) => "network",
        ("page-server", _) => "127.0.0.1:80",
        ("lsm-profile", _) => "selinux:label",
        ("user", _) => "1:2",
        ("memory" | "memory-reservation" | "memory-swap" | "kernel-memory" | "kernel-memory-tcp", _) => "50M",
        ("cpu-idle", _) => "1",
        ("interval", _) => "100ms",
        ("cpuset-cpus" | "cpuset-mems" | "l3-cache-schema" | "mem-bw-schema", _) => "0-1",
        (name, _) if name.starts_with("cpu-") || name == "blkio-weight" || name == "pids-limit" => "100",
        _ => "text",
    }
}

/// All spellings of one flag with its sample.
pub(super) fn spellings(flag: &Flag) -> Vec<Vec<String>> {
    let (long, value) = (flag.long, sample(flag));
    let mut out = if value.is_empty() {
        vec![vec![format!("--{long}")], vec![format!("-{long}")], vec![format!("--{long}=true")]]
    } else {
        vec![
            vec![format!("--{long}"), value.into()],
            vec![format!("-{long}"), value.into()],
            vec![format!("--{long}={value}")],
            vec![format!("-{long}={value}")],
        ]
    };
    if let Some(short) = flag.short {
        let letter = format!("-{short}");
        out.push(if value.is_empty() { vec![letter] } else { vec![letter, value.into()] });
    }
    out
}

/// As many operands as the command needs, for the first stage.
pub(super) fn words(command: &Command) -> Vec<String> {
    (0..command.operands.0).map(|i| format!("word{i}")).collect()
}

/// Operands that the second stage accepts, with this flag if there is one.
pub(super) fn operands(command: &Command, flag: Option<&Flag>) -> &'static [&'static str] {
    match command.id {
        CommandId::Completion => &["bash"],
        CommandId::Exec if flag.is_some_and(|flag| flag.long == "process") => &["c1"],
        CommandId::Exec => &["c1", "sh"],
        CommandId::Mounts => &["add", "c1", "file"],
        _ if command.operands.0 == 0 => &[],
        _ => &["c1"],
    }
}
