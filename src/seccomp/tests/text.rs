//! Reading profiles, errors, and the disassembly.

use super::*;

fn problems(json: &str) -> Vec<(String, String)> {
    let spec = parse(json);
    let error = Profile::try_from(&spec).unwrap_err();
    error.problems().iter().map(|p| (p.pointer.clone(), p.message.clone())).collect()
}

#[test]
fn every_problem_has_its_pointer() {
    let found = problems(
        r#"{"defaultAction":"SCMP_ACT_NONE","architectures":["SCMP_ARCH_X86","SCMP_ARCH_VAX"],"flags":["SECCOMP_FILTER_FLAG_X"],
        "syscalls":[{"names":["read",""],"action":"SCMP_ACT_ALLOW","errnoRet":1},
        {"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":4096,"args":[{"index":6,"value":1,"op":"SCMP_CMP_XX"}]}]}"#,
    );
    let pointers: Vec<_> = found.iter().map(|(p, _)| p.strip_prefix("/linux/seccomp").unwrap()).collect();
    assert_eq!(
        pointers,
        [
            "/defaultAction",
            "/architectures/1",
            "/flags/0",
            "/syscalls/0/names/1",
            "/syscalls/0/errnoRet",
            "/syscalls/1/errnoRet",
            "/syscalls/1/args/0/op",
            "/syscalls/1/args/0/index"
        ]
    );
    assert!(found[1].1.contains("SCMP_ARCH_VAX"));
}

#[test]
fn notify_is_refused_as_default_action() {
    let refused = |json: &str| {
        let spec = parse(json);
        let error = Profile::try_from(&spec).unwrap().compile().unwrap_err();
        (error.pointer().unwrap().to_owned(), error.to_string())
    };
    let (pointer, text) = refused(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#);
    assert_eq!(pointer, "/linux/seccomp/defaultAction");
    assert!(text.starts_with("SCMP_ACT_NOTIFY cannot be used as default action"), "{text}");
    let spec =
        parse(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#);
    let program = Profile::try_from(&spec).unwrap().compile().unwrap();
    let support = SeccompSupport { flags: Flag::ALL.to_vec(), actions: Vec::new() };
    assert_eq!(
        support.flag_word(&program).unwrap(),
        0,
        "a program that does not notify has nothing to wait for"
    );
}

#[test]
fn actions_have_their_errno_or_the_default() {
    let spec = parse(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO"},
        {"names":["a"],"action":"SCMP_ACT_TRACE","errnoRet":40000},{"names":["a"],"action":"SCMP_ACT_KILL"}]}"#,
    );
    let profile = Profile::try_from(&spec).unwrap();
    let actions: Vec<_> = profile.rules.iter().map(|r| r.action).collect();
    assert_eq!(actions, [Action::Errno(1), Action::Trace(40000), Action::KillThread]);
    for action in actions {
        assert_eq!(Action::from_value(action.value()), action);
        assert!(Action::NAMES.contains(&action.name()));
    }
    assert_eq!(profile.compile().unwrap().unknown_names(), ["a", "a", "a"]);
}

#[test]
fn names_are_those_of_the_runtime_spec() {
    for arch in Arch::ALL {
        assert_eq!(Arch::from_name(arch.name()), Some(arch));
    }
    for flag in Flag::ALL {
        assert_eq!(Flag::from_name(flag.name()), Some(flag));
    }
    assert!(Operator::ALL.map(Operator::name).is_sorted() && Action::NAMES.is_sorted());
    assert_eq!(Arch::X86_64.token(), 0xc000_003e);
    assert_eq!(Arch::X86.token(), 0x4000_0003);
    assert_eq!(Arch::Aarch64.token(), 0xc000_00b7);
    assert_eq!(Arch::Mips64n32.token(), 0xa000_0008);
}

#[test]
fn the_disassembly_names_calls_and_errnos() {
    let mut profile = Profile::new(Action::Errno(1));
    profile.rules.push(SyscallRule {
        names: vec!["read".into(), "exit".into()],
        action: Action::Allow,
        conditions: vec![],
    });
    profile.rules.push(SyscallRule {
        names: vec!["socket".into()],
        action: Action::Errno(97),
        conditions: vec![Condition { argument: 0, operator: Operator::Equal, value: 40, value_two: 0 }],
    });
    let text = profile.compile_for(Arch::Aarch64).unwrap().to_string();
    assert_eq!(
        text,
        "    0  load architecture
    1  if == 0xc00000b7 then 3 else 2  ; SCMP_ARCH_AARCH64
    2  kill thread
SCMP_ARCH_AARCH64:
    3  load number
    4  if >= 0xc7 then 15 else 5  ; socketpair
    5  if == 0x3f then 7 else 6  ; read
    6  if == 0x5d then 7 else 8  ; exit
    7  allow
    8  if == 0xc6 then 9 else 14  ; socket
    9  load argument 0 (upper half)
   10  if == 0x0 then 11 else 14
   11  load argument 0 (lower half)
   12  if == 0x28 then 13 else 14
   13  errno 97 (EAFNOSUPPORT)
   14  errno 1 (EPERM)
   15  errno 38 (ENOSYS)
"
    );
}

#[test]
fn absent_flags_differ_from_empty_flags() {
    let flags = |json: &str| Profile::try_from(&parse(json)).unwrap().flags;
    assert_eq!(flags(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#), None);
    assert_eq!(flags(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":[]}"#), Some(vec![]));
    assert_eq!(
        flags(r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]}"#),
        Some(vec![Flag::Log])
    );
}
