//! `update` and `events` on cgroup v2 with its controllers. Skipped if the unified hierarchy lacks them: `tests/vm`
//! has a host that does not.

use kit::{Bundle, Case, Container, Test, Value, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        every_limit_can_be_set_by_flag,
        swap_is_counted_with_memory,
        unified_files,
        zeros_change_nothing,
        a_refused_update_changes_nothing,
        v1_only_fields_are_refused,
        a_memory_limit_below_the_usage_is_refused_on_request,
        a_list_of_devices_replaces_the_rules,
        a_paused_container_can_be_updated,
        statistics_match_the_cgroup_files,
        an_oom_kill_is_reported,
        an_oom_kill_of_a_child_is_reported,
    ]
}

/// Skips if the unified hierarchy lacks one of these controllers.
fn needs(t: &Test, controllers: &[&str]) {
    let available = fs::read_to_string(t.v2("").join("cgroup.controllers")).unwrap();
    for wanted in controllers {
        if !available.split_whitespace().any(|name| name == *wanted) {
            kit::skip(format!("no cgroup v2 hierarchy with {wanted}"));
        }
    }
}

/// A running container with limits that a test changes.
fn limited(t: &Test) -> (Bundle<'_>, Container<'_>) {
    needs(t, &["memory", "cpu", "cpuset", "pids"]);
    let bundle = t.bundle().probe("sleep 600").set(
        "/linux/resources",
        json!({
            "memory": {"limit": 33_554_432, "reservation": 25_165_824},
            "cpu": {"shares": 100, "quota": 500_000, "period": 1_000_000},
            "pids": {"limit": 20}
        }),
    );
    let container = bundle.start();
    (bundle, container)
}

fn value(t: &Test, cgroup: &str, file: &str) -> String {
    let path = t.v2(cgroup).join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).trim().to_owned()
}

fn assert_values(t: &Test, id: &str, wanted: &[(&str, &str)]) {
    for (file, wanted) in wanted {
        assert_eq!(value(t, id, file), *wanted, "{file}");
    }
}

fn update(t: &Test, container: &Container<'_>, flags: &str, wanted: &[(&str, &str)]) {
    container.command("update", &flags.split(' ').collect::<Vec<_>>()).output().success();
    assert_values(t, container.id(), wanted);
}

fn every_limit_can_be_set_by_flag(t: &Test) {
    let (_bundle, container) = limited(t);
    let update = |flags: &str, wanted: &[(&str, &str)]| update(t, &container, flags, wanted);
    update("--memory 50M", &[("memory.max", "52428800")]);
    update("--memory-reservation 32M", &[("memory.low", "33554432")]);
    update("--cpu-period 900000", &[("cpu.max", "500000 900000")]);
    update("--cpu-quota 600000", &[("cpu.max", "600000 900000")]);
    update("--cpu-quota -1", &[("cpu.max", "max 900000")]);
    update("--cpu-quota 50000 --cpu-period 100000", &[("cpu.max", "50000 100000")]);
    update("--cpu-burst 10000", &[("cpu.max.burst", "10000")]);
    update("--cpu-quota 20000 --cpu-burst 20000", &[("cpu.max", "20000 100000"), ("cpu.max.burst", "20000")]);
    update("--cpu-burst 0", &[("cpu.max.burst", "0")]);
    update("--cpu-share 1024", &[("cpu.weight", "100")]);
    update("--cpu-idle 1", &[("cpu.idle", "1")]);
    update("--cpu-idle 0 --cpu-share 2048", &[("cpu.idle", "0")]);
    update("--cpuset-cpus 0 --cpuset-mems 0", &[("cpuset.cpus", "0"), ("cpuset.mems", "0")]);
    update("--pids-limit 10", &[("pids.max", "10")]);
    update("--pids-limit -1", &[("pids.max", "max")]);
    update("--memory -1", &[("memory.max", "max")]);
    update("--memory-reservation -1", &[("memory.low", "max")]);
    assert_eq!(container.status(), "running");
}

