//! The size of programs, and whether the kernel can keep allowed calls in its bitmap.

use super::*;

#[test]
fn recorded_profiles_are_short() {
    for (json, one, three) in
        [(DOCKER, 107, 295), (CONTAINERD, 115, 310), (PODMAN, 150, 400), (PODMAN_CAP_DROP, 150, 400)]
    {
        let spec = parse(json);
        let mut profile = Profile::try_from(&spec).unwrap();
        let length = |p: &Profile<'_>| p.compile_for(Arch::X86_64).unwrap().instructions().len();
        let all = length(&profile);
        profile.architectures.clear();
        let native = length(&profile);
        println!("{native} for x86_64, {all} with x86 and x32");
        assert!(native <= one && all <= three, "{native} {all}");
    }
}

/// The kernel keeps an allowed call in its bitmap if the program returns `ALLOW` after reading only the architecture
/// and the number, with these operations alone (`seccomp_is_const_allow` in kernel/seccomp.c).
#[test]
fn the_kernel_can_keep_allowed_calls_in_its_bitmap() {
    let spec = parse(DOCKER);
    let program = Profile::try_from(&spec).unwrap().compile_for(Arch::X86_64).unwrap();
    let conditional: Vec<_> =
        spec.syscalls.iter().filter(|c| !c.args.is_empty()).flat_map(|c| &c.names).collect();
    for arch in [Arch::X86_64, Arch::X86] {
        for number in 0..480 {
            let constant = constant_result(&program, arch, number);
            let depends_on_arguments =
                arch.call_name(number).is_some_and(|n| conditional.iter().any(|c| *c == n));
            assert_eq!(constant.is_none(), depends_on_arguments, "{arch:?} {number}");
            if let Some(answer) = constant {
                assert_eq!(answer, program.evaluate(arch, number, [u64::MAX; 6]));
            }
        }
    }
}

fn constant_result(program: &SeccompProgram, arch: Arch, number: u32) -> Option<Action> {
    let (mut at, mut value) = (0, 0);
    loop {
        let i = program.instructions()[at];
        let jump = |holds| usize::from(if holds { i.jt } else { i.jf });
        at += 1 + match i.code {
            0x20 if i.k == 0 => {
                value = number;
                0
            }
            0x20 if i.k == 4 => {
                value = arch.token();
                0
            }
            0x06 => return Some(Action::from_value(i.k)),
            0x05 => i.k as usize,
            0x15 => jump(value == i.k),
            0x25 => jump(value > i.k),
            0x35 => jump(value >= i.k),
            0x45 => jump(value & i.k != 0),
            _ => return None,
        };
    }
}

#[test]
fn a_decision_takes_few_instructions() {
    let spec = parse(DOCKER);
    let program = Profile::try_from(&spec).unwrap().compile_for(Arch::X86_64).unwrap();
    let steps = |n| simulate::decide(program.instructions(), Arch::X86_64, n, [Some(0); 6]).unwrap().1;
    let worst = (0..480).map(steps).max().unwrap();
    println!("at most {worst} instructions per call");
    assert!(worst <= 24, "{worst}");
}

#[test]
fn to_bytes_encodes_the_instructions() {
    let program = Profile::new(Action::Allow).compile_for(Arch::Aarch64).unwrap();
    let bytes = program.to_bytes();
    assert_eq!(bytes.len(), program.instructions().len() * 8);
    assert_eq!(u16::from_ne_bytes([bytes[0], bytes[1]]), 0x20);
    assert_eq!(bytes[4..8], 4u32.to_ne_bytes());
}
