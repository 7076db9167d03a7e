//! `--systemd-cgroup`: the cgroup is a systemd scope. If systemd does not run, only the refusal is tested;
//! `tests/vm/run --systemd` has a machine on which it runs.

use kit::{Bundle, Case, Console, Container, Test, json};
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        without_systemd_the_error_is_one_sentence,
        cgroups_path_must_be_slice_prefix_name,
        the_process_is_in_its_scope,
        the_default_scope_is_in_system_slice,
        nested_slices_are_created,
        cgroup_namespace_is_rooted_in_the_scope,
        limits_are_properties_and_files,
        limits_survive_a_reload,
        devices_stay_denied_after_a_reload,
        device_rules_are_properties,
        updated_device_rules_survive_a_reload,
        a_strict_device_policy_can_be_requested,
        annotations_are_properties,
        a_bad_property_is_an_error,
        annotations_cannot_set_the_runtimes_properties,
        update_sets_properties,
        exec_joins_the_scope,
        pause_resume_and_kill_all_work,
        the_unit_name_can_be_used_again,
        a_failed_scope_is_removed,
        an_existing_unit_is_not_touched,
        a_failed_create_leaves_no_unit,
        a_container_in_a_user_namespace_can_create_cgroups,
    ]
}

/// Whether systemd runs here.
fn runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

pub(super) fn needs_systemd(t: &Test) {
    t.only_orlop("its units have other names");
    if !runs() {
        kit::skip("systemd does not run here");
    }
}

/// A bundle whose cgroup is created by systemd, and its unit.
pub(super) fn bundle(t: &Test) -> (Bundle<'_>, String) {
    let bundle = t.bundle().global("--systemd-cgroup");
    let path = format!("orlop_test.slice:test:{}", bundle.id());
    let unit = format!("test-{}.scope", bundle.id());
    (bundle.set("/linux/cgroupsPath", path), unit)
}

