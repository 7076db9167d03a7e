//! The parts of the template configurations.

use super::linux::{Linux, Namespace};
use super::process::{Capabilities, Process, Rlimit};
use super::resources::{DeviceRule, Resources};

/// The process: `sh` on a terminal.
pub(super) fn process() -> Process {
    let set = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Process {
        terminal: true,
        args: strings(&["sh"]),
        env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: set.clone(),
            effective: set.clone(),
            permitted: set,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    }
}

/// New namespaces, masked paths, and no devices but the default ones.
pub(super) fn linux(namespaces: &[&str]) -> Linux {
    Linux {
        resources: Some(Resources {
            devices: vec![DeviceRule { access: Some("rwm".into()), ..DeviceRule::default() }],
            ..Resources::default()
        }),
        namespaces: namespaces.iter().copied().map(namespace).collect(),
        masked_paths: strings(&[
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: strings(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
        ..Linux::default()
    }
}

/// A new namespace.
pub(super) fn namespace(kind: &str) -> Namespace {
    Namespace { kind: kind.into(), path: None }
}

pub(super) fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}
