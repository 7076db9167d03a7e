//! Device policies on v1 and cgroup2.

use super::host::{Host, clone_into, enter, wait};
use kit::Case;
use orlop::bundle::spec::{DeviceRule, Resources};
use orlop::cgroup::{Controller, DeviceAccess, DeviceKind, DevicePolicy};

pub(crate) fn cases() -> Vec<Case> {
    kit::plain_cases![
        devices_are_denied_on_cgroup2,
        devices_are_denied_on_v1,
        the_verifier_accepts_the_programs_of_all_lists_of_three_rules
    ]
}

/// The number of device programs that are attached to a cgroup: bpf(2) `BPF_PROG_QUERY`.
fn device_programs(directory: &std::fs::File) -> u32 {
    let mut attributes = [0_u32; 36];
    attributes[0] = std::os::fd::AsRawFd::as_raw_fd(directory) as u32;
    attributes[1] = 6;
    // SAFETY: the attributes are whole, and have no array for the programs' ids.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, 16, attributes.as_mut_ptr(), size_of_val(&attributes)) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    attributes[6]
}

/// The errno of opening a path, or 0.
fn open_errno(path: &std::ffi::CStr, flags: i32) -> i32 {
    // SAFETY: a path that lives through the call.
    let fd = unsafe { libc::open(path.as_ptr(), flags) };
    if fd >= 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap() }
}

fn device(allow: bool, major: i64, minor: i64, access: &str) -> DeviceRule {
    let kind = Some("c".to_owned());
    DeviceRule { allow, kind, major: Some(major), minor: Some(minor), access: Some(access.into()) }
}

fn devices_are_denied_on_cgroup2() {
    let host = Host::unified("devices2");
    // /dev/kmsg (1:11) is not a standard device.
    let kmsg = || open_errno(c"/dev/kmsg", libc::O_RDONLY);
    if kmsg() != 0 {
        kit::skip("/dev/kmsg cannot be opened here");
    }
    let (cgroup, join) = match host.create(&Resources::default()) {
        Err(e) if e.errno().map(|n| n as i32) == Some(libc::EPERM) => kit::skip(e.to_string()),
        other => other.unwrap(),
    };
    assert_eq!(wait(clone_into(&join, kmsg)), libc::EPERM << 8);
    assert_eq!(wait(clone_into(&join, || open_errno(c"/dev/null", libc::O_RDWR))), 0);
    let other = DevicePolicy::container(&[device(true, 1, 11, "r")]).unwrap();
    assert!(other.denied(DeviceKind::Char, 1, 11, DeviceAccess::READ).is_empty());
    cgroup.set_devices(&other).unwrap();
    assert_eq!(wait(clone_into(&join, kmsg)), 0);
    let write = || open_errno(c"/dev/kmsg", libc::O_WRONLY);
    assert_eq!(wait(clone_into(&join, write)), libc::EPERM << 8);
    // An update of limits keeps the device filter. There is one filter, since the first one was replaced.
    cgroup.update(&host.layout, &Resources::default()).unwrap();
    let directory = std::fs::File::open(cgroup.record().unified.as_ref().unwrap()).unwrap();
    assert_eq!(device_programs(&directory), 1);
    let all = DeviceRule { allow: true, ..DeviceRule::default() };
    cgroup.set_devices(&DevicePolicy::container(&[all]).unwrap()).unwrap();
    assert_eq!(device_programs(&directory), 0);
    assert_eq!(wait(clone_into(&join, write)), 0);
}

fn devices_are_denied_on_v1() {
    let host = Host::new("devices1");
    if host.layout.v1_of(Controller::Devices).is_none() {
        kit::skip("no v1 devices hierarchy");
    }
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    let script = "exec 3<>/dev/null || exit 2; (exec 3</dev/kmsg) 2>/dev/null && exit 3; exit 4";
    assert_eq!(enter(&join, &cgroup, script).wait().unwrap().code(), Some(4));
    cgroup.set_devices(&DevicePolicy::container(&[device(true, 1, 11, "r")]).unwrap()).unwrap();
    assert_eq!(enter(&join, &cgroup, script).wait().unwrap().code(), Some(3));
}

fn the_verifier_accepts_the_programs_of_all_lists_of_three_rules() {
    let host = Host::unified("verifier");
    let (cgroup, _join) = match host.create(&Resources::default()) {
        Err(e) if e.errno().map(|n| n as i32) == Some(libc::EPERM) => kit::skip(e.to_string()),
        other => other.unwrap(),
    };
    let all = |allow| DeviceRule { allow, ..DeviceRule::default() };
    let partial = |allow, kind: &str, access: &str| DeviceRule {
        allow,
        kind: Some(kind.into()),
        access: Some(access.into()),
        ..DeviceRule::default()
    };
    let few = [
        all(true),
        all(false),
        partial(true, "c", "rwm"),
        partial(false, "b", "rwm"),
        partial(false, "a", "w"),
        device(true, 10, 200, "rwm"),
        device(false, 10, 200, "r"),
    ];
    for a in &few {
        for b in &few {
            for c in &few {
                let rules = [a.clone(), b.clone(), c.clone()];
                cgroup.set_devices(&DevicePolicy::container(&rules).unwrap()).unwrap();
            }
        }
    }
}
