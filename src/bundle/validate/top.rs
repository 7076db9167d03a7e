//! config.md: version, root, mounts, hooks, annotations.

use super::checks::{absolute, id_maps, namespace};
use crate::bundle::findings::{Findings, Pointer};
use crate::bundle::semver::parse_semver;
use crate::bundle::spec::{Hook, Mount, Spec};

const VERSION: &str = "config.md#specification-version";
const MOUNTS: &str = "config.md#mounts";

/// The newest minor version of the runtime-spec that the model covers.
const MINOR: u64 = 3;

pub(super) fn check(spec: &Spec, at: &Pointer<'_>, found: &mut Findings) {
    version(&spec.version, &at.key("ociVersion"), found);
    let root = at.key("root");
    match &spec.root {
        None => found.error(&root, "config.md#root", "is required"),
        Some(r) if r.path.is_empty() => {
            found.error(&root.key("path"), "config.md#root", "must not be empty");
        }
        Some(_) => {}
    }
    for (name, value, section) in [
        ("hostname", &spec.hostname, "config.md#hostname"),
        ("domainname", &spec.domainname, "config.md#domainname"),
    ] {
        let Some(value) = value else { continue };
        if namespace(spec, "uts").is_none() {
            let message = format!("unable to set {name} without a private UTS namespace");
            found.error(&at.key(name), section, message);
        }
        if value.len() > 64 {
            found.error(&at.key(name), section, "must not be longer than 64 bytes");
        }
    }
    let mounts = at.key("mounts");
    for (i, m) in spec.mounts.iter().enumerate() {
        mount(spec, m, &mounts.index(i), found);
    }
    hooks(spec, &at.key("hooks"), found);
    if spec.annotations.has_empty_name() {
        found.error(&at.key("annotations"), "config.md#annotations", "keys must not be empty");
    }
}

fn version(version: &str, at: &Pointer<'_>, found: &mut Findings) {
    match parse_semver(version) {
        None if version.is_empty() => found.error(at, VERSION, "is required"),
        None => found.error(at, VERSION, format!("{version:?} is not a SemVer 2.0.0 version")),
        Some([1, minor, _]) if minor > MINOR => {
            let message = format!("{version} is newer than 1.{MINOR}: its additions are ignored");
            found.warn(at, VERSION, message);
        }
        Some([1, ..]) => {}
        Some(_) => found.error(at, VERSION, format!("{version} is not supported, only 1.x is")),
    }
}

fn mount(spec: &Spec, mount: &Mount, at: &Pointer<'_>, found: &mut Findings) {
    let destination = at.key("destination");
    if mount.destination.is_empty() {
        found.error(&destination, MOUNTS, "must not be empty");
    } else if !mount.destination.starts_with('/') {
        let message =
            format!("relative path {:?} is deprecated: taken as /{}", mount.destination, mount.destination);
        found.warn(&destination, MOUNTS, message);
    }
    let has = |names: [&str; 2]| mount.options.iter().any(|option| names.contains(&option.as_str()));
    if mount.source.is_none() && has(["bind", "rbind"]) {
        found.error(&at.key("source"), MOUNTS, "is required for a bind mount");
    }
    id_mapped(spec, mount, has(["idmap", "ridmap"]), at, found);
}

/// The rules of idmapped mounts.
fn id_mapped(spec: &Spec, mount: &Mount, requested: bool, at: &Pointer<'_>, found: &mut Findings) {
    const POSIX: &str = "config.md#posix-platform-mounts";
    id_maps(&mount.uid_mappings, &at.key("uidMappings"), POSIX, found);
    id_maps(&mount.gid_mappings, &at.key("gidMappings"), POSIX, found);
    match (mount.uid_mappings.is_empty(), mount.gid_mappings.is_empty()) {
        (false, true) => {
            found.error(&at.key("gidMappings"), POSIX, "must be given along with uidMappings");
        }
        (true, false) => {
            found.error(&at.key("uidMappings"), POSIX, "must be given along with gidMappings");
        }
        (true, true) if requested && namespace(spec, "user").is_none() => {
            let message = "idmap needs uidMappings and gidMappings, or a user namespace";
            found.error(&at.key("options"), "config.md#linux-mount-options", message);
        }
        _ => {}
    }
}

fn hooks(spec: &Spec, at: &Pointer<'_>, found: &mut Findings) {
    let Some(hooks) = &spec.hooks else { return };
    for (kind, list) in [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ] {
        let at = at.key(kind);
        for (i, h) in list.iter().enumerate() {
            hook(h, &at.index(i), found);
        }
    }
}

fn hook(hook: &Hook, at: &Pointer<'_>, found: &mut Findings) {
    const HOOKS: &str = "config.md#posix-platform-hooks";
    absolute(&hook.path, &at.key("path"), HOOKS, found);
    if let Some(timeout) = hook.timeout.filter(|timeout| *timeout <= 0) {
        found.error(&at.key("timeout"), HOOKS, format!("{timeout} must be greater than zero"));
    }
}
