//! Compares the listed features with what compiles: each listed feature compiles, and everything that compiles is listed.

use super::*;
use crate::bundle::spec::IdMapping;
use crate::bundle::{Bundle, Spec};
use crate::plan::{Host, Options, compile};
use serde_json::{Value, json};

/// A `config.json` with this value at a pointer, whose parent exists.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = serde_json::to_value(Spec::template(false)).unwrap();
    spec["root"]["path"] = json!("/usr");
    spec["process"]["terminal"] = json!(false);
    spec["process"]["capabilities"] = json!({});
    spec["linux"]["resources"] = json!({});
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent).unwrap()[name] = value;
    spec
}

/// A host that supports everything, so that only this library can refuse a configuration.
fn host() -> Host {
    let mut host = Host {
        privileged: true,
        makes_namespaces: true,
        apparmor: true,
        selinux: true,
        bounding: capability::CapSet::up_to(63),
        ..Host::detect().unwrap()
    };
    host.kernel = (7, 0);
    host.resctrl = Some("/sys/fs/resctrl".into());
    host
}

/// Compiles a configuration; a warning is an error.
fn compiles(spec: &Value) -> Result<(), String> {
    let spec = Spec::from_json(spec.to_string().as_bytes()).map_err(|e| e.to_string())?;
    let bundle = Bundle::from_spec(None, spec).map_err(|e| e.to_string())?;
    let options = Options { id: "x".into(), ..Options::default() };
    let plan = compile(&bundle, &host(), &options).map_err(|e| e.to_string())?;
    match plan.warnings().first() {
        None => Ok(()),
        Some(warning) => Err(warning.to_string()),
    }
}

/// Checks that a known name is listed exactly if it compiles, and that only known names are listed.
fn check_names(what: &str, claimed: &[&str], known: &[&str], spec_with: impl Fn(&str) -> Value) {
    for name in known {
        let done = compiles(&spec_with(name));
        assert_eq!(claimed.contains(name), done.is_ok(), "{what} {name}: {done:?}");
    }
    for name in claimed {
        assert!(known.contains(name), "{what}: the runtime-spec has no {name}");
    }
    assert!(compiles(&spec_with("nonsense")).is_err(), "{what}: nonsense compiles");
}

/// The names in the runtime-spec's schema (schema/defs-linux.json of 1.3.0).
mod spec_names {
    pub(super) const NAMESPACES: &[&str] =
        &["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"];
    pub(super) const HOOKS: &[&str] =
        &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    pub(super) const ACTIONS: &[&str] = &[
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
    ];
    pub(super) const ARCHS: &[&str] = &[
        "SCMP_ARCH_X86",
        "SCMP_ARCH_X86_64",
        "SCMP_ARCH_X32",
        "SCMP_ARCH_ARM",
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64",
        "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
        "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_RISCV64",
    ];
    pub(super) const FLAGS: &[&str] = &[
        "SECCOMP_FILTER_FLAG_TSYNC",
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];
    pub(super) const OPERATORS: &[&str] = &[
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ];
    pub(super) const MODES: &[&str] = &[
        "MPOL_DEFAULT",
        "MPOL_BIND",
        "MPOL_INTERLEAVE",
        "MPOL_WEIGHTED_INTERLEAVE",
        "MPOL_PREFERRED",
        "MPOL_PREFERRED_MANY",
        "MPOL_LOCAL",
    ];
    pub(super) const MODE_FLAGS: &[&str] =
        &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];
}

#[test]
fn namespaces_and_hooks_agree_with_the_compiler() {
    let features = features();
    check_names("namespace", &features.linux.namespaces, spec_names::NAMESPACES, |name| {
        let mut spec = with("/linux/namespaces", json!([{"type": "mount"}]));
        if name != "mount" {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": name}));
        }
        if name == "user" {
            let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map;
        }
        // Settings that need other namespaces are removed.
        spec.as_object_mut().unwrap().remove("hostname");
        spec["mounts"] = json!([]);
        spec
    });
    // An unknown key of config.json is ignored, so it would compile: the parsed hooks tell.
    let runs = |name: &str| {
        let spec = with("/hooks", json!({name: [{"path": "/bin/true"}]}));
        let bundle = Bundle::from_spec(None, Spec::from_json(spec.to_string().as_bytes()).unwrap()).unwrap();
        let hooks = bundle.spec.hooks.unwrap_or_default();
        HookKind::ALL
            .iter()
            .filter(|kind| !kind.hooks_in(Some(&hooks)).is_empty())
            .map(|k| k.name())
            .collect::<Vec<_>>()
    };
    for name in spec_names::HOOKS {
        assert_eq!(runs(name), [*name]);
    }
    assert_eq!(features.hooks, spec_names::HOOKS);
}

#[test]
fn capabilities_agree_with_the_compiler() {
    let claimed = features().linux.capabilities;
    let with_capability = |name: &str| with("/process/capabilities", json!({"bounding": [name]}));
    check_names("capability", &claimed, &capability::NAMES, with_capability);
    // linux/capability.h up to 6.18.
    assert_eq!(claimed.len(), 41);
}

