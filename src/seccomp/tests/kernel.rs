//! Filters loaded into threads of this test.

use super::*;
use crate::sys::namespace::{NamespaceFlags, unshare};
use nix::errno::Errno;

fn deny(name: &'static str) -> Profile<'static> {
    let mut profile = Profile::new(Action::Allow);
    profile.rules.push(SyscallRule {
        names: vec![name.into()],
        action: Action::Errno(77),
        conditions: vec![],
    });
    profile
}

fn filtered<T: Send>(program: &SeccompProgram, f: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| match program.load(LoadOptions { no_new_privs: true }) {
                Ok(()) => Some(f()),
                Err(e) if e.errno() == Some(Errno::ENOSYS) => {
                    println!("skipped: this kernel has no seccomp(2)");
                    None
                }
                Err(e) => panic!("{e}"),
            })
            .join()
            .unwrap()
    })
}

fn access_root() -> Result<(), Errno> {
    nix::unistd::access("/", nix::unistd::AccessFlags::F_OK)
}

#[test]
fn a_filter_applies_to_its_thread_only() {
    let program = deny("access").compile().unwrap();
    if let Some(answer) = filtered(&program, access_root) {
        // Architectures without access(2) use faccessat(2).
        if Arch::native().and_then(|a| a.number("access")).is_some() {
            assert_eq!(answer, Err(Errno::from_raw(77)));
        }
        assert_eq!(access_root(), Ok(()));
    }
}

#[test]
fn recorded_profiles_load() {
    for json in RECORDED {
        let spec = parse(json);
        let program = Profile::try_from(&spec).unwrap().compile().unwrap();
        let flag = libc::CLONE_NEWUTS as u64;
        let namespaces = NamespaceFlags::new(flag).unwrap();
        let Some(answer) = filtered(&program, || unshare(namespaces)) else { return };
        let Some((arch, number)) = Arch::native().and_then(|a| Some((a, a.number("unshare")?))) else {
            return;
        };
        match program.evaluate(arch, number, [flag, 0, 0, 0, 0, 0]) {
            Action::Errno(n) => assert_eq!(answer, Err(Errno::from_raw(n.into()))),
            action => assert_eq!(action, Action::Allow),
        }
    }
}

#[test]
fn the_largest_profiles_load() {
    let mut profile = Profile::new(Action::Allow);
    for value in 0..1000 {
        let condition =
            Condition { argument: 1, operator: Operator::Equal, value: value << 32, value_two: 0 };
        profile.rules.push(SyscallRule {
            names: vec!["ioctl".into()],
            action: Action::Errno(9),
            conditions: vec![condition],
        });
    }
    let program = profile.compile().unwrap();
    assert!(program.instructions().len() > 3000);
    filtered(&program, || ());
}

#[test]
fn an_unsupported_flag_or_action_is_named() {
    let mut profile = deny("access");
    profile.flags = Some(vec![Flag::Log, Flag::SpecAllow]);
    let program = profile.compile().unwrap();
    let support =
        SeccompSupport { flags: vec![Flag::Log], actions: vec!["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_THREAD"] };
    let error = support.flag_word(&program).unwrap_err();
    assert_eq!(error.pointer(), Some("/linux/seccomp/flags/1"));
    assert!(error.to_string().contains("SECCOMP_FILTER_FLAG_SPEC_ALLOW"));
    assert!(support.check_actions(&program).unwrap_err().to_string().contains("SCMP_ACT_ERRNO"));
    profile.flags = None;
    assert_eq!(support.flag_word(&profile.compile().unwrap()).unwrap(), 0);
    profile.flags = Some(vec![]);
    let all = SeccompSupport { flags: Flag::ALL.to_vec(), actions: vec![] };
    assert_eq!(all.flag_word(&profile.compile().unwrap()).unwrap(), 0);
    profile.flags = None;
    assert_eq!(all.flag_word(&profile.compile().unwrap()).unwrap(), 4);
}

#[test]
fn probing_changes_nothing() {
    let before = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let support = SeccompSupport::probe();
    println!("{support:?}");
    let mode = |s: &str| s.lines().find(|l| l.starts_with("Seccomp:")).map(str::to_owned);
    assert_eq!(mode(&before), mode(&std::fs::read_to_string("/proc/thread-self/status").unwrap()));
}

#[test]
fn a_notifying_program_needs_a_listener() {
    let mut profile = Profile::new(Action::Allow);
    profile.rules.push(SyscallRule {
        names: vec!["acct".into()],
        action: Action::Notify,
        conditions: vec![],
    });
    let program = profile.compile().unwrap();
    assert!(program.notifies());
    assert!(program.load(LoadOptions::default()).unwrap_err().to_string().contains("listener"));
    let listener = std::thread::scope(|scope| {
        scope.spawn(|| program.load_with_listener(LoadOptions { no_new_privs: true })).join().unwrap()
    });
    match listener {
        Ok(listener) => drop(listener),
        // A thread has at most one listener, and may have inherited one from the program that runs the tests.
        Err(e) if e.errno() == Some(Errno::EBUSY) => println!("skipped: this thread already has a listener"),
        Err(e) => panic!("{e}"),
    }
}
