//! The plans of configurations that real managers wrote, as text, compared with `tests/golden`.
//!
//! `ORLOP_UPDATE_GOLDEN=1 cargo test --test golden_plans` writes them again; review the difference like any other
//! change.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

#[path = "fixtures/made_up.rs"]
mod made_up;

use made_up::{bundle, recording, tests_directory};
use orlop::bundle::Spec;
use orlop::cgroup::CgroupManager;
use orlop::plan::{Host, Listing, Options, StepSide, compile};
use std::path::PathBuf;

/// A host that does not depend on the machine that runs the test.
fn host(v2: bool) -> Host {
    Host { resctrl: Some("/sys/fs/resctrl".into()), ..made_up::host(v2) }
}

/// The plan of a recording, or the error.
fn plan(name: &str, text: &[u8]) -> String {
    let spec = Spec::from_json(text).unwrap();
    let console = spec.process.as_ref().is_some_and(|process| process.terminal);
    let cgroup_manager =
        if name.ends_with("cgroups-disabled") { CgroupManager::Disabled } else { CgroupManager::Cgroupfs };
    let id = name.to_owned();
    let options = Options { id, wait_for_start: true, console, cgroup_manager, ..Options::default() };
    match compile(&bundle(spec), &host(name.contains("v2")), &options) {
        Ok(plan) => {
            let listing =
                Listing::decode(plan.encode().unwrap().as_ref()).unwrap_or_else(|e| panic!("{name}: {e}"));
            let stub = plan.lines().iter().filter(|line| line.step.side() == StepSide::Stub).count();
            assert!(listing.instructions().len() >= stub / 2, "{name}: {listing}");
            plan.to_string()
        }
        Err(error) => format!("refused: {error}\n"),
    }
}

