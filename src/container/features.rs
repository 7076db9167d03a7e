//! The features of this library, in the form of runtime-spec `features.md` and `features-linux.md`.
//!
//! Each list is taken from the table that the implementation uses, so it is never out of date.

use super::state::OCI_VERSION;
use crate::bundle::HookKind;
use crate::bundle::annotations;
use crate::mount;
use crate::namespace;
use crate::process::{capability, memory_policy};
use crate::seccomp::{Action, Arch, Flag, Operator, SeccompSupport};
use serde::Serialize;
use std::collections::BTreeMap;

/// The output of the `features` command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Features {
    /// The oldest `ociVersion` that is accepted.
    pub oci_version_min: &'static str,
    /// The newest `ociVersion` whose fields are supported.
    pub oci_version_max: &'static str,
    /// The names of the hooks.
    pub hooks: Vec<&'static str>,
    /// The mount options that are not passed to the file system, sorted.
    pub mount_options: Vec<&'static str>,
    /// The features of Linux.
    pub linux: LinuxFeatures,
    /// Properties of this implementation, named like annotations.
    /// `org.orlop.annotation.NAME` says what an annotation of `config.json` does and what it can never do.
    pub annotations: BTreeMap<String, String>,
    /// The annotations of `config.json` that have an effect; one that ends in a dot is a prefix.
    pub potentially_unsafe_config_annotations: Vec<&'static str>,
}

/// `linux` of [`Features`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LinuxFeatures {
    /// The types of namespaces.
    pub namespaces: Vec<&'static str>,
    /// The names of capabilities.
    pub capabilities: Vec<&'static str>,
    /// Control groups.
    pub cgroup: CgroupFeatures,
    /// Seccomp.
    pub seccomp: SeccompFeatures,
    /// AppArmor profiles.
    pub apparmor: Enabled,
    /// SELinux labels.
    pub selinux: Enabled,
    /// Intel Resource Director Technology.
    pub intel_rdt: IntelRdtFeatures,
    /// NUMA memory policies.
    pub memory_policy: MemoryPolicyFeatures,
    /// Further features of mounts.
    pub mount_extensions: MountExtensions,
    /// Network devices moved into the container.
    pub net_devices: Enabled,
}

/// Whether a feature is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Enabled {
    /// It is supported.
    pub enabled: bool,
}

/// `linux.intelRdt` of [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IntelRdtFeatures {
    /// Classes of service can be created and joined.
    pub enabled: bool,
    /// The field `schemata`.
    pub schemata: bool,
    /// The field `enableMonitoring`.
    pub monitoring: bool,
}

/// `linux.cgroup` of [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
#[allow(clippy::struct_excessive_bools, reason = "features-linux.md has it so")]
pub struct CgroupFeatures {
    /// Version 1 hierarchies.
    pub v1: bool,
    /// The unified hierarchy.
    pub v2: bool,
    /// systemd can manage the cgroups of the system.
    pub systemd: bool,
    /// systemd can manage the cgroups of a user.
    pub systemd_user: bool,
    /// The rdma controller.
    pub rdma: bool,
}

/// `linux.seccomp` of [`Features`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SeccompFeatures {
    /// Profiles can be used.
    pub enabled: bool,
    /// The supported actions.
    pub actions: Vec<&'static str>,
    /// The operators that compare arguments.
    pub operators: Vec<&'static str>,
    /// The architectures whose system calls are known.
    pub archs: Vec<&'static str>,
    /// The known flags of a filter.
    pub known_flags: Vec<&'static str>,
    /// The flags of a filter that this kernel supports too.
    pub supported_flags: Vec<&'static str>,
}

/// `linux.memoryPolicy` of [`Features`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryPolicyFeatures {
    /// The modes.
    pub modes: Vec<&'static str>,
    /// The flags.
    pub flags: Vec<&'static str>,
}

/// `linux.mountExtensions` of [`Features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MountExtensions {
    /// Idmapped mounts.
    pub idmap: Enabled,
}