pub(super) fn systemctl(words: &[&str]) -> String {
    let output = Command::new("systemctl").args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A property of a unit.
pub(super) fn property(unit: &str, name: &str) -> String {
    systemctl(&["show", "--value", "-p", name, unit])
}

fn is_gone(unit: &str) -> bool {
    property(unit, "LoadState") == "not-found"
}

fn cgroup_of(container: &Container<'_>) -> String {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap().to_owned()
}

/// A value in a file of the container's cgroup.
pub(super) fn value(t: &Test, container: &Container<'_>, file: &str) -> String {
    let path = t.v2(cgroup_of(container).trim_start_matches('/')).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
}

pub(super) fn end(container: &Container<'_>) {
    container.kill("KILL");
    container.wait();
    container.delete();
}

fn without_systemd_the_error_is_one_sentence(t: &Test) {
    t.only_orlop("others check the cgroup first");
    if runs() {
        kit::skip("systemd runs here");
    }
    let sentence = "systemd not running on this host, cannot use systemd cgroups manager";
    bundle(t).0.try_run().refused(&[sentence]);
    let output = t.bundle().global("--cgroup-manager=systemd").try_create().refused(&[sentence]);
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    // A user's systemd is found by the environment.
    let output = t.bundle().global("--systemd-cgroup").global("--rootless=true").try_create();
    output.refused(&["connect to systemd", "XDG_RUNTIME_DIR"]);
}

fn plan(bundle: &Bundle<'_>, t: &Test) -> kit::Output {
    bundle.write();
    t.bare(["--systemd-cgroup", "plan"]).arg(bundle.dir().to_string_lossy()).output()
}

fn cgroups_path_must_be_slice_prefix_name(t: &Test) {
    t.only_orlop("it does not print plans");
    for bad in ["/a/b", "a.slice:b", "a:b:c", "a.slice:b:c d"] {
        let output = plan(&t.bundle().set("/linux/cgroupsPath", bad), t);
        output.refused(&["/linux/cgroupsPath"]);
    }
}

fn the_process_is_in_its_scope(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.create();
    assert_eq!(cgroup_of(&container), format!("/orlop_test.slice/{unit}"));
    assert_eq!(property(&unit, "ActiveState"), "active");
    assert_eq!(property(&unit, "Slice"), "orlop_test.slice");
    assert_eq!(property(&unit, "Delegate"), "yes");
    container.start();
    container.wait();
    // `delete` knows without a flag that systemd created the cgroup.
    container.delete();
    assert!(is_gone(&unit));
}

fn the_default_scope_is_in_system_slice(t: &Test) {
    needs_systemd(t);
    let bundle = t.bundle().global("--cgroup-manager=systemd").remove("/linux/cgroupsPath");
    let container = bundle.create();
    assert_eq!(cgroup_of(&container), format!("/system.slice/orlop-{}.scope", bundle.id()));
    end(&container);
}

fn nested_slices_are_created(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let path = format!("orlop_test-a-b.slice:test:{}", bundle.id());
    let container = bundle.set("/linux/cgroupsPath", path).create();
    let slices = "/orlop_test.slice/orlop_test-a.slice/orlop_test-a-b.slice";
    assert_eq!(cgroup_of(&container), format!("{slices}/{unit}"));
    end(&container);
}

fn cgroup_namespace_is_rooted_in_the_scope(t: &Test) {
    needs_systemd(t);
    let (bundle, _) = bundle(t);
    let report = bundle.namespace("cgroup").report();
    assert!(report["cgroup"].as_array().unwrap().contains(&json!("0::/")), "{}", report["cgroup"]);
}

fn limits() -> kit::Value {
    json!({
        "memory": {"limit": 67_108_864, "reservation": 33_554_432, "swap": 67_108_864},
        "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 77},
        "unified": {"memory.high": "50000000"},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
        "devices": [{"allow": false, "access": "rwm"}]
    })
}

fn check_limits(t: &Test, container: &Container<'_>) {
    for (file, expected) in [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("memory.high", "49999872"),
        ("memory.swap.max", "0"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0"),
        ("pids.max", "77"),
        ("hugetlb.2MB.max", "4194304"),
    ] {
        assert_eq!(value(t, container, file), expected, "{file}");
    }
}

fn limits_are_properties_and_files(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.set("/linux/resources", limits()).create();
    check_limits(t, &container);
    for (name, expected) in [
        ("MemoryMax", "67108864"),
        ("MemoryLow", "33554432"),
        ("MemorySwapMax", "0"),
        ("CPUWeight", "100"),
        ("CPUQuotaPerSecUSec", "500ms"),
        ("AllowedCPUs", "0"),
        ("TasksMax", "77"),
    ] {
        assert_eq!(property(&unit, name), expected, "{name}");
    }
    end(&container);
}

fn limits_survive_a_reload(t: &Test) {
    needs_systemd(t);
    let (bundle, _) = bundle(t);
    let container = bundle.set("/linux/resources", limits()).create();
    systemctl(&["daemon-reload"]);
    check_limits(t, &container);
    end(&container);
}

fn devices_stay_denied_after_a_reload(t: &Test) {
    needs_systemd(t);
    let (bundle, _) = bundle(t);
    let bundle = bundle
        .push("/linux/devices", json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}))
        .probe("sleep");
    let container = bundle.start();
    assert_eq!(container.exec("open /dev/kmsg w").success().json()["errno"], "EPERM");
    systemctl(&["daemon-reload"]);
    assert_eq!(container.exec("open /dev/kmsg w").success().json()["errno"], "EPERM");
    assert_eq!(container.exec("open /dev/zero r").success().json()["errno"], "");
    end(&container);
}

fn updated_device_rules_survive_a_reload(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    // No driver has this device: opening it fails after it was allowed.
    let bundle =
        bundle.push("/linux/devices", json!({"path": "/dev/none", "type": "c", "major": 241, "minor": 0}));
    let container = bundle.probe("sleep").start();
    for (allow, errno) in [(true, "ENXIO"), (false, "EPERM")] {
        let rules = json!({"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": allow, "type": "c", "major": 241, "minor": 0, "access": "r"},
        ]});
        let update = t.runtime(["update", "--resources", "-", container.id()]).input(&rules.to_string());
        update.output().success();
        assert_eq!(container.exec("open /dev/none r").success().json()["errno"], errno, "allow {allow}");
        systemctl(&["daemon-reload"]);
        // Systemd writes all rules that it knows.
        systemctl(&["set-property", "--runtime", &unit, "DeviceAllow=/dev/full r"]);
        let seen = container.exec("open /dev/none r").success().json();
        assert_eq!(seen["errno"], errno, "allow {allow}, reloaded");
    }
    end(&container);
}

