use super::*;
use crate::namespace::{Clock, IdMap, NamespaceKind};
use crate::process::capability::{CapSet, CapabilitySets};
use crate::seccomp::{Action, Profile, SyscallRule};
use crate::sys::process::{Exit, poll_in};
use crate::{ErrorKind, Phase};
use nix::errno::Errno;
use std::io::Read;

const ALL: [NamespaceKind; 8] = [
    NamespaceKind::Cgroup,
    NamespaceKind::Ipc,
    NamespaceKind::Mount,
    NamespaceKind::Network,
    NamespaceKind::Pid,
    NamespaceKind::Time,
    NamespaceKind::User,
    NamespaceKind::Uts,
];

/// Whether namespaces may be made here at all.
fn may() -> bool {
    let can = crate::plan::privileged().unwrap() && crate::plan::kernel_version().is_ok_and(|v| v >= (6, 1));
    if !can {
        println!("skipped: needs root and Linux 6.1");
    }
    can
}

/// A shell script.
fn sh(script: &str) -> Command<'static> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("PATH", "/usr/bin:/bin");
    command
}

/// What it says, and how it ends.
fn run(command: &Command<'_>) -> Result<(String, Exit)> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let child = command.clone().stdout(&writer).stderr(&writer).spawn()?;
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    Ok((text, child.wait()?))
}

fn root_maps(set: Namespaces) -> Namespaces {
    let map = IdMap { container: 0, host: 0, size: 1000 };
    set.uid_map(map).gid_map(map)
}

#[test]
fn a_program_gets_what_it_is_given_and_nothing_else() {
    let script = "echo $0 $1 \"$A\" $(umask) $PWD; env | sort; ls /proc/self/fd | wc -l; exit 3";
    let (text, exit) =
        run(sh(script).arg("name").arg("x y").env("A", "1").env("A", "2").current_dir("/usr").umask(0o77))
            .unwrap();
    assert_eq!(exit, Exit::Code(3));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "name x y 2 0077 /usr");
    assert_eq!(lines[1..lines.len() - 1], ["A=2", "PATH=/usr/bin:/bin", "PWD=/usr"]);
    assert_eq!(lines[lines.len() - 1], "4", "0 to 2, and ls's own");
}

#[test]
fn the_path_is_the_given_one() {
    let child = Command::new("true").env("PATH", "/nowhere:/usr/bin:/bin").spawn().unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    let error = Command::new("true").env("PATH", "/nowhere").spawn().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Exec, Some(Errno::ENOENT)));
    assert!(error.to_string().contains("executable file not found in $PATH"), "{error}");
    let error = Command::new("/etc/passwd").spawn().unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Exec, Some(Errno::EACCES)));
    assert_eq!(Command::new("/").spawn().unwrap_err().errno(), Some(Errno::EACCES), "a directory");
}

#[test]
fn what_cannot_be_is_refused() {
    let set = Namespaces::new();
    let refused = |c: &Command<'_>| c.spawn().unwrap_err();
    for error in [
        refused(Command::new("/bin/true").arg("a\0b")),
        refused(Command::new("/bin/true").env("A=B", "")),
        refused(Command::new("/bin/true").env("", "")),
        refused(Command::new("/bin/true").current_dir("usr")),
        refused(Command::new("/bin/true").hostname("x")),
        refused(Command::new("/bin/true").namespaces(&set).mount_proc()),
        refused(Command::new("/bin/true").root_directory("/usr")),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = refused(Command::new("/bin/true").current_dir("/nowhere"));
    assert_eq!((error.operation(), error.errno()), ("chdir", Some(Errno::ENOENT)));
    assert_eq!(error.object(), Some("working directory /nowhere"));
}

#[test]
fn every_kind_of_namespace_new() {
    if !may() {
        return;
    }
    let set = ALL.into_iter().fold(Namespaces::new(), Namespaces::create);
    let set = root_maps(set).time_offset(Clock::Boottime, 1_000_000, 0);
    let script = "for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done; id -u; \
                  hostname; cat /proc/uptime; echo $$; cat /sys/class/net/lo/flags";
    let (text, exit) = run(sh(script).namespaces(&set).mount_proc().hostname("inside")).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    for (name, line) in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].iter().zip(&lines) {
        let own = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(own.to_str().unwrap(), *line);
    }
    assert_eq!(lines[8..10], ["0", "inside"]);
    assert!(lines[10].split('.').next().unwrap().parse::<u64>().unwrap() >= 1_000_000, "{text}");
    assert_eq!(lines[11], "1", "the pid in the new namespace");
}

