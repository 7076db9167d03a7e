//! Each part of the library, used by a program without `unsafe`.

use kit::Case;
use orlop::bundle::{Bundle, Spec};
use orlop::cgroup::Layout;
use orlop::container::{Runtime, Signal};
use orlop::init::{Command, Exit};
use orlop::mount::{Detached, MountAttr, MountAttrFlags, MountOptions, in_root};
use orlop::namespace::{NamespaceKind, Namespaces};
use orlop::plan::{Host, Listing, Options, compile};
use orlop::seccomp::{Action, LoadOptions, Profile, SyscallRule};
use orlop::{Error, ErrorKind};
use std::io::Read;
use std::os::fd::AsFd;

pub(crate) fn cases() -> Vec<Case> {
    kit::plain_cases![
        a_bundle_compiles_to_a_plan,
        a_program_can_be_run_and_waited_for,
        namespaces_can_be_created_and_a_path_resolved_in_a_root,
        a_filter_applies_to_its_thread,
        a_state_root_can_be_queried
    ]
}

/// Skips the test if the operation may fail here: as a user other than root, or in a container.
fn unless_refused<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| match error.errno().map(|errno| errno as i32) {
        Some(libc::EPERM | libc::EACCES | libc::ENOSPC) => kit::skip(error.to_string()),
        _ => panic!("{error}"),
    })
}

fn a_bundle_compiles_to_a_plan() {
    let unified = Layout::detect().unwrap().is_some_and(|layout| layout.is_unified());
    let mut spec = Spec::template(unified);
    spec.root.as_mut().unwrap().path = "/".into();
    let spec = Spec::from_json(&spec.to_json().unwrap()).unwrap();
    let bundle = Bundle::from_spec(None, spec).unwrap();
    let options = Options { id: "safe".to_owned(), console: true, ..Options::default() };
    let plan = compile(&bundle, &Host::detect().unwrap(), &options).unwrap();
    assert!(plan.to_string().contains("execute"), "{plan}");
    assert!(!Listing::decode(plan.encode().unwrap().as_ref()).unwrap().instructions().is_empty());
}

fn a_program_can_be_run_and_waited_for() {
    let (mut from, to) = std::io::pipe().unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo here; exec sleep 100"]).env("PATH", "/usr/bin:/bin").stdout(&to);
    let child = command.spawn().unwrap();
    drop(to);
    let mut said = [0; 5];
    from.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"here\n");
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill(libc::SIGTERM).unwrap();
    let mut set = [nix::poll::PollFd::new(child.as_fd(), nix::poll::PollFlags::POLLIN)];
    assert_eq!(nix::poll::poll(&mut set, 10_000_u16), Ok(1));
    assert_eq!(child.try_wait().unwrap(), Some(Exit::Signal(libc::SIGTERM)));
    assert_eq!(child.wait().unwrap().shell_code(), 128 + libc::SIGTERM, "a second wait returns the same");
    assert_eq!(child.kill(0).unwrap_err().kind(), ErrorKind::NotRunning);
}

fn namespaces_can_be_created_and_a_path_resolved_in_a_root() {
    let set = Namespaces::new().create(NamespaceKind::Uts).create(NamespaceKind::Pid);
    let child = unless_refused(Command::new("/bin/true").namespaces(&set).spawn());
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    let tmpfs = unless_refused(Detached::filesystem("tmpfs", None, &MountOptions::default()));
    in_root::make_file(&tmpfs, "a/b", 0o600).unwrap();
    tmpfs.change(&MountAttr { set: MountAttrFlags::RDONLY, ..MountAttr::default() }, false).unwrap();
    let e = in_root::make_file(&tmpfs, "c", 0o600).unwrap_err();
    assert_eq!(e.errno().map(|errno| errno as i32), Some(libc::EROFS));
    assert_eq!(in_root::read(&tmpfs, "a/b", 10).unwrap(), b"");
}

fn a_filter_applies_to_its_thread() {
    let mut profile = Profile::new(Action::Allow);
    profile.rules.push(SyscallRule {
        names: vec!["getsid".into()],
        action: Action::Errno(77),
        conditions: vec![],
    });
    let program = profile.compile().unwrap();
    assert!(program.instructions().iter().any(|one: &orlop::seccomp::Instruction| one.k == 0x5_004d));
    let session = || nix::unistd::getsid(None).map_err(|errno| errno as i32);
    let inside = std::thread::scope(|scope| {
        let thread = scope.spawn(|| program.load(LoadOptions { no_new_privs: true }).map(|()| session()));
        thread.join().unwrap()
    });
    assert!(session().is_ok());
    assert_eq!(unless_refused(inside).unwrap_err(), 77);
}

fn a_state_root_can_be_queried() {
    let root = std::env::temp_dir().join(format!("orlop-safe-root-{}", std::process::id()));
    let runtime = Runtime::new(&root).unwrap();
    assert!(runtime.list().unwrap().is_empty());
    assert_eq!(runtime.load("none").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Signal::KILL, "SIGKILL".parse().unwrap());
    let _ = std::fs::remove_dir(root);
}