fn swap_is_counted_with_memory(t: &Test) {
    needs(t, &["memory"]);
    let memory = json!({"limit": 67_108_864, "swap": 100_663_296});
    let bundle = t.bundle().probe("sleep 600").set("/linux/resources", json!({"memory": memory}));
    let container = bundle.start();
    if !t.v2(bundle.id()).join("memory.swap.max").exists() {
        kit::skip("this kernel does not account for swap");
    }
    let mega = |n: u64| (n << 20).to_string();
    let update = |flags: &str, limit: u64, swap: u64| {
        update(t, &container, flags, &[("memory.max", &mega(limit)), ("memory.swap.max", &mega(swap))]);
    };
    update("--memory 50M", 50, 46);
    update("--memory-swap 80M", 50, 30);
    update("--memory 30M --memory-swap 50M", 30, 20);
    update("--memory 60M --memory-swap 80M", 60, 20);
    update("--memory 80M", 80, 0);
    container.command("update", &["--memory", "90M"]).output().refused(&["memory+swap limit should be >="]);
    let both = [("memory.max", "83886080"), ("memory.swap.max", "0")];
    assert_values(t, bundle.id(), &both);
    container.command("update", &["--memory-swap=-1"]).output().success();
    assert_eq!(value(t, bundle.id(), "memory.swap.max"), "max");
    container.command("update", &["--memory=-1"]).output().success();
    assert_values(t, bundle.id(), &[("memory.max", "max"), ("memory.swap.max", "max")]);
    container.command("update", &["--memory-swap", "80M"]).output().refused(&["without memory limit"]);
}

fn unified_files(t: &Test) {
    let (bundle, container) = limited(t);
    let resources = json!({"unified": {"memory.high": "30000000", "cpu.max": "70000", "memory.max": "48M"}});
    container.command("update", &["-r", "-"]).input(&resources.to_string()).output().success();
    let wanted = [("memory.high", "29999104"), ("cpu.max", "70000 1000000"), ("memory.max", "50331648")];
    assert_values(t, bundle.id(), &wanted);
    for (name, told) in [("memory.no_such", "memory.no_such"), ("../pids.max", "unified")] {
        let resources = json!({"unified": {name: "1"}, "pids": {"limit": 5}}).to_string();
        container.command("update", &["-r", "-"]).input(&resources).output().refused(&[told]);
    }
    assert_values(t, bundle.id(), &[("pids.max", "20")]);
}

fn zeros_change_nothing(t: &Test) {
    let (bundle, container) = limited(t);
    let weight = value(t, bundle.id(), "cpu.weight");
    let zeros = json!({
        "blockIO": {"weight": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimePeriod": 0, "realtimeRuntime": 0, "cpus": ""},
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0}
    });
    container.command("update", &["--resources=-"]).input(&zeros.to_string()).output().success();
    let wanted = [
        ("memory.max", "33554432"),
        ("memory.low", "25165824"),
        ("cpu.weight", weight.as_str()),
        ("cpu.max", "500000 1000000"),
        ("pids.max", "20"),
    ];
    assert_values(t, bundle.id(), &wanted);
}

fn a_refused_update_changes_nothing(t: &Test) {
    let (bundle, container) = limited(t);
    let weight = value(t, bundle.id(), "cpu.weight");
    let resources = json!({
        "memory": {"limit": 67_108_864, "swap": 67_108_864},
        "cpu": {"shares": 300, "quota": 1000, "cpus": "4000"},
        "pids": {"limit": 7}
    });
    container
        .command("update", &["-r", "-"])
        .input(&resources.to_string())
        .output()
        .refused(&["cpuset.cpus"]);
    let wanted = [
        ("memory.max", "33554432"),
        ("cpu.weight", weight.as_str()),
        ("cpu.max", "500000 1000000"),
        ("cpuset.cpus", ""),
        ("pids.max", "20"),
    ];
    assert_values(t, bundle.id(), &wanted);
}

fn v1_only_fields_are_refused(t: &Test) {
    let (bundle, container) = limited(t);
    if t.v2("").join("../cpu").exists() {
        kit::skip("a hybrid host");
    }
    for (resources, told) in [
        (json!({"cpu": {"realtimeRuntime": 1000}}), "/cpu/realtimeRuntime"),
        (json!({"memory": {"swappiness": 5}}), "/memory/swappiness"),
        (json!({"network": {"classID": 5}}), "/network/classID"),
    ] {
        let mut resources = resources;
        resources["pids"] = json!({"limit": 7});
        let output = container.command("update", &["-r", "-"]).input(&resources.to_string()).output();
        output.refused(&[told, "not supported", "resources /"]);
    }
    assert_values(t, bundle.id(), &[("pids.max", "20")]);
}