#[test]
fn join_by_pidfd_and_by_path_and_make_others() {
    if !may() {
        return;
    }
    let set = root_maps(ALL.into_iter().fold(Namespaces::new(), Namespaces::create));
    let holder = Command::new("/bin/sleep").arg("100").namespaces(&set).mount_proc().hostname("held").spawn();
    let holder = holder.unwrap();
    let link = |name: &str| {
        let path = format!("/proc/{}/ns/{name}", holder.pid());
        std::fs::read_link(path).unwrap().to_str().unwrap().to_owned()
    };
    let pidfd = || holder.pidfd().try_clone().unwrap();
    let joined = [
        NamespaceKind::User,
        NamespaceKind::Mount,
        NamespaceKind::Pid,
        NamespaceKind::Ipc,
        NamespaceKind::Network,
        NamespaceKind::Time,
    ]
    .into_iter()
    .fold(Namespaces::new(), |set, kind| set.join_process(kind, pidfd()))
    .join(NamespaceKind::Uts, format!("/proc/{}/ns/uts", holder.pid()))
    .create(NamespaceKind::Cgroup);
    let script = "for n in user mnt pid ipc net time uts cgroup; do readlink /proc/self/ns/$n; done; hostname; \
                  id -u; test $$ -gt 1";
    let (text, exit) = run(sh(script).namespaces(&joined)).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    for (name, line) in ["user", "mnt", "pid", "ipc", "net", "time", "uts"].iter().zip(&lines) {
        assert_eq!(link(name), *line);
    }
    assert_ne!(link("cgroup"), lines[7]);
    assert_eq!(lines[8..], ["held", "0"]);
    holder.kill(libc::SIGKILL).unwrap();
    assert_eq!(holder.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    let error = Command::new("/bin/true").namespaces(&joined).spawn().unwrap_err();
    assert!(matches!(error.phase(), Phase::Namespace), "{error}");
}

#[test]
fn a_root_of_its_own() {
    if !may() {
        return;
    }
    let set = Namespaces::new().create(NamespaceKind::Mount).create(NamespaceKind::Pid);
    let root = Rootfs::directory(std::path::Path::new("/")).unwrap();
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let script = "test -e /etc && readlink /proc/self; cat /proc/self/mountinfo";
    let (text, exit) = run(sh(script).namespaces(&set).root(&root).mount_proc()).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    assert!(text.lines().next().unwrap().parse::<i32>().unwrap() < 10, "pids of the new namespace: {text}");
    let again = Command::new("/bin/true").namespaces(&set).root(&root).spawn().unwrap_err();
    assert!(again.object().unwrap_or_default().starts_with("root "), "{again}");
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(text.lines().count(), host, "the host's mounts are as they were");
    let small = Command::new("/bin/true").namespaces(&set).root_directory("/proc").spawn().unwrap_err();
    assert_eq!(small.kind(), ErrorKind::Exec, "{small}");
}

#[test]
fn identity_capabilities_and_filter() {
    if !may() {
        return;
    }
    let kill = CapSet(1 << 5);
    let sets =
        CapabilitySets { bounding: kill, effective: kill, permitted: kill, inheritable: kill, ambient: kill };
    let mut profile = Profile::new(Action::Allow);
    profile.rules.push(SyscallRule {
        names: vec!["mkdir".into(), "mkdirat".into()],
        action: Action::Errno(libc::EXDEV as u16),
        conditions: Vec::new(),
    });
    let filter = profile.compile().unwrap();
    let script =
        "id -u; id -g; id -G; grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | cut -f2; mkdir /tmp/x/y";
    let (text, _) =
        run(sh(script).uid(33).gid(34).groups([35, 36]).capabilities(sets).no_new_privs().seccomp(&filter))
            .unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["33", "34", "34 35 36"]);
    assert_eq!(lines[3..8], ["0000000000000020"; 5], "{text}");
    assert_eq!(lines[8..10], ["1", "2"]);
    assert!(lines[10].contains("cross-device"), "{text}");
    // A filter by privilege, and nothing left of that in the program.
    let (text, _) =
        run(sh("grep -E '^(Cap[EPA]|NoNew|Seccomp:)' /proc/self/status | cut -f2").uid(33).seccomp(&filter))
            .unwrap();
    let none = "0000000000000000";
    assert_eq!(text.lines().collect::<Vec<_>>(), [none, none, none, "0", "2"]);
}

#[test]
fn an_init_reaps_forwards_and_ends_as_the_program() {
    if !may() {
        return;
    }
    let set = Namespaces::new().create(NamespaceKind::Pid).create(NamespaceKind::Mount);
    let script = "sh -c 'sleep 0.05 & exit 0'; sleep 0.2; cat /proc/[0-9]*/stat | grep -c ' Z '; exit 9";
    let (text, exit) = run(sh(script).namespaces(&set).mount_proc().reaping_init()).unwrap();
    assert_eq!((text.trim(), exit), ("0", Exit::Code(9)));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let script = "trap 'echo got; exit 4' TERM; echo ready; while :; do sleep 0.01; done";
    let child = sh(script).stdout(&writer).namespaces(&set).reaping_init().spawn().unwrap();
    drop(writer);
    let mut ready = [0; 6];
    reader.read_exact(&mut ready).unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill(libc::SIGTERM).unwrap();
    assert!(poll_in(&child, 10_000).unwrap());
    assert_eq!((child.wait().unwrap(), child.wait().unwrap()), (Exit::Code(4), Exit::Code(4)));
    assert_eq!(child.kill(0).unwrap_err().kind(), ErrorKind::NotRunning);
    let error = Command::new("/nowhere").namespaces(&set).reaping_init().spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exec);
}

/// Each step fails in turn: the error says which, and no process and no descriptor is left.
#[test]
fn a_failure_at_any_step_leaves_nothing() {
    if !may() {
        return;
    }
    let set = root_maps(ALL.into_iter().fold(Namespaces::new(), Namespaces::create));
    let mut command = Command::new("/bin/true");
    command.namespaces(&set).mount_proc().hostname("x").uid(1).no_new_privs();
    let plan = command.plan().unwrap();
    let text = plan.to_string();
    let mut failed = 0;
    for (number, line) in plan.lines().iter().enumerate() {
        if line.step.side() == crate::plan::StepSide::Host {
            continue;
        }
        let error = command.spawn_with_fault(Some(number as u16)).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EIO), "{number}: {error}\n{text}");
        failed += 1;
    }
    assert!(failed > 10, "{text}");
}

#[test]
fn a_filter_that_notifies_is_refused() {
    let mut profile = Profile::new(Action::Allow);
    profile.rules.push(SyscallRule {
        names: vec!["mkdir".into()],
        action: Action::Notify,
        conditions: vec![],
    });
    let filter = profile.compile().unwrap();
    let error = Command::new("/bin/true").seccomp(&filter).spawn().unwrap_err();
    assert!(error.to_string().contains("notifies"), "{error}");
}