/// The features of this library.
pub fn features() -> Features {
    Features {
        oci_version_min: "1.0.0",
        oci_version_max: OCI_VERSION,
        hooks: HookKind::ALL.iter().map(|kind| kind.name()).collect(),
        mount_options: sorted(mount::options::names()),
        linux: LinuxFeatures {
            namespaces: sorted(namespace::NamespaceKind::ALL.map(namespace::NamespaceKind::name)),
            capabilities: capability::NAMES.to_vec(),
            cgroup: CgroupFeatures { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: seccomp(),
            apparmor: Enabled { enabled: true },
            selinux: Enabled { enabled: true },
            intel_rdt: IntelRdtFeatures { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicyFeatures {
                modes: memory_policy::MODES.iter().map(|m| m.0).collect(),
                flags: memory_policy::FLAGS.iter().map(|f| f.0).collect(),
            },
            mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
            net_devices: Enabled { enabled: true },
        },
        annotations: properties(),
        potentially_unsafe_config_annotations: sorted(annotations::ALL.map(annotations::Annotation::name)),
    }
}

fn properties() -> BTreeMap<String, String> {
    // Managers look for the second name. It does not say whether criu is installed.
    let properties = [
        ("org.orlop.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.runc.checkpoint.enabled", "true"),
    ];
    let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let table = annotations::ALL.map(|annotation| {
        let allow = annotation
            .needs_permission()
            .map_or_else(String::new, |what| format!("; takes effect only if the caller allows it: {what}"));
        let text = format!("{}; never {}{allow}", annotation.does(), annotation.never());
        (format!("org.orlop.annotation.{}", annotation.name()), text)
    });
    properties.into_iter().chain(table).collect()
}

fn seccomp() -> SeccompFeatures {
    let names = |all: &mut dyn Iterator<Item = Flag>| all.map(Flag::name).collect();
    SeccompFeatures {
        enabled: true,
        actions: Action::NAMES.to_vec(),
        operators: Operator::ALL.iter().map(|operator| operator.name()).collect(),
        archs: sorted(Arch::ALL.iter().filter(|arch| arch.number("read").is_some()).map(|arch| arch.name())),
        known_flags: names(&mut Flag::ALL.into_iter()),
        supported_flags: names(&mut SeccompSupport::probe().flags.into_iter()),
    }
}

fn sorted(names: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Docker and CRI look for recursive read-only mounts, CRI for user namespaces.
    #[test]
    fn features_that_managers_look_for_are_listed() {
        let features = serde_json::to_value(features()).unwrap();
        let has = |pointer: &str, name: &str| {
            features.pointer(pointer).and_then(|v| v.as_array()).unwrap().iter().any(|v| v == name)
        };
        assert!(has("/mountOptions", "rro") && has("/mountOptions", "idmap"));
        assert!(has("/linux/namespaces", "user") && has("/linux/namespaces", "time"));
        assert!(has("/linux/capabilities", "CAP_CHECKPOINT_RESTORE"));
        assert!(has("/linux/seccomp/archs", "SCMP_ARCH_X86_64"));
        assert!(has("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ"));
        assert!(has("/linux/seccomp/actions", "SCMP_ACT_NOTIFY"));
        assert!(has("/linux/seccomp/supportedFlags", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"));
        assert!(has("/linux/seccomp/knownFlags", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"));
        assert_eq!(features["linux"]["cgroup"]["systemdUser"], true);
        assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(features["ociVersionMax"], OCI_VERSION);
        assert_eq!(features["annotations"]["org.opencontainers.runc.checkpoint.enabled"], "true");
    }

    /// A mount option is listed exactly if it compiles.
    #[test]
    fn mount_options_are_listed_if_they_compile() {
        use crate::bundle::spec::{IdMapping, Mount};
        use crate::bundle::{Bundle, Spec};
        use crate::plan::{Host, Options, compile};
        let reported = features().mount_options;
        for name in mount::options::names() {
            let mut spec = Spec::template(false);
            let maps = vec![
                IdMapping { container_id: 0, host_id: 0, size: 1 };
                usize::from(name.ends_with("idmap"))
            ];
            spec.root.get_or_insert_default().path = "/".into();
            spec.mounts = vec![Mount {
                destination: "/tmp".into(),
                kind: Some("tmpfs".into()),
                source: Some("/tmp".into()),
                options: [Some("bind").filter(|_| name.ends_with("idmap")), Some(name)]
                    .into_iter()
                    .flatten()
                    .map(str::to_owned)
                    .collect(),
                uid_mappings: maps.clone(),
                gid_mappings: maps,
            }];
            spec.process.get_or_insert_default().terminal = false;
            spec.linux.get_or_insert_default().resources = None;
            let bundle = Bundle::from_spec(None, spec).unwrap();
            let host = Host { privileged: true, makes_namespaces: true, ..Host::detect().unwrap() };
            let done = compile(&bundle, &host, &Options { id: "x".into(), ..Options::default() });
            let unbuilt = done.as_ref().is_err_and(|e| e.to_string().contains("not built"));
            assert_eq!(reported.contains(&name), !unbuilt, "{name}: {:?}", done.err());
        }
    }

    #[test]
    fn lists_are_sorted_and_have_no_duplicates() {
        let features = features();
        for list in [&features.mount_options, &features.linux.namespaces, &features.linux.seccomp.archs] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod claims;
