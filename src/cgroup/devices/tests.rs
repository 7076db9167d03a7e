use super::policy::DEFAULTS;
use super::program;
use super::*;
use crate::bundle::spec::DeviceRule;
use crate::sys::bpf::EbpfInsn;

fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
    let text = |s: &str| (!s.is_empty()).then(|| s.to_owned());
    let number = |n| (n >= 0).then_some(n);
    DeviceRule { allow, kind: text(kind), major: number(major), minor: number(minor), access: text(access) }
}

/// Runs the program like the kernel: whether it allows an access.
fn interpret(code: &[EbpfInsn], kind: DeviceKind, major: u32, minor: u32, access: DeviceAccess) -> bool {
    let context = [u32::from(kind.number()) | u32::from(access.bits()) << 16, major, minor];
    let mut r = [0_u64; 11];
    let mut pc = 0;
    loop {
        let i = code[pc];
        let (dst, src) = (usize::from(i.regs & 15), usize::from(i.regs >> 4));
        let imm = i64::from(i.imm) as u64;
        let mut jump = false;
        match i.code {
            program::LDX_W => r[dst] = u64::from(context[i.off as usize / 4]),
            program::MOV32_X => r[dst] = u64::from(r[src] as u32),
            program::MOV64_K => r[dst] = imm,
            program::AND32_K => r[dst] = u64::from(r[dst] as u32 & i.imm as u32),
            program::RSH32_K => r[dst] = u64::from((r[dst] as u32) >> i.imm),
            program::JA => jump = true,
            program::JEQ_K => jump = r[dst] == imm,
            program::JNE_K => jump = r[dst] != imm,
            program::JSET_K => jump = r[dst] & imm != 0,
            program::EXIT => return r[0] != 0,
            other => panic!("unknown instruction {other:#x}"),
        }
        pc += 1;
        if jump {
            pc = (pc as isize + isize::from(i.off)) as usize;
        }
    }
}

/// The verifier rejects programs with unreachable instructions.
fn assert_reachable(code: &[EbpfInsn]) {
    let mut seen = vec![false; code.len()];
    let mut todo = vec![0];
    while let Some(pc) = todo.pop() {
        if std::mem::replace(&mut seen[pc], true) {
            continue;
        }
        let to = (pc as isize + 1 + isize::from(code[pc].off)) as usize;
        match code[pc].code {
            program::EXIT => {}
            program::JA => todo.push(to),
            program::JEQ_K | program::JNE_K | program::JSET_K => todo.extend([to, pc + 1]),
            _ => todo.push(pc + 1),
        }
    }
    assert!(seen.iter().all(|s| *s), "{code:?}");
}

fn probe(mut f: impl FnMut(DeviceKind, u32, u32, DeviceAccess)) {
    for kind in [DeviceKind::Block, DeviceKind::Char] {
        for major in [1, 8, 10, 136] {
            for minor in [3, 200, 229] {
                for bits in 1..8 {
                    f(kind, major, minor, DeviceAccess(bits));
                }
            }
        }
    }
}

fn check_program(rules: &[DeviceRule]) {
    let policy = DevicePolicy::container(rules).unwrap();
    let code = program::compile(&policy);
    assert_reachable(&code);
    probe(|kind, major, minor, access| {
        let allowed = policy.denied(kind, major, minor, access).is_empty();
        assert_eq!(
            interpret(&code, kind, major, minor, access),
            allowed,
            "{kind:?} {major}:{minor} {access} {rules:?}"
        );
    });
    // If v1 can express the policy, it means the same there.
    if let Ok(v1) = v1::compile(&policy) {
        probe(|kind, major, minor, access| {
            let device = DeviceException::new(kind, Some(major), Some(minor), DeviceAccess::ALL);
            let mut hits = v1.exceptions.iter().filter(|e| e.covers(&device));
            let allowed = if v1.allow_by_default {
                !hits.any(|e| !e.access.and(access).is_empty())
            } else {
                // The kernel checks mknod separately.
                let wanted = [access.and(DeviceAccess::MKNOD), access.without(DeviceAccess::MKNOD)];
                wanted
                    .into_iter()
                    .filter(|w| !w.is_empty())
                    .all(|w| hits.clone().any(|e| w.without(e.access).is_empty()))
            };
            let expected = policy.denied(kind, major, minor, access).is_empty();
            assert_eq!(allowed, expected, "v1: {kind:?} {major}:{minor} {access} {rules:?}");
        });
    }
}

