//! config.md: the whole document, root, mounts, hooks; template documents, and how documents are written.

use super::linux::{IdMapping, Linux};
use super::process::Process;
use super::template;
use crate::bundle::annotations::Annotations;
use crate::bundle::model::model;
use crate::{Error, ErrorKind, Phase, Result};
use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};

model! {
    /// A whole `config.json`.
    pub struct Spec ["config.md#specification-version"] {
        /// `ociVersion`: the version of the runtime-spec that the document follows (SemVer 2.0.0).
        pub version: String = "ociVersion" required,
        /// The container's process; without one, the container can be created but not started.
        pub process: Option<Process> = "process",
        /// The root file system. REQUIRED on Linux.
        pub root: Option<Root> = "root",
        /// Host name inside the container.
        pub hostname: Option<String> = "hostname",
        /// NIS domain name inside the container.
        pub domainname: Option<String> = "domainname",
        /// Mounts in addition to the root, in the order in which they are mounted.
        pub mounts: Vec<Mount> = "mounts",
        /// Programs to run at certain points of the container's life cycle.
        pub hooks: Option<Hooks> = "hooks",
        /// Arbitrary metadata.
        pub annotations: Annotations = "annotations",
        /// Linux-specific configuration.
        pub linux: Option<Linux> = "linux",
    }

    /// The root file system.
    pub struct Root ["config.md#root"] {
        /// Path of the root directory: absolute, or relative to the bundle.
        pub path: String = "path" required,
        /// Whether it is read-only inside the container.
        pub readonly: bool = "readonly",
    }

    /// A mount.
    pub struct Mount ["config.md#mounts"] {
        /// The mount point: an absolute path inside the container.
        pub destination: String = "destination" required,
        /// `type`: the file system type.
        pub kind: Option<String> = "type",
        /// A device, a directory or an arbitrary name; for a bind mount a path, absolute or relative to the bundle.
        pub source: Option<String> = "source",
        /// Mount options of the kernel, of the spec, and of the file system.
        pub options: Vec<String> = "options",
        /// User ID mappings of an idmapped mount.
        pub uid_mappings: Vec<IdMapping> = "uidMappings",
        /// Group ID mappings of an idmapped mount.
        pub gid_mappings: Vec<IdMapping> = "gidMappings",
    }

    /// An object with `mounts` alone.
    pub struct Mounts ["config.md#mounts"] {
        /// The mounts, in the order in which they are mounted.
        pub mounts: Vec<Mount> = "mounts" required,
    }

    /// Programs to run at certain points of the container's life cycle, in the order of the lists.
    pub struct Hooks ["config.md#posix-platform-hooks"] {
        /// Deprecated: like `createRuntime`, and run before it.
        pub prestart: Vec<Hook> = "prestart",
        /// During create, after the namespaces were created and before pivot_root, in the runtime's namespaces.
        pub create_runtime: Vec<Hook> = "createRuntime",
        /// During create, before pivot_root, in the container's namespaces.
        pub create_container: Vec<Hook> = "createContainer",
        /// Before the process is started, inside the container.
        pub start_container: Vec<Hook> = "startContainer",
        /// After the process was started, in the runtime's namespaces.
        pub poststart: Vec<Hook> = "poststart",
        /// After the container was deleted, in the runtime's namespaces.
        pub poststop: Vec<Hook> = "poststop",
    }

    /// A hook.
    pub struct Hook ["config.md#posix-platform-hooks"] {
        /// Absolute path of the program.
        pub path: String = "path" required,
        /// Its arguments; the first one is its name.
        pub args: Vec<String> = "args",
        /// Its environment, `NAME=value`.
        pub env: Vec<String> = "env",
        /// Timeout in seconds, greater than zero.
        pub timeout: Option<i64> = "timeout",
    }
}

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
            process: Some(template::process()),
            root: Some(Root { path: "rootfs".into(), readonly: true }),
            hostname: Some("runc".into()),
            mounts: mounts(),
            linux: Some(template::linux(&kinds)),
            ..Self::default()
        }
    }

    /// The template for an unprivileged user: it has a user namespace in which `uid` and `gid` are root, uses the host's
    /// network and `/sys`, and sets no limits.
    pub fn rootless_template(pure_cgroup2: bool, uid: u32, gid: u32) -> Self {
        let mut spec = Self::template(pure_cgroup2);
        if let Some(linux) = &mut spec.linux {
            linux.namespaces.retain(|ns| ns.kind != "network");
            linux.namespaces.push(template::namespace("user"));
            linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
            linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
            linux.resources = None;
        }
        for mount in &mut spec.mounts {
            if mount.destination == "/sys" {
                mount.kind = Some("none".into());
                mount.source = Some("/sys".into());
                mount.options = template::strings(&["rbind", "nosuid", "noexec", "nodev", "ro"]);
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

/// The mounts of the template.
fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(source.into()),
        options: template::strings(options),
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
