//! What the compiler decides by itself, on hosts that are made up.

use super::made_up::{bundle, host, recorded};
use super::{CgroupOutcome, Host, Options, compile, compile_with_cgroup};
use crate::bundle::Spec;
use crate::cgroup::CgroupManager;
use crate::seccomp::{Action, LoadOptions, Profile, SyscallRule};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// A container whose cgroup was not created sees its creator's. Neither the mount nor a remount of it is writable.
#[test]
fn the_cgroup_of_the_creator_is_mounted_read_only() {
    let text = br#"{"ociVersion": "1.2.0", "root": {"path": "r"}, "process": {"args": ["x"], "cwd": "/"},
        "mounts": [{"destination": "/c", "type": "cgroup"},
            {"destination": "/c", "type": "cgroup", "options": ["remount", "rw"]},
            {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/t", "type": "tmpfs", "options": ["remount", "rw"]}],
        "linux": {"namespaces": [{"type": "mount"}], "cgroupsPath": "/x"}}"#;
    let bundle = bundle(Spec::from_json(text).unwrap());
    let own = host(true).cgroups.unwrap().own_cgroup().unwrap().unified.unwrap();
    let outcome = CgroupOutcome { skipped: true, ..CgroupOutcome::default() };
    let plan = compile_with_cgroup(&bundle, &host(true), &Options::default(), outcome).unwrap().to_string();
    let bind = format!("bind {} on /c (ro)", own.display());
    for line in [&bind, "remount /c (ro)", "mount tmpfs on /t ", "remount /t (-ro"] {
        assert!(plan.contains(&format!("  stub  {line}")), "{line} is not in\n{plan}");
    }
}

/// A bundle with a profile is not compiled for a host of which seccomp(2) was not probed.
#[test]
fn a_profile_needs_to_know_what_seccomp_supports() {
    let (_, spec) = recorded().into_iter().find(|(name, _)| name == "docker28-run").unwrap();
    let host = Host { seccomp: None, ..host(false) };
    let error = compile(&bundle(spec), &host, &Options::default()).unwrap_err();
    assert_eq!(error.pointer(), Some("/linux/seccomp"), "{error}");
}

/// Set in the process that compiles without system calls.
const CONFINED: &str = "ORLOP_TEST_CONFINED";

/// The system calls of the allocator, and those with which a test program exits.
const ALLOWED: [&str; 14] = [
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "futex",
    "sched_yield",
    "getrandom",
    "rt_sigprocmask",
    "sigaltstack",
    "write",
    "exit",
    "exit_group",
];

/// Every recorded configuration, on every sort of host and with every outcome of its cgroup, is compiled and encoded
/// under a filter that kills the process at the first system call but those of the allocator.
#[test]
fn compiling_makes_no_system_call() {
    if std::env::var_os(CONFINED).is_some() {
        return compile_confined();
    }
    let test = concat!(module_path!(), "::compiling_makes_no_system_call");
    let name = test.split_once("::").unwrap().1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(CONFINED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.signal(), None, "the compiler has made a system call: {text}");
    assert!(output.status.success() && text.contains("compiled "), "{text}");
}

fn compile_confined() {
    let mut inputs = Vec::new();
    for (name, spec) in recorded() {
        let console = spec.process.as_ref().is_some_and(|process| process.terminal);
        for v2 in [false, true] {
            for privileged in [false, true] {
                let host = Host { privileged, makes_namespaces: privileged, ..host(v2) };
                let cgroup_manager = if name.ends_with("cgroups-disabled") {
                    CgroupManager::Disabled
                } else {
                    CgroupManager::Cgroupfs
                };
                let options = Options { id: name.clone(), console, cgroup_manager, ..Options::default() };
                inputs.push((bundle(spec.clone()), host, options));
            }
        }
    }
    // glibc reads a sysctl the first time that it shrinks the heap of a thread.
    drop((0..1000).map(|_| vec![1u8; 60_000]).collect::<Vec<_>>());
    let mut profile = Profile::new(Action::KillProcess);
    let names = ALLOWED.into_iter().map(Into::into).collect();
    profile.rules.push(SyscallRule { names, action: Action::Allow, conditions: Vec::new() });
    profile.compile().unwrap().load(LoadOptions { no_new_privs: true }).unwrap();
    let mut compiled = 0;
    for (bundle, host, options) in &inputs {
        for (joined_by_file, moved, skipped) in [(false, false, false), (true, true, true)] {
            let outcome = CgroupOutcome { joined_by_file, moved, skipped };
            let plan = compile_with_cgroup(bundle, host, options, outcome);
            compiled += usize::from(plan.and_then(|plan| plan.encode()).is_ok());
        }
    }
    assert!(compiled > inputs.len(), "{compiled} of {}", 2 * inputs.len());
    println!("compiled {compiled}");
    std::process::exit(0);
}