#[test]
fn seccomp_names_agree_with_the_compiler() {
    let claimed = features().linux.seccomp;
    assert!(claimed.enabled);
    let rule = |action: &str| json!([{"names": ["getcwd"], "action": action}]);
    check_names("action", &claimed.actions, spec_names::ACTIONS, |name| {
        let mut seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rule(name)});
        if name == "SCMP_ACT_NOTIFY" {
            seccomp["listenerPath"] = json!("/run/agent");
        }
        with("/linux/seccomp", seccomp)
    });
    check_names("operator", &claimed.operators, spec_names::OPERATORS, |name| {
        let arg = json!({"index": 0, "value": 1, "valueTwo": 1, "op": name});
        let rules = json!([{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "args": [arg]}]);
        with("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    });
    check_names("arch", &claimed.archs, spec_names::ARCHS, |name| {
        let rules = rule("SCMP_ACT_ERRNO");
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [name], "syscalls": rules});
        with("/linux/seccomp", profile)
    });
    let with_flag = |name: &str| {
        let rules = rule(if name.ends_with("RECV") { "SCMP_ACT_NOTIFY" } else { "SCMP_ACT_ERRNO" });
        let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [name], "syscalls": rules});
        let mut spec = with("/linux/seccomp", profile);
        if name.ends_with("RECV") {
            spec["linux"]["seccomp"]["listenerPath"] = json!("/run/agent");
        }
        spec
    };
    check_names("flag", &claimed.supported_flags, spec_names::FLAGS, with_flag);
    assert!(claimed.supported_flags.iter().all(|flag| claimed.known_flags.contains(flag)));
    let mut known = claimed.known_flags;
    known.sort_unstable();
    assert_eq!(known, sorted(spec_names::FLAGS.iter().copied()));
}

#[test]
fn memory_policies_agree_with_the_compiler() {
    let claimed = features().linux.memory_policy;
    check_names("mode", &claimed.modes, spec_names::MODES, |name| {
        let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&name) { "" } else { "0" };
        with("/linux/memoryPolicy", json!({"mode": name, "nodes": nodes}))
    });
    check_names("flag", &claimed.flags, spec_names::MODE_FLAGS, |name| {
        with("/linux/memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [name]}))
    });
}

/// Each boolean is true if its field compiles on a host with the feature.
#[test]
fn booleans_agree_with_the_compiler() {
    let linux = features().linux;
    let map = serde_json::to_value([IdMapping { container_id: 0, host_id: 1000, size: 1 }]).unwrap();
    let idmapped = json!([{"destination": "/mnt", "type": "bind", "source": "/tmp", "options": ["bind"],
        "uidMappings": map, "gidMappings": map}]);
    for (what, claimed, spec) in [
        ("apparmor", linux.apparmor.enabled, with("/process/apparmorProfile", json!("a-profile"))),
        ("selinux", linux.selinux.enabled, with("/process/selinuxLabel", json!("a:b:c:s0"))),
        ("selinux", linux.selinux.enabled, with("/linux/mountLabel", json!("a:b:c:s0"))),
        ("idmap", linux.mount_extensions.idmap.enabled, with("/mounts", idmapped)),
        ("net_devices", linux.net_devices.enabled, with("/linux/netDevices", json!({"eth0": {}}))),
        ("rdt", linux.intel_rdt.enabled, with("/linux/intelRdt", json!({"closID": "a"}))),
        ("schemata", linux.intel_rdt.schemata, with("/linux/intelRdt", json!({"schemata": ["L3:0=f"]}))),
        (
            "monitoring",
            linux.intel_rdt.monitoring,
            with("/linux/intelRdt", json!({"enableMonitoring": true})),
        ),
    ] {
        let done = compiles(&spec);
        assert_eq!(claimed, done.is_ok(), "{what}: {done:?}");
    }
}

/// The keys are those of features.md and of its schema, and each has a value.
#[test]
fn the_keys_are_those_of_the_schema() {
    let listed = serde_json::to_value(features()).unwrap();
    let keys = |pointer: &str| -> Vec<String> {
        listed.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    let top = [
        "ociVersionMin",
        "ociVersionMax",
        "hooks",
        "mountOptions",
        "linux",
        "annotations",
        "potentiallyUnsafeConfigAnnotations",
    ];
    assert_eq!(sorted_keys(keys("")), sorted(top));
    let linux = [
        "namespaces",
        "capabilities",
        "cgroup",
        "seccomp",
        "apparmor",
        "selinux",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "netDevices",
    ];
    assert_eq!(sorted_keys(keys("/linux")), sorted(linux));
    for (pointer, wanted) in [
        ("/linux/cgroup", &["v1", "v2", "systemd", "systemdUser", "rdma"][..]),
        ("/linux/seccomp", &["enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"]),
        ("/linux/apparmor", &["enabled"]),
        ("/linux/selinux", &["enabled"]),
        ("/linux/intelRdt", &["enabled", "schemata", "monitoring"]),
        ("/linux/memoryPolicy", &["modes", "flags"]),
        ("/linux/mountExtensions", &["idmap"]),
        ("/linux/mountExtensions/idmap", &["enabled"]),
        ("/linux/netDevices", &["enabled"]),
    ] {
        assert_eq!(sorted_keys(keys(pointer)), sorted(wanted.iter().copied()), "{pointer}");
    }
    for (name, value) in listed["annotations"].as_object().unwrap() {
        assert!(name.contains('.') && value.is_string(), "{name}: {value}");
    }
}

fn sorted_keys(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys
}

/// The whole table of annotations is listed, each with what it can never do.
#[test]
fn annotations_are_listed_with_what_they_can_never_do() {
    let features = features();
    let names = sorted(annotations::ALL.map(annotations::Annotation::name));
    assert_eq!(features.potentially_unsafe_config_annotations, names);
    for annotation in annotations::ALL {
        let listed = &features.annotations[&format!("org.orlop.annotation.{}", annotation.name())];
        let allow = annotation.needs_permission().unwrap_or_default();
        for part in [annotation.does(), annotation.never(), allow] {
            assert!(listed.contains(part), "{listed}");
        }
    }
}