#[test]
fn programs_decide_like_the_rules() {
    let all = |allow| rule(allow, "", -1, -1, "rwm");
    let cases: &[Vec<DeviceRule>] = &[
        vec![],
        vec![all(false)],
        vec![all(true)],
        vec![rule(true, "a", -1, -1, "")],
        vec![all(false), rule(true, "c", 10, 200, "rwm")],
        vec![all(false), rule(true, "c", 10, -1, "rmw"), rule(false, "c", 10, 229, "w")],
        vec![all(true), rule(false, "b", 8, -1, "w"), rule(true, "b", 8, 3, "w")],
        vec![all(true), rule(false, "b", -1, -1, "rwm"), rule(false, "c", -1, -1, "rwm")],
        vec![all(true), rule(false, "c", 10, 200, "rw")],
        vec![all(false), rule(true, "b", 8, 3, "r"), rule(true, "b", 8, 3, "w")],
        vec![all(false), rule(true, "b", 8, -1, "r"), rule(true, "b", 8, 3, "w")],
        vec![all(false), rule(true, "c", -1, -1, "rwm"), rule(true, "b", -1, -1, "rwm")],
        vec![rule(true, "a", -1, -1, "r"), rule(false, "a", 8, -1, "r")],
        vec![all(true), all(false), rule(true, "c", 10, 3, "r"), rule(false, "c", 10, 229, "rwm")],
        vec![rule(true, "c", -1, 3, "rw"), rule(true, "b", 8, -1, "rwm")],
    ];
    for rules in cases {
        check_program(rules);
    }
}

/// All lists of three of these rules: every combination of wildcards, orders and accesses.
#[test]
fn programs_of_all_lists_of_three_rules_decide_like_the_rules() {
    let mut few = Vec::new();
    for allow in [true, false] {
        few.push(rule(allow, "", -1, -1, "rwm"));
        few.push(rule(allow, "c", -1, -1, "rw"));
        few.push(rule(allow, "b", 8, -1, "rwm"));
        few.push(rule(allow, "b", 8, 3, "r"));
        few.push(rule(allow, "c", 10, 200, "rwm"));
        few.push(rule(allow, "a", -1, 3, "w"));
    }
    for a in &few {
        for b in &few {
            for c in &few {
                check_program(&[a.clone(), b.clone(), c.clone()]);
            }
        }
    }
}

#[test]
fn the_program_for_the_standard_devices_has_at_most_25_instructions() {
    let code = program::compile(&DevicePolicy::container(&[rule(false, "", -1, -1, "rwm")]).unwrap());
    assert!(code.len() <= 25, "{} instructions", code.len());
}

#[test]
fn v1_rejects_an_exclusion_from_a_wildcard() {
    let rules = [rule(true, "c", 10, -1, "rwm"), rule(false, "c", 10, 229, "w")];
    let e = v1::compile(&DevicePolicy::container(&rules).unwrap()).unwrap_err();
    assert!(e.to_string().contains("cannot punch hole in existing wildcard rule"), "{e}");
    assert_eq!(e.pointer(), Some("/linux/resources/devices/1"));
}

#[test]
fn v1_has_one_exception_for_each_standard_device() {
    let v1 = v1::compile(&DevicePolicy::container(&[rule(false, "", -1, -1, "rwm")]).unwrap()).unwrap();
    assert!(!v1.allow_by_default);
    assert_eq!(v1.exceptions.len(), DEFAULTS.len());
    assert_eq!(v1.exceptions[2].to_string(), "c 1:3 rwm");
    assert!(DevicePolicy::container(&[rule(true, "a", -1, -1, "")]).unwrap().allows_everything());
}

#[test]
fn invalid_rules_are_rejected_with_their_pointers() {
    let pointer = |r| DevicePolicy::container(&[r]).unwrap_err().pointer().map(str::to_owned).unwrap();
    assert_eq!(pointer(rule(true, "x", 1, 1, "r")), "/linux/resources/devices/0/type");
    assert_eq!(pointer(rule(true, "c", 1, 1, "rx")), "/linux/resources/devices/0/access");
    assert_eq!(pointer(rule(true, "c", 1 << 40, 1, "r")), "/linux/resources/devices/0/major");
    let negative = DeviceRule { major: Some(-2), ..rule(true, "c", 1, 1, "r") };
    assert_eq!(pointer(negative), "/linux/resources/devices/0/major");
}

/// Only the difference is written, so that a device that both policies allow is never denied in between.
#[test]
fn the_difference_of_two_policies_is_small_on_v1() {
    let compiled = |access: Option<&str>| {
        let mut rules = vec![rule(false, "a", -1, -1, "rwm")];
        rules.extend(access.map(|access| rule(true, "c", 1, 11, access)));
        v1::compile(&DevicePolicy::container(&rules).unwrap()).unwrap()
    };
    let text = |policy: Vec<DeviceException>| policy.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (none, r, rw) = (compiled(None), compiled(Some("r")), compiled(Some("rw")));
    assert_eq!(text(rw.exceptions_beyond(&none)), ["c 1:11 rw"]);
    assert_eq!(text(rw.exceptions_beyond(&r)), ["c 1:11 w"]);
    assert_eq!(text(r.exceptions_beyond(&rw)).len() + text(r.exceptions_beyond(&r)).len(), 0);
    // The letter of all devices, among the accesses, grants nothing.
    assert_eq!(compiled(Some("rwa")), rw);
    assert_eq!(compiled(Some("a")), none);
}
