//! Compiled programs decide as the definition of a profile does.

use super::*;

fn numbers(arch: Arch, random: &mut Random) -> Vec<u32> {
    let base = arch.number("read").unwrap_or(0) & !0xff;
    let mut numbers: Vec<u32> = (0..560).map(|n| base + n).collect();
    numbers.extend([
        u32::MAX,
        0x3fff_ffff,
        0x4000_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xf_0000,
        0xf_0005,
        0xf_0020,
    ]);
    numbers.extend((0..8).map(|_| random.next() as u32));
    if arch == Arch::Mips {
        numbers.extend(4000..4480);
    }
    if arch == Arch::X86_64 {
        numbers.extend((0..560).map(|n| 0x4000_0000 + n));
    }
    numbers
}

fn agree(profile: &Profile<'_>, native: Arch, rounds: usize, random: &mut Random) {
    let program = profile.compile_for(native).unwrap();
    let hints = hints(profile);
    let definition = naive::Naive::new(profile, native);
    let mut archs = vec![native, Arch::X86_64, Arch::X86, random.pick(&Arch::ALL)];
    archs.extend(&profile.architectures);
    for arch in archs {
        for number in numbers(arch, random) {
            for _ in 0..rounds {
                let arguments = random.arguments(&hints);
                let expected = definition.decide(arch, number, arguments);
                let got = program.evaluate(arch, number, arguments);
                assert_eq!(got, expected, "{arch:?} {number:#x} {arguments:x?}\n{profile:#?}\n{program}");
            }
        }
    }
}

#[test]
fn recorded_profiles_agree_with_the_definition() {
    let mut random = Random(1);
    for json in RECORDED {
        let spec = parse(json);
        let profile = Profile::try_from(&spec).unwrap();
        agree(&profile, Arch::X86_64, 4, &mut random);
        let mut elsewhere = profile.clone();
        elsewhere.architectures = vec![Arch::Arm];
        agree(&elsewhere, Arch::Aarch64, 1, &mut random);
        elsewhere.architectures = vec![];
        agree(&elsewhere, Arch::S390x, 1, &mut random);
        agree(&elsewhere, Arch::Mips, 1, &mut random);
    }
}

#[test]
fn random_profiles_agree_with_the_definition() {
    let few = [
        "read",
        "write",
        "socket",
        "socketcall",
        "ipc",
        "shmat",
        "semop",
        "connect",
        "accept",
        "clone",
        "personality",
        "set_tls",
        "openat2",
        "execve",
        "clone3",
        "no_such_call",
        "send",
        "sync_file_range2",
        "_llseek",
    ];
    let mut random = Random(2);
    for _ in 0..24 {
        let profile = random.profile(&few);
        let native =
            random.pick(&[Arch::X86_64, Arch::X86_64, Arch::Aarch64, Arch::Ppc64, Arch::S390x, Arch::Mips]);
        agree(&profile, native, 2, &mut random);
    }
}

#[test]
fn large_random_profiles_need_long_jumps() {
    let all: Vec<&'static str> = (0..508).map(table::name).collect();
    let mut random = Random(3);
    for _ in 0..2 {
        let mut profile = Profile::new(random.action());
        for &name in &all {
            let conditions = match random.below(3) {
                0 => (0..=random.below(3)).map(|_| random.condition()).collect(),
                _ => Vec::new(),
            };
            profile.rules.push(SyscallRule { names: vec![name.into()], action: random.action(), conditions });
        }
        agree(&profile, Arch::X86_64, 2, &mut random);
        assert!(profile.compile().unwrap().instructions().len() > 600);
    }
}

#[test]
fn too_many_instructions_are_an_error() {
    let mut profile = Profile::new(Action::Allow);
    for value in 0..5000 {
        let condition =
            Condition { argument: 1, operator: Operator::Equal, value: value << 32, value_two: 0 };
        profile.rules.push(SyscallRule {
            names: vec!["ioctl".into()],
            action: Action::Trap,
            conditions: vec![condition],
        });
    }
    let error = profile.compile().unwrap_err();
    assert_eq!(error.pointer(), Some("/linux/seccomp"));
    assert!(error.to_string().contains("4096"), "{error}");
}

#[test]
fn calls_newer_than_the_profile_fail_with_enosys() {
    let spec = parse(DOCKER);
    let mut profile = Profile::try_from(&spec).unwrap();
    let last = |profile: &Profile<'_>, number| {
        profile.compile_for(Arch::X86_64).unwrap().evaluate(Arch::X86_64, number, [0; 6])
    };
    assert_eq!(last(&profile, 999), Action::Errno(38));
    // There is no call 340, but it is below the highest number, so it is not new.
    assert_eq!(last(&profile, 340), Action::Errno(1));
    profile.default_action = Action::KillProcess;
    assert_eq!(last(&profile, 999), Action::Errno(38));
    for permissive in [Action::Allow, Action::Log, Action::Trace(1)] {
        profile.default_action = permissive;
        assert_eq!(last(&profile, 999), permissive);
    }
    // Without rules the default action applies to all calls.
    assert_eq!(last(&Profile::new(Action::Errno(5)), 999), Action::Errno(5));
}

#[test]
fn calls_of_other_architectures_kill_the_thread() {
    let spec = parse(DOCKER);
    let mut profile = Profile::try_from(&spec).unwrap();
    profile.architectures.clear();
    let program = profile.compile_for(Arch::X86_64).unwrap();
    assert_eq!(program.evaluate(Arch::X86, 3, [0; 6]), Action::KillThread);
    assert_eq!(program.evaluate(Arch::X32, 0x4000_0000, [0; 6]), Action::KillThread);
    assert_eq!(program.evaluate(Arch::X86_64, 0, [0; 6]), Action::Allow);
    assert_eq!(program.evaluate(Arch::X86_64, u32::MAX, [0; 6]), Action::Errno(1));
}

#[test]
fn a_denied_call_is_denied_through_its_multiplexer() {
    let mut profile = Profile::new(Action::Allow);
    profile.architectures = vec![Arch::X86];
    profile.rules.push(SyscallRule {
        names: vec!["connect".into(), "shmat".into()],
        action: Action::Errno(1),
        conditions: vec![],
    });
    let program = profile.compile_for(Arch::X86_64).unwrap();
    let socketcall = |call| program.evaluate(Arch::X86, 102, [call, 0, 0, 0, 0, 0]);
    assert_eq!((socketcall(1), socketcall(3)), (Action::Allow, Action::Errno(1)));
    let ipc = |call| program.evaluate(Arch::X86, 117, [call, 0, 0, 0, 0, 0]);
    assert_eq!((ipc(21), ipc(0x1_0015), ipc(22)), (Action::Errno(1), Action::Errno(1), Action::Allow));
}
