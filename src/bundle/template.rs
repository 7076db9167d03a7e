//! Template configurations, and how configurations are written.

use super::spec::{
    Capabilities, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root, Spec,
};
use crate::{Error, ErrorKind, Phase, Result};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

impl Spec {
    /// A configuration that runs `sh` on a terminal, with `rootfs` as its read-only root: what `runc spec`
    /// prints. It has a cgroup namespace if the host has only cgroup v2.
    pub fn template(pure_cgroup2: bool) -> Self {
        let mut kinds = vec!["pid", "network", "ipc", "uts", "mount"];
        if pure_cgroup2 {
            kinds.push("cgroup");
        }
        Self {
            version: "1.3.0".into(),
            process: Some(process()),
            root: Some(Root { path: "rootfs".into(), readonly: true }),
            hostname: Some("runc".into()),
            mounts: mounts(),
            linux: Some(Linux {
                resources: Some(Resources {
                    devices: vec![DeviceRule { access: Some("rwm".into()), ..DeviceRule::default() }],
                    ..Resources::default()
                }),
                namespaces: kinds.into_iter().map(namespace).collect(),
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
                readonly_paths: strings(&[
                    "/proc/bus",
                    "/proc/fs",
                    "/proc/irq",
                    "/proc/sys",
                    "/proc/sysrq-trigger",
                ]),
                ..Linux::default()
            }),
            ..Self::default()
        }
    }

    /// The template for an unprivileged user: it has a user namespace in which `uid` and `gid` are root, uses the host's
    /// network and `/sys`, and sets no limits.
    pub fn rootless_template(pure_cgroup2: bool, uid: u32, gid: u32) -> Self {
        let mut spec = Self::template(pure_cgroup2);
        if let Some(linux) = &mut spec.linux {
            linux.namespaces.retain(|ns| ns.kind != "network");
            linux.namespaces.push(namespace("user"));
            linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
            linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
            linux.resources = None;
        }
        for mount in &mut spec.mounts {
            if mount.destination == "/sys" {
                mount.kind = Some("none".into());
                mount.source = Some("/sys".into());
                mount.options = strings(&["rbind", "nosuid", "noexec", "nodev", "ro"]);
            }
            mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
        }
        spec
    }

    /// The configuration as JSON, on one line.
    ///
    /// # Errors
    /// None is known: every value of the model can be written.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| cannot_write(&e))
    }

    /// The configuration as JSON, indented with tabs, without a final newline.
    ///
    /// # Errors
    /// None is known: every value of the model can be written.
    pub fn to_json_pretty(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t"));
        self.serialize(&mut writer).map_err(|e| cannot_write(&e))?;
        Ok(text)
    }
}

fn cannot_write(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidConfig, Phase::Config, "write config").with_detail(e.to_string())
}

fn process() -> Process {
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

fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: strings(options),
        ..Mount::default()
    };
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn namespace(kind: &str) -> Namespace {
    Namespace { kind: kind.into(), path: None }
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}