fn device_rules_are_properties(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    // No driver has this device: opening it fails after it was allowed.
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 241, "minor": 0, "access": "r"},
        {"allow": true, "type": "b", "major": 7, "access": "rw"}
    ]);
    let bundle =
        bundle.push("/linux/devices", json!({"path": "/dev/none", "type": "c", "major": 241, "minor": 0}));
    let container = bundle.set("/linux/resources/devices", rules).probe("sleep").start();
    assert_eq!(property(&unit, "DevicePolicy"), "strict");
    let allowed = property(&unit, "DeviceAllow");
    for entry in ["/dev/char/241:0 r", "block-7 rw", "char-* m", "/dev/char/1:3 rwm", "char-136 rwm"] {
        assert!(allowed.lines().any(|line| line == entry), "{entry}: {allowed}");
    }
    let (console, pid_file) = (Console::new(t), t.dir().join("pid"));
    for when in ["at first", "after a reload"] {
        for (file, errno) in [("none r", "ENXIO"), ("none w", "EPERM"), ("null rw", ""), ("ptmx rw", "")] {
            let seen = container.exec(&format!("open /dev/{file}")).success().json();
            assert_eq!(seen["errno"], errno, "{file} {when}");
        }
        // A pseudo-terminal.
        let (socket, pid) = (console.path().to_str().unwrap(), pid_file.to_str().unwrap());
        let words = ["exec", "-d", "-t", "--console-socket", socket, "--pid-file", pid];
        t.runtime(words).args([container.id(), "/probe", "terminal"]).output().success();
        let (_, mut master) = console.receive();
        assert!(master.read_until("isatty").contains("[true,true,true]"), "{when}");
        let pid = fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        kit::sys::reap(pid, std::time::Duration::from_secs(5));
        systemctl(&["daemon-reload"]);
    }
    end(&container);
}

fn a_strict_device_policy_can_be_requested(t: &Test) {
    needs_systemd(t);
    let everything = json!([{"allow": true, "access": "rwm"}]);
    for (annotated, policy) in [(false, "auto"), (true, "strict")] {
        let (bundle, unit) = bundle(t);
        let bundle = bundle
            .push("/linux/devices", json!({"path": "/dev/none", "type": "c", "major": 241, "minor": 0}));
        let mut bundle = bundle.set("/linux/resources/devices", everything.clone()).probe("sleep");
        if annotated {
            bundle = bundle.set("/annotations", json!({"org.systemd.property.DevicePolicy": "'strict'"}));
        }
        let container = bundle.start();
        assert_eq!(property(&unit, "DevicePolicy"), policy);
        assert_eq!(container.exec("open /dev/none r").success().json()["errno"], "ENXIO");
        end(&container);
    }
    let (bundle, unit) = bundle(t);
    let bundle = bundle.set("/annotations", json!({"org.systemd.property.AddRef": "true"}));
    bundle.try_run().refused(&["org.systemd.property.AddRef", "the reference to the unit ends"]);
    assert!(is_gone(&unit));
}

fn annotations_are_properties(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let annotations = json!({
        "org.systemd.property.TimeoutStopUSec": "uint64 10000000",
        "org.systemd.property.RuntimeMaxSec": "uint64 3600",
        "org.systemd.property.After": "['basic.target']",
        "org.systemd.property.KillSignal": "15"
    });
    let container = bundle.set("/annotations", annotations).create();
    assert_eq!(property(&unit, "TimeoutStopUSec"), "10s");
    assert_eq!(property(&unit, "RuntimeMaxUSec"), "1h");
    assert!(property(&unit, "After").contains("basic.target"));
    end(&container);
}

fn a_bad_property_is_an_error(t: &Test) {
    needs_systemd(t);
    for (name, value, fragment) in [
        ("NoSuchProperty", "true", "annotation is not allowed"),
        ("CollectMode", "inactive", "a string stands in quotes"),
        ("TimeoutStopUSec", "'x'", "start systemd unit"),
    ] {
        let (bundle, unit) = bundle(t);
        let bundle = bundle.set("/annotations", json!({format!("org.systemd.property.{name}"): value}));
        bundle.try_run().refused(&[fragment]);
        assert!(is_gone(&unit));
    }
}

fn annotations_cannot_set_the_runtimes_properties(t: &Test) {
    needs_systemd(t);
    for (name, value) in [
        ("MemoryMax", "uint64 1000000000000"),
        ("TasksMax", "uint64 1000000"),
        ("CPUQuotaPerSecSec", "uint64 100"),
        ("Slice", "'-.slice'"),
        ("Delegate", "false"),
        ("DevicePolicy", "'auto'"),
        ("PIDs", "[uint32 1]"),
        ("Description", "'sshd.service'"),
    ] {
        let (bundle, unit) = bundle(t);
        let bundle = bundle.set("/annotations", json!({format!("org.systemd.property.{name}"): value}));
        let bundle = bundle.global("--allow-annotation=org.systemd.property.");
        let hint = "the slice in /linux/cgroupsPath";
        bundle.try_run().refused(&[
            "the runtime's own to set",
            &format!("org.systemd.property.{name}"),
            hint,
        ]);
        assert!(is_gone(&unit));
    }
    // The caller may allow other properties.
    let (bundle, unit) = bundle(t);
    let bundle = bundle.set("/annotations", json!({"org.systemd.property.KillMode": "'mixed'"}));
    bundle.try_run().refused(&["annotation is not allowed", "org.systemd.property.KillMode"]);
    let container = bundle.global("--allow-annotation=org.systemd.property.").create();
    assert_eq!(property(&unit, "KillMode"), "mixed");
    end(&container);
}