#[test]
fn recorded_configurations_compile_to_the_golden_plans() {
    let update = std::env::var_os("ORLOP_UPDATE_GOLDEN").is_some();
    let golden = tests_directory().join("golden");
    std::fs::create_dir_all(&golden).unwrap();
    let mut wrong = Vec::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(tests_directory().join("fixtures/managers")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let now = plan(&name, &std::fs::read(&path).unwrap());
        let file = golden.join(format!("{name}.txt"));
        if update {
            std::fs::write(&file, &now).unwrap();
        } else if let Some(difference) = difference(&std::fs::read_to_string(&file).unwrap_or_default(), &now)
        {
            wrong.push(format!("{name}: {difference}"));
        }
        names.push(format!("{name}.txt"));
    }
    for entry in std::fs::read_dir(&golden).unwrap() {
        let entry = entry.unwrap();
        if !names.iter().any(|name| entry.file_name() == name.as_str()) {
            wrong.push(format!("{} belongs to no recording", entry.path().display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nORLOP_UPDATE_GOLDEN=1 writes the plans anew", wrong.join("\n"));
}

/// The first line that differs, in both versions.
fn difference(before: &str, after: &str) -> Option<String> {
    let (mut old, mut new) = (before.lines(), after.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                return Some(format!(
                    "line {number}\n  - {}\n  + {}",
                    a.unwrap_or("(none)"),
                    b.unwrap_or("(none)")
                ));
            }
        }
    }
    None
}

/// The same bundle, host and options give the same plan.
#[test]
fn compiling_twice_gives_the_same_plan() {
    let text = recording("docker28-run");
    assert_eq!(plan("docker28-run", &text), plan("docker28-run", &text));
}

/// The mount label is given to each new file system in the way that it accepts.
#[test]
fn mounts_are_labelled_if_selinux_is_on() {
    let text = recording("docker28-run");
    let label = "system_u:object_r:container_file_t:s0:c1,c2";
    let compiled = |selinux: bool, kind: Option<&str>| {
        let mut spec = Spec::from_json(&text).unwrap();
        spec.linux.as_mut().unwrap().mount_label = Some(label.into());
        if let Some(kind) = kind {
            spec.annotations.insert("run.oci.mount_context_type".into(), kind.into());
        }
        let options = Options { id: "x".into(), wait_for_start: true, ..Options::default() };
        let plan = compile(&bundle(spec), &Host { selinux, ..host(false) }, &options);
        plan.map(|plan| (plan.to_string(), plan.encode().unwrap()))
    };
    let (plan, blob) = compiled(true, None).unwrap();
    let line = |word: &str| plan.lines().find(|line| line.contains(word)).unwrap().to_owned();
    for word in ["mount tmpfs on /dev ", "mount devpts on /dev/pts ", "mount tmpfs on /dev/shm "] {
        assert!(line(word).contains(&format!("context={label}")), "{plan}");
    }
    assert!(line("mount mqueue").contains(&format!(", labelled {label}")), "{plan}");
    assert!(!line("mount proc").contains(label) && !line("mount sysfs").contains(label), "{plan}");
    let listing = Listing::decode(blob.as_ref()).unwrap().to_string();
    assert_eq!(listing.matches("fsetxattr").count(), 1, "{listing}");
    let (plan, _) = compiled(true, Some("rootcontext")).unwrap();
    assert!(plan.contains(&format!("rootcontext={label}")) && !plan.contains("(context="), "{plan}");
    let error = compiled(true, Some("kontext")).unwrap_err();
    assert_eq!(error.pointer(), Some("/annotations/run.oci.mount_context_type"));
    let error = compiled(false, None).unwrap_err();
    assert_eq!(error.pointer(), Some("/linux/mountLabel"));
    assert!(error.to_string().contains("SELinux is not enabled"), "{error}");
}

/// Otherwise the keyring has the context of the caller, and SELinux denies the program its own session keyring.
#[test]
fn the_session_keyring_gets_the_label_of_the_process() {
    let text = recording("docker28-run");
    let label = "system_u:system_r:container_t:s0:c1,c2";
    let compiled = |no_new_keyring: bool, context: Option<&str>| {
        let mut spec = Spec::from_json(&text).unwrap();
        let process = spec.process.as_mut().unwrap();
        process.apparmor_profile = None;
        process.selinux_label = context.map(str::to_owned);
        let options = Options { id: "x".into(), no_new_keyring, ..Options::default() };
        let plan = compile(&bundle(spec), &Host { selinux: true, ..host(false) }, &options).unwrap();
        (plan.to_string(), Listing::decode(plan.encode().unwrap().as_ref()).unwrap().to_string())
    };
    let (plan, listing) = compiled(false, Some(label));
    let at = |words: &str| plan.lines().position(|line| line.contains(words)).unwrap_or(usize::MAX);
    let written = at(&format!("label of new keys {label}"));
    assert!(at("open the label file of keys") < at("pivot root") && at("pivot root") < written, "{plan}");
    assert_eq!(at("session keyring x"), written + 1, "{plan}");
    assert_eq!(listing.matches("/proc/thread-self/attr/keycreate").count(), 1, "{listing}");
    for (no_new_keyring, context) in [(true, Some(label)), (false, None), (false, Some(""))] {
        let (plan, listing) = compiled(no_new_keyring, context);
        assert!(!plan.contains("of new keys") && !listing.contains("keycreate"), "{plan}");
    }
}

/// The container's cgroup is bound from a tree, but an entry that remounts it attaches nothing.
#[test]
fn the_cgroup_is_mounted_once_and_then_remounted() {
    let text = recording("podman58v2-run");
    let mut spec = Spec::from_json(&text).unwrap();
    let mount = spec.mounts.iter().find(|m| m.destination == "/sys/fs/cgroup").unwrap().clone();
    let options = ["remount", "rw", "noexec"].map(str::to_owned).to_vec();
    spec.mounts.push(orlop::bundle::spec::Mount { options, ..mount });
    let options = Options { id: "c1".into(), ..Options::default() };
    let plan = compile(&bundle(spec), &host(true), &options).unwrap().to_string();
    let on = |words: &str| plan.lines().filter(|line| line.contains(words)).count();
    assert_eq!(on("on /sys/fs/cgroup "), 1, "{plan}");
    assert_eq!(on("stub  remount /sys/fs/cgroup (-ro,noexec)"), 1, "{plan}");
}

#[test]
fn classes_of_service_are_joined() {
    let text = recording("docker28-run");
    let compiled = |config: &str, resctrl: Option<PathBuf>| {
        let mut spec = serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        spec["linux"]["intelRdt"] = serde_json::from_str(config).unwrap();
        let spec = Spec::from_json(spec.to_string().as_bytes()).unwrap();
        let options = Options { id: "box".into(), wait_for_start: true, ..Options::default() };
        compile(&bundle(spec), &Host { resctrl, ..host(false) }, &options).map(|plan| plan.to_string())
    };
    let root = Some(PathBuf::from("/sys/fs/resctrl"));
    let plan = compiled("{\"enableMonitoring\": true}", root.clone()).unwrap();
    for line in [
        "class of service /sys/fs/resctrl/box, with a monitoring group",
        "join the class of service and its monitoring group",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    let plan = compiled("{\"closID\": \"/\"}", root).unwrap();
    assert!(plan.contains("class of service /sys/fs/resctrl  "), "{plan}");
    let error = compiled("{\"closID\": \"gold\"}", None).unwrap_err();
    assert_eq!(error.pointer(), Some("/linux/intelRdt"));
    assert!(error.to_string().contains("no resctrl file system is mounted"), "{error}");
}

/// A podman container whose cgroup systemd creates: the process waits for its scope before it unshares the cgroup
/// namespace, and is not created in a cgroup.
#[test]
fn the_scope_comes_before_the_cgroup_namespace() {
    let text = recording("podman58v2-run");
    let compiled = |v2: bool, path: &str| {
        let mut spec = Spec::from_json(&text).unwrap();
        let linux = spec.linux.as_mut().unwrap();
        linux.cgroups_path = Some(path.to_owned());
        let options =
            Options { id: "c1".into(), cgroup_manager: CgroupManager::Systemd, ..Options::default() };
        compile(&bundle(spec), &host(v2), &options).map(|plan| plan.to_string())
    };
    let plan = compiled(true, "machine.slice:libpod:4711").unwrap();
    let at = |what: &str| plan.find(what).unwrap_or_else(|| panic!("no {what} in {plan}"));
    let scope =
        at("start systemd unit libpod-4711.scope, cgroup /sys/fs/cgroup/machine.slice/libpod-4711.scope");
    assert!(at("spawn the stub; new") < scope && scope < at("unshare namespaces: cgroup"), "{plan}");
    assert!(!plan.contains("create cgroup"), "{plan}");
    for (v2, path, why) in [
        (true, "/machine.slice/x", "expected cgroupsPath to be of format \"slice:prefix:name\""),
        (false, "machine.slice:libpod:4711", "cgroup v2 alone"),
    ] {
        let error = compiled(v2, path).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(error.pointer(), Some("/linux/cgroupsPath"));
    }
}
