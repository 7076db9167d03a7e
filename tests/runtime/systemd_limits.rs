//! Limits of a systemd scope that changes. Systemd writes its own values of a controller whenever it is told a new one, and
//! all of them when it reloads.

use super::systemd::{bundle, end, needs_systemd, property, systemctl, value};
use kit::{Case, Container, Test, Value, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        an_update_keeps_the_limits_that_systemd_does_not_know,
        a_reload_keeps_weights_and_the_limits_of_recent_versions,
        a_period_and_a_quota_can_be_updated_by_themselves,
        idle_can_be_switched_off,
    ]
}

fn check(t: &Test, container: &Container<'_>, when: &str, wanted: &[(&str, &str)]) {
    for (file, wanted) in wanted {
        assert_eq!(value(t, container, file), *wanted, "{file} {when}");
    }
}

fn update(container: &Container<'_>, resources: &Value) {
    container.command("update", &["-r", "-"]).input(&resources.to_string()).output().success();
}

/// The version of systemd.
fn version() -> u32 {
    let text = systemctl(&["--version"]);
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap()
}

fn an_update_keeps_the_limits_that_systemd_does_not_know(t: &Test) {
    needs_systemd(t);
    let (bundle, _) = bundle(t);
    let resources = json!({
        "blockIO": {"weight": 500},
        "cpu": {"period": 50_000, "burst": 0},
        "unified": {"memory.oom.group": "1", "memory.zswap.max": "1048576", "memory.low": "1000001"}
    });
    let container = bundle.probe("sleep").set("/linux/resources", resources).start();
    let kept = [
        ("io.weight", "default 4950"),
        ("cpu.max", "max 50000"),
        ("memory.oom.group", "1"),
        ("memory.zswap.max", "1048576"),
        ("memory.low", "999424"),
    ];
    check(t, &container, "at first", &kept);
    update(&container, &json!({"memory": {"limit": 67_108_864}, "cpu": {"shares": 512}}));
    check(t, &container, "after memory and shares", &kept);
    check(t, &container, "after memory and shares", &[("memory.max", "67108864")]);
    update(&container, &json!({"pids": {"limit": 50}, "cpu": {"cpus": "0"}}));
    check(t, &container, "after pids and cpus", &kept);
    let device = std::fs::read_to_string("/sys/class/block/vda/dev").unwrap();
    let line = format!("{} rbps=1048576", device.trim());
    update(&container, &json!({"unified": {"io.max": line}}));
    check(t, &container, "after io.max", &kept);
    // Those of an update are kept by the next one.
    update(&container, &json!({"unified": {"memory.oom.group": "0", "memory.zswap.max": "2097152"}}));
    update(&container, &json!({"memory": {"limit": 50_331_648}, "blockIO": {"weight": 10}}));
    let kept = [("io.weight", "default 1"), ("memory.oom.group", "0"), ("memory.zswap.max", "2097152")];
    check(t, &container, "after the last one", &kept);
    assert!(value(t, &container, "io.max").contains("rbps=1048576"));
    end(&container);
}

fn a_reload_keeps_weights_and_the_limits_of_recent_versions(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let resources = json!({
        "blockIO": {"weight": 500},
        "unified": {"memory.oom.group": "1", "memory.zswap.max": "1048576"}
    });
    let container = bundle.probe("sleep").set("/linux/resources", resources).start();
    let recent = [("memory.oom.group", "1"), ("memory.zswap.max", "1048576")];
    let recent = if version() >= 253 { &recent[..] } else { &[] };
    assert_eq!(property(&unit, "IOWeight"), "4950");
    systemctl(&["daemon-reload"]);
    check(t, &container, "after a reload", &[("io.weight", "default 4950")]);
    check(t, &container, "after a reload", recent);
    update(&container, &json!({"blockIO": {"weight": 1000}}));
    systemctl(&["daemon-reload"]);
    check(t, &container, "after another reload", &[("io.weight", "default 10000")]);
    check(t, &container, "after another reload", recent);
    end(&container);
}

fn a_period_and_a_quota_can_be_updated_by_themselves(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let resources = json!({"cpu": {"quota": 50_000, "period": 100_000}});
    let container = bundle.probe("sleep").set("/linux/resources", resources).start();
    for (flag, wanted, per_second) in [
        ("--cpu-period=200000", "50000 200000", "250ms"),
        ("--cpu-quota=100000", "100000 200000", "500ms"),
        ("--cpu-share=300", "100000 200000", "500ms"),
    ] {
        container.command("update", &[flag]).output().success();
        check(t, &container, flag, &[("cpu.max", wanted)]);
        assert_eq!(property(&unit, "CPUQuotaPerSecUSec"), per_second, "{flag}");
        systemctl(&["daemon-reload"]);
        check(t, &container, "after a reload", &[("cpu.max", wanted)]);
    }
    end(&container);
}

fn idle_can_be_switched_off(t: &Test) {
    needs_systemd(t);
    let (bundle, unit) = bundle(t);
    let container = bundle.probe("sleep").set("/linux/resources", json!({"cpu": {"idle": 1}})).start();
    check(t, &container, "at first", &[("cpu.idle", "1")]);
    update(&container, &json!({"cpu": {"idle": 0}}));
    check(t, &container, "after the update", &[("cpu.idle", "0"), ("cpu.weight", "100")]);
    assert_eq!(property(&unit, "CPUWeight"), "100");
    systemctl(&["daemon-reload"]);
    check(t, &container, "after a reload", &[("cpu.idle", "0"), ("cpu.weight", "100")]);
    end(&container);
}
