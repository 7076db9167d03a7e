//! Any bytes as a profile: it compiles or is refused, the program obeys the kernel's rules, and returns an action
//! that the profile could mean.

use orlop::bundle::spec::Seccomp;
use orlop::seccomp::{Action, Arch, Condition, Operator, Profile, SeccompProgram, SyscallRule};

/// One run of the target `seccomp`: JSON if it parses, else a recipe for a profile.
pub fn run(data: &[u8]) {
    if let Ok(spec) = Seccomp::from_json(data) {
        match Profile::try_from(&spec) {
            Ok(profile) => compiles(&profile, data),
            Err(error) => assert!(error.problems().iter().all(|p| p.pointer.starts_with("/linux/seccomp/"))),
        }
    } else {
        compiles(&recipe(data), data);
    }
}

const NAMES: [&str; 16] = [
    "read",
    "write",
    "open",
    "socket",
    "socketcall",
    "ipc",
    "shmat",
    "connect",
    "clone",
    "clone3",
    "personality",
    "set_tls",
    "openat2",
    "execve",
    "_llseek",
    "nonsense",
];

/// Five bytes per condition, two per rule, one for the default action, one for the architectures.
fn recipe(data: &[u8]) -> Profile<'static> {
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next();
    let action = |byte: u8| match byte % 9 {
        0 => Action::KillThread,
        1 => Action::KillProcess,
        2 => Action::Trap,
        3 => Action::Trace(u16::from(byte)),
        4 => Action::Log,
        5 => Action::Notify,
        6 => Action::Errno(u16::from(byte)),
        _ => Action::Allow,
    };
    let mut profile = Profile::new(next().map_or(Action::Allow, action));
    let archs = next().unwrap_or(0);
    profile.architectures =
        (0..archs % 4).map(|i| Arch::ALL[usize::from(archs / 4 + i * 7) % Arch::ALL.len()]).collect();
    while let (Some(name), Some(what)) = (next(), next()) {
        let mut rule = SyscallRule {
            names: vec![NAMES[usize::from(name % 16)].into(), NAMES[usize::from(name / 16)].into()],
            action: action(what),
            conditions: Vec::new(),
        };
        for _ in 0..what / 64 {
            let [Some(place), Some(low), Some(shift), Some(two), Some(high)] =
                [next(), next(), next(), next(), next()]
            else {
                break;
            };
            rule.conditions.push(Condition {
                argument: place % 6,
                operator: Operator::ALL[usize::from(place / 6) % 7],
                value: u64::from(low) << (shift % 64) | u64::from(high) << 32,
                value_two: u64::from(two) << (shift % 64),
            });
        }
        profile.rules.push(rule);
    }
    profile
}

fn compiles(profile: &Profile<'_>, data: &[u8]) {
    for native in [Arch::X86_64, Arch::Aarch64, Arch::S390x] {
        match profile.compile_for(native) {
            Ok(program) => {
                obeys(&program);
                answers(profile, &program, native, data);
            }
            Err(error) => {
                assert!(error.pointer().is_some_and(|p| p.starts_with("/linux/seccomp")), "{error}");
            }
        }
    }
}

/// The kernel's checks: length, known operations, jumps inside, aligned loads, a return at the end.
fn obeys(program: &SeccompProgram) {
    let code = program.instructions();
    assert!((1..=4096).contains(&code.len()));
    for (at, i) in code.iter().enumerate() {
        let furthest = match i.code {
            0x20 => {
                assert!(i.k % 4 == 0 && i.k < 64, "load {}", i.k);
                0
            }
            0x54 => 0,
            0x05 => i.k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => usize::from(i.jt.max(i.jf)),
            0x06 => continue,
            other => panic!("operation {other:#x}\n{program}"),
        };
        assert!(at + 1 + furthest < code.len(), "{at} leaves the program\n{program}");
    }
    assert_eq!(program.to_bytes().len(), code.len() * 8);
    assert!(program.to_string().lines().count() >= code.len());
}

fn answers(profile: &Profile<'_>, program: &SeccompProgram, native: Arch, data: &[u8]) {
    let mut meant = vec![profile.default_action, Action::Errno(38), Action::KillThread];
    meant.extend(profile.rules.iter().map(|rule| rule.action));
    let word =
        |i: usize| data.get(i..i + 8).map_or(i as u64, |b| b.iter().fold(0, |w, &b| w << 8 | u64::from(b)));
    let arguments = std::array::from_fn(word);
    for number in [0, 1, 41, 56, 102, 117, 435, 10_000, 0x3fff_ffff, 0x4000_0000, u32::MAX] {
        let answer = program.evaluate(native, number, arguments);
        assert!(meant.contains(&answer), "{answer:?}\n{program}");
        assert!(program.actions().contains(&answer));
    }
}