fn a_memory_limit_below_the_usage_is_refused_on_request(t: &Test) {
    needs(t, &["memory"]);
    let container = t.bundle().probe("keep 40 , sleep 600").start();
    container.first_line();
    let check = json!({"memory": {"limit": 8_388_608, "checkBeforeUpdate": true}}).to_string();
    let told = ["rejecting memory limit 8388608", "below current usage"];
    container.command("update", &["-r", "-"]).input(&check).output().refused(&told);
    assert_values(t, container.id(), &[("memory.max", "max")]);
    assert_eq!(container.status(), "running");
}

fn a_list_of_devices_replaces_the_rules(t: &Test) {
    let (_bundle, container) = limited(t);
    let kmsg = |allow: bool| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": "rw"});
    for (allow, errno) in [(true, ""), (false, "EPERM")] {
        let resources = json!({"devices": [{"allow": false}, kmsg(allow)], "pids": {"limit": 50}});
        container.command("update", &["-r", "-"]).input(&resources.to_string()).output().success();
        assert_values(t, container.id(), &[("pids.max", "50")]);
        assert_eq!(container.exec("open /dev/null rw").success().json()["errno"], "");
        let made = container.exec("mknod /dev/shm/kmsg c 1 11 , open /dev/shm/kmsg r , unlink /dev/shm/kmsg");
        let lines = made.lines();
        if lines[0]["errno"] == "" {
            assert_eq!(lines[1]["errno"], errno, "allowed: {allow}");
        }
    }
}

fn a_paused_container_can_be_updated(t: &Test) {
    let (bundle, container) = limited(t);
    container.command("pause", &[]).output().success();
    assert_values(t, bundle.id(), &[("cgroup.freeze", "1")]);
    update(t, &container, "--pids-limit 32 --memory 40M", &[("pids.max", "32"), ("memory.max", "41943040")]);
    assert_eq!(container.status(), "paused");
    container.command("resume", &[]).output().success();
    assert_values(t, bundle.id(), &[("cgroup.freeze", "0"), ("pids.max", "32")]);
}

fn events_of(container: &Container<'_>) -> Value {
    container.command("events", &["--stats"]).output().success().document()["data"].take()
}

fn statistics_match_the_cgroup_files(t: &Test) {
    let (bundle, container) = limited(t);
    let data = events_of(&container);
    assert_eq!(data["memory"]["usage"]["limit"], json!(33_554_432));
    assert_eq!(data["pids"], json!({"current": 1, "limit": 20}));
    assert!(data["memory"]["raw"]["anon"].is_u64() && data["memory"]["events"]["oom_kill"] == json!(0));
    assert_eq!(data["memory"]["swap"]["limit"], json!(u64::MAX), "no limit");
    assert!(data["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    assert!(data["cpuset"]["cpus"].as_array().is_some_and(|cpus| !cpus.is_empty()));
    if t.v2(bundle.id()).join("memory.pressure").exists() {
        for part in ["cpu", "memory", "blkio"] {
            for kind in ["some", "full"] {
                let psi = &data[part]["psi"][kind];
                assert!(psi["total"].is_u64() && psi["avg10"].is_number(), "{part} {kind}: {data}");
            }
        }
    }
}

fn an_oom_kill_is_reported(t: &Test) {
    needs(t, &["memory"]);
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let bundle = t.bundle().directory("go").probe("await /go/now , alloc 200");
    let container = bundle.set("/linux/resources", resources);
    let (path, container) = (container.path("/go/now"), container.start());
    let events = container.command("events", &["--interval", "20ms"]).spawn();
    events.wait_for("stats");
    fs::write(path, "").unwrap();
    assert_eq!(container.wait(), 137);
    let output = events.wait().success();
    let line = format!("{{\"type\":\"oom\",\"id\":\"{}\"}}", container.id());
    assert_eq!(output.stdout.lines().filter(|l| *l == line).count(), 1, "{output}");
}

fn an_oom_kill_of_a_child_is_reported(t: &Test) {
    needs(t, &["memory"]);
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let container = t.bundle().probe("sleep 600").set("/linux/resources", resources).start();
    let mut events = container.command("events", &["--interval", "20ms"]).spawn();
    events.wait_for("stats");
    for n in 1..=2 {
        assert_eq!(container.exec("alloc 200").code(), 137);
        let seen = || events.stdout().lines().filter(|l| l.starts_with("{\"type\":\"oom\"")).count();
        t.wait_for("an oom line", || seen() >= n);
        assert_eq!(seen(), n);
    }
    assert!(!events.has_ended(), "events exits before the container");
    assert_eq!(events_of(&container)["memory"]["events"]["oom_kill"], json!(2));
    container.kill("KILL");
    events.wait().success();
}