fn update_sets_properties(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.probe("sleep").start();
    container.command("update", &["--memory", "50331648", "--pids-limit", "55"]).output().success();
    assert_eq!(
        (value(t, &container, "memory.max"), property(&unit, "MemoryMax")),
        ("50331648".into(), "50331648".into())
    );
    assert_eq!((value(t, &container, "pids.max"), property(&unit, "TasksMax")), ("55".into(), "55".into()));
    systemctl(&["daemon-reload"]);
    assert_eq!(value(t, &container, "memory.max"), "50331648");
    end(&container);
}

fn exec_joins_the_scope(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.probe("sleep").start();
    let read = container.exec("read /proc/self/cgroup").success().json();
    assert!(read["read"].as_str().unwrap().contains(&unit), "{read}");
    end(&container);
}

fn pause_resume_and_kill_all_work(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.probe("spawn sleep , sleep").start();
    container.command("pause", &[]).output().success();
    assert_eq!(container.status(), "paused");
    container.command("resume", &[]).output().success();
    container.command("kill", &["--all", "KILL"]).output().success();
    container.wait();
    container.delete();
    assert!(is_gone(&unit));
}

fn the_unit_name_can_be_used_again(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let bundle = bundle.probe("exit 3");
    for _ in 0..3 {
        bundle.try_run().exits(3);
        assert!(is_gone(&unit));
    }
}

fn a_failed_scope_is_removed(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let bundle = bundle.set("/linux/resources", resources).probe("alloc 200");
    // With this mode the unit stays failed until it is reset.
    let bundle = bundle.set("/annotations", json!({"org.systemd.property.CollectMode": "'inactive'"}));
    for _ in 0..2 {
        let container = bundle.start();
        container.wait();
        t.wait_for("the scope to end", || property(&unit, "ActiveState") != "active");
        container.delete();
    }
    assert!(is_gone(&unit));
}

fn an_existing_unit_is_not_touched(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let state = t.dir().join("others").to_string_lossy().into_owned();
    let others = |words: &[&str]| t.bare(["--root", &state]).args(words.iter().copied());
    bundle.write();
    let directory = bundle.dir().to_string_lossy().into_owned();
    let pid_file = t.dir().join("other.pid").to_string_lossy().into_owned();
    let words = ["--systemd-cgroup", "create", "--bundle", &directory, "--pid-file", &pid_file, bundle.id()];
    others(&words).output().success();
    let pid = fs::read_to_string(pid_file).unwrap().parse().unwrap();
    bundle.try_create().refused(&["systemd unit exists already", &unit]);
    t.runtime(["delete", "--force", bundle.id()]).output().success();
    assert_eq!(property(&unit, "ActiveState"), "active");
    others(&["delete", "--force", bundle.id()]).output().success();
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
    assert!(is_gone(&unit));
}

fn a_failed_create_leaves_no_unit(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let bundle = bundle.mount("bind", "/no/such/source", "/x", &["bind"]);
    bundle.try_create().refused(&["/no/such/source"]);
    assert!(is_gone(&unit) && t.leaks_of(bundle.id()).is_empty());
}

fn a_container_in_a_user_namespace_can_create_cgroups(t: &Test) {
    needs_systemd(t);
    let (bundle, _) = bundle(t);
    let bundle =
        bundle.user_namespace(100_000).namespace("cgroup").set("/mounts/6/options", json!(["nosuid"]));
    let container =
        bundle.probe("mkdir /sys/fs/cgroup/mine , write /sys/fs/cgroup/mine/cgroup.procs 0 , sleep").start();
    t.wait_for("the probe", || container.stdout().lines().count() == 2);
    for said in container.stdout().lines() {
        assert!(said.contains("\"errno\":\"\""), "{said}");
    }
    assert!(cgroup_of(&container).ends_with("/mine"));
    end(&container);
}
