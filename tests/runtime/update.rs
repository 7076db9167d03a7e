//! `update`, read back from the files of cgroup v1; `unified_limits.rs` has the same for v2.

use kit::{Bundle, Case, Container, Test, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        every_limit_can_be_set_by_flag,
        limits_from_a_file_and_from_stdin,
        zeros_change_nothing,
        a_list_of_devices_replaces_the_rules,
        the_same_list_of_devices_changes_nothing,
        an_update_of_devices_denies_no_device_that_stays_allowed,
        usage_errors_are_refused,
        malformed_resources_are_refused,
        impossible_values_are_refused,
        a_refused_update_changes_nothing,
        a_memory_limit_below_the_usage_is_refused,
        kernel_memory_is_a_warning,
        a_memory_limit_does_not_change_the_swap_limit,
        created_and_paused_containers_can_be_updated,
        many_updates_do_not_grow_the_state,
        stopped_and_unknown_containers_are_refused,
    ]
}

/// A running container with limits that a test changes, and its bundle.
fn limited(t: &Test) -> (Bundle<'_>, Container<'_>) {
    t.needs_limits("memory");
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

/// Checks the container's files. Skips if they have other names: `unified_limits` covers those.
fn assert_values(t: &Test, id: &str, wanted: &[(&str, &str, &str)]) {
    for (controller, file, value) in wanted {
        let path = t.v1_or_v2(controller, id).join(file);
        if !t.has_v1(controller) && !path.exists() {
            kit::skip(format!("cgroup v2 has no {file}"));
        }
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), *value, "{file}");
    }
}

fn every_limit_can_be_set_by_flag(t: &Test) {
    let (bundle, container) = limited(t);
    let id = bundle.id();
    let update = |flags: &str, wanted: &[(&str, &str, &str)]| {
        let flags: Vec<&str> = flags.split(' ').collect();
        container.command("update", &flags).output().success();
        assert_values(t, id, wanted);
    };
    update("--memory 50M", &[("memory", "memory.limit_in_bytes", "52428800")]);
    update("--memory-reservation=32m", &[("memory", "memory.soft_limit_in_bytes", "33554432")]);
    if t.v1("memory", id).join("memory.memsw.limit_in_bytes").exists() {
        update("--memory-swap 96468992", &[("memory", "memory.memsw.limit_in_bytes", "96468992")]);
        let both = [
            ("memory", "memory.limit_in_bytes", "31457280"),
            ("memory", "memory.memsw.limit_in_bytes", "52428800"),
        ];
        update("--memory 30M --memory-swap 50M", &both);
        let raised = [
            ("memory", "memory.limit_in_bytes", "62914560"),
            ("memory", "memory.memsw.limit_in_bytes", "83886080"),
        ];
        update("--memory 60M --memory-swap 80M", &raised);
    }
    update(
        "--cpu-period 900000",
        &[("cpu", "cpu.cfs_period_us", "900000"), ("cpu", "cpu.cfs_quota_us", "500000")],
    );
    update(
        "--cpu-quota 600000",
        &[("cpu", "cpu.cfs_period_us", "900000"), ("cpu", "cpu.cfs_quota_us", "600000")],
    );
    update("-cpu-quota -1", &[("cpu", "cpu.cfs_period_us", "900000"), ("cpu", "cpu.cfs_quota_us", "-1")]);
    update("--cpu-share 200", &[("cpu", "cpu.shares", "200")]);
    update(
        "--cpuset-cpus 0 --cpuset-mems 0",
        &[("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")],
    );
    update("--pids-limit 10", &[("pids", "pids.max", "10")]);
    update("--pids-limit -1", &[("pids", "pids.max", "max")]);
    update(
        "--cpu-period 100000 --cpu-quota 50000 --pids-limit=7 --memory 70M",
        &[
            ("cpu", "cpu.cfs_period_us", "100000"),
            ("cpu", "cpu.cfs_quota_us", "50000"),
            ("pids", "pids.max", "7"),
            ("memory", "memory.limit_in_bytes", "73400320"),
        ],
    );
    container.command("update", &["--memory", "-1"]).output().success();
    assert!(t.v1_value("memory", id, "memory.limit_in_bytes").len() > 15);
    assert_eq!(container.status(), "running");
}

fn limits_from_a_file_and_from_stdin(t: &Test) {
    let (bundle, container) = limited(t);
    let file = t.dir().join("resources.json");
    let resources = |pids: u32| json!({"pids": {"limit": pids}, "cpu": {"shares": 300}}).to_string();
    fs::write(&file, resources(30)).unwrap();
    let path = file.to_str().unwrap();
    let equals = format!("--resources={path}");
    for flags in [vec!["-r", path], vec!["--resources", path], vec![equals.as_str()]] {
        container.command("update", &["--pids-limit", "20"]).output().success();
        container.command("update", &flags).output().success();
        assert_values(t, bundle.id(), &[("pids", "pids.max", "30"), ("cpu", "cpu.shares", "300")]);
    }
    for (n, flags) in [&["--resources=-"][..], &["--resources", "-"], &["-r", "-"]].into_iter().enumerate() {
        let pids = 40 + n as u32;
        let before_the_id = [&["update"][..], flags, &[bundle.id()]].concat();
        t.runtime(before_the_id).input(&resources(pids)).output().success();
        assert_values(t, bundle.id(), &[("pids", "pids.max", &pids.to_string())]);
    }
    // A flag takes precedence over the file.
    container.command("update", &["-r", path, "--pids-limit", "9"]).output().success();
    assert_values(t, bundle.id(), &[("pids", "pids.max", "9"), ("cpu", "cpu.shares", "300")]);
}

/// What container engines send for limits that do not change.
fn zeros_change_nothing(t: &Test) {
    let (bundle, container) = limited(t);
    let zeros = json!({
        "blockIO": {"weight": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0}
    });
    container.command("update", &["--resources=-"]).input(&zeros.to_string()).output().success();
    assert_values(
        t,
        bundle.id(),
        &[
            ("memory", "memory.limit_in_bytes", "33554432"),
            ("memory", "memory.soft_limit_in_bytes", "25165824"),
            ("cpu", "cpu.shares", "100"),
            ("cpu", "cpu.cfs_quota_us", "500000"),
            ("cpu", "cpu.cfs_period_us", "1000000"),
            ("pids", "pids.max", "20"),
        ],
    );
}

/// A rule for /dev/kmsg, which is not a standard device, besides a rule that denies everything.
fn kmsg_rules(access: &str) -> kit::Value {
    json!([{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": access}])
}

fn send_update(container: &Container<'_>, resources: &kit::Value) -> kit::Output {
    container.command("update", &["-r", "-"]).input(&resources.to_string()).output()
}

fn a_list_of_devices_replaces_the_rules(t: &Test) {
    t.only_orlop("it ignores the list");
    t.v1("devices", "");
    let (bundle, container) = limited(t);
    let list = || t.v1_value("devices", bundle.id(), "devices.list");
    let lists_kmsg = |access: &str| list().contains(&format!("c 1:11 {access}"));
    assert!(!list().contains("c 1:11"), "{}", list());
    send_update(&container, &json!({"devices": kmsg_rules("rw"), "pids": {"limit": 50}})).success();
    assert!(lists_kmsg("rw"), "{}", list());
    assert_values(t, bundle.id(), &[("pids", "pids.max", "50")]);
    send_update(&container, &json!({"devices": kmsg_rules("r")})).success();
    assert!(lists_kmsg("r\n") || list().ends_with("c 1:11 r"), "{}", list());
    // Other limits do not bring the first list back.
    send_update(&container, &json!({"pids": {"limit": 40}})).success();
    assert!(list().contains("c 1:11 r"), "{}", list());
    send_update(&container, &json!({"devices": [{"allow": false, "access": "rwm"}]})).success();
    assert!(!list().contains("c 1:11"), "{}", list());
    assert_eq!(container.exec("open /dev/null rw").success().json()["errno"], "");
    // The letter of all devices among the accesses, which runc accepts.
    let output = send_update(&container, &json!({"devices": kmsg_rules("rwa")})).success();
    assert!(output.stderr.contains("is ignored") && lists_kmsg("rw"), "{output}");
    let wrong = json!({"devices": [{"allow": true, "access": "x"}]});
    send_update(&container, &wrong).refused(&["/devices/0/access"]);
    assert!(lists_kmsg("rw"), "{}", list());
}

/// Engines send the whole list with each update; what a hook has allowed stays.
fn the_same_list_of_devices_changes_nothing(t: &Test) {
    t.v1("devices", "");
    let bundle = t.bundle().probe("sleep 600").set("/linux/resources", json!({"devices": kmsg_rules("r")}));
    let container = bundle.start();
    let directory = t.v1("devices", bundle.id());
    fs::write(directory.join("devices.allow"), "c 10:229 rw").unwrap();
    send_update(&container, &json!({"devices": kmsg_rules("r"), "pids": {"limit": 50}})).success();
    let list = t.v1_value("devices", bundle.id(), "devices.list");
    assert!(list.contains("c 10:229 rw") && list.contains("c 1:11 r"), "{list}");
}

fn an_update_of_devices_denies_no_device_that_stays_allowed(t: &Test) {
    t.v1("devices", "");
    let (_bundle, container) = limited(t);
    let words = vec!["open /dev/null rw"; 300].join(" , ");
    for access in ["r", "rw"].into_iter().cycle().take(12) {
        let call = t.runtime(["exec", container.id(), "/probe"]).args(words.split(' ')).spawn();
        send_update(&container, &json!({"devices": kmsg_rules(access)})).success();
        let output = call.wait().success();
        assert!(output.lines().iter().all(|line| line["errno"] == ""), "{output}");
    }
}

fn usage_errors_are_refused(t: &Test) {
    let (_bundle, container) = limited(t);
    for (flags, fragments) in [
        (&["--memory", "much"][..], &["much", "for flag --memory"][..]),
        (&["--memory", "1X"], &["--memory"]),
        (&["--memory=9999999P"], &["--memory", "too large"]),
        (&["--pids-limit", "1.5"], &["--pids-limit"]),
        (&["--cpu-quota", "half"], &["--cpu-quota"]),
        (&["--cpu-period", "-1"], &["--cpu-period"]),
        (&["--cpu-idle", "2"], &["--cpu-idle", "0 or 1"]),
        (&["--blkio-weight", "70000"], &["--blkio-weight"]),
        (&["--pids-limit"], &["flag needs an argument: --pids-limit"]),
        (&["--no-such-limit", "1"], &["flag provided but not defined: -no-such-limit"]),
        (&["--l3-cache-schema", "L3:0=f"], &["--l3-cache-schema", "no intelRdt"]),
        (&["--mem-bw-schema", "MB:0=20"], &["--mem-bw-schema", "no intelRdt"]),
    ] {
        container.command("update", flags).output().refused(fragments);
    }
}

fn malformed_resources_are_refused(t: &Test) {
    let (bundle, container) = limited(t);
    let file = t.dir().join("resources.json");
    let path = file.to_str().unwrap().to_owned();
    for (text, fragments) in [
        ("{\n  \"pids\": {\"limit\": }\n}", &["line 2", "column"][..]),
        ("", &["line 1", "column 0"]),
        ("{\"pids\": {\"limit\": 5}", &["line 1"]),
        ("[]", &["must be an object"]),
        ("{\"memory\": {\"limit\": \"50M\"}}", &["/memory/limit", "must be an integer"]),
        ("{\"pids\": {\"limit\": -2}}", &["/pids/limit"]),
        ("{\"cpu\": {\"cpus\": \"a-b\"}}", &["/cpu/cpus"]),
    ] {
        container.command("update", &["-r", "-"]).input(text).output().refused(fragments);
        fs::write(&file, text).unwrap();
        container.command("update", &["-r", &path]).output().refused(fragments);
    }
    container
        .command("update", &["-r", "/no/such/file"])
        .output()
        .refused(&["/no/such/file", "no such file"]);
    assert_values(t, bundle.id(), &[("pids", "pids.max", "20")]);
}

fn impossible_values_are_refused(t: &Test) {
    t.v1("memory", "");
    let (bundle, container) = limited(t);
    for (flags, fragments) in [
        (&["--cpu-share", "1"][..], &["cpu-shares", "2"][..]),
        (&["--cpu-share", "262145"], &["cpu-shares", "262144"]),
        (&["--cpuset-cpus", "4000"], &["cpuset.cpus", "4000"]),
        (&["--cpu-period", "1"], &["cpu.cfs_period_us"]),
        (&["--memory", "64M", "--memory-swap", "32M"], &["swap"]),
    ] {
        container.command("update", flags).output().refused(fragments);
    }
    assert_values(
        t,
        bundle.id(),
        &[("cpu", "cpu.shares", "100"), ("memory", "memory.limit_in_bytes", "33554432")],
    );
}

fn stopped_and_unknown_containers_are_refused(t: &Test) {
    let container = t.bundle().start();
    container.wait();
    container.command("update", &["--pids-limit", "5"]).output().refused(&["container not running"]);
    t.runtime(["update", "no-such-container", "--pids-limit", "5"])
        .output()
        .refused(&["container does not exist"]);
    t.runtime(["update"]).output().refused(&["exactly 1 argument"]);
}

fn a_refused_update_changes_nothing(t: &Test) {
    let (bundle, container) = limited(t);
    let resources = json!({
        "memory": {"limit": 67_108_864}, "pids": {"limit": 7}, "cpu": {"shares": 300, "quota": 1000, "cpus": "4000"}
    });
    container
        .command("update", &["-r", "-"])
        .input(&resources.to_string())
        .output()
        .refused(&["cpuset.cpus"]);
    assert_values(
        t,
        bundle.id(),
        &[
            ("memory", "memory.limit_in_bytes", "33554432"),
            ("cpu", "cpu.shares", "100"),
            ("cpu", "cpu.cfs_quota_us", "500000"),
            ("pids", "pids.max", "20"),
        ],
    );
}

fn a_memory_limit_below_the_usage_is_refused(t: &Test) {
    t.v1("memory", "");
    let bundle =
        t.bundle().probe("keep 40 , sleep 600").set("/linux/resources", json!({"pids": {"limit": 20}}));
    let container = bundle.start();
    container.first_line();
    let told = ["unable to set memory limit to 8388608", "current usage: ", "peak usage: "];
    container.command("update", &["--memory", "8M"]).output().refused(&told);
    let check = json!({"memory": {"limit": 8_388_608, "checkBeforeUpdate": true}}).to_string();
    let told = ["rejecting memory limit 8388608", "below current usage"];
    container.command("update", &["-r", "-"]).input(&check).output().refused(&told);
    assert!(t.v1_value("memory", bundle.id(), "memory.limit_in_bytes").len() > 15, "the limit has changed");
    assert_eq!(container.status(), "running");
}

fn kernel_memory_is_a_warning(t: &Test) {
    let (bundle, container) = limited(t);
    for flag in ["--kernel-memory", "--kernel-memory-tcp"] {
        let output = container.command("update", &[flag, "50M", "--pids-limit", "30"]).output().success();
        assert!(output.stderr.contains("warning") && output.stderr.contains("deprecated"), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "not reported once: {output}");
    }
    assert_values(t, bundle.id(), &[("pids", "pids.max", "30")]);
}

/// The limit of memory and swap together is separate: a new memory limit does not change it.
fn a_memory_limit_does_not_change_the_swap_limit(t: &Test) {
    let memory = json!({"limit": 67_108_864, "swap": 100_663_296});
    let bundle = t.bundle().probe("sleep 600").set("/linux/resources", json!({"memory": memory}));
    if !t.v1("memory", "").join("memory.memsw.limit_in_bytes").exists() {
        kit::skip("this kernel does not account for swap");
    }
    let container = bundle.start();
    container.command("update", &["--memory", "50M"]).output().success();
    assert_values(t, bundle.id(), &[("memory", "memory.memsw.limit_in_bytes", "100663296")]);
    container.command("update", &["--memory", "128M"]).output().refused(&["memory+swap limit should be >="]);
    assert_values(t, bundle.id(), &[("memory", "memory.limit_in_bytes", "52428800")]);
    container.command("update", &["--memory", "-1"]).output().success();
    assert!(t.v1_value("memory", bundle.id(), "memory.memsw.limit_in_bytes").len() > 15);
    container.command("update", &["--memory", "128M"]).output().success();
}

fn created_and_paused_containers_can_be_updated(t: &Test) {
    t.needs_limits("pids");
    t.needs_freezer();
    let bundle = t.bundle().probe("sleep 600");
    let container = bundle.create();
    container.command("update", &["--pids-limit", "31"]).output().success();
    assert_values(t, bundle.id(), &[("pids", "pids.max", "31")]);
    container.start();
    container.command("pause", &[]).output().success();
    container.command("update", &["--pids-limit", "32"]).output().success();
    assert_values(t, bundle.id(), &[("pids", "pids.max", "32")]);
    assert_eq!(container.status(), "paused");
}

/// The state does not grow without bound.
fn many_updates_do_not_grow_the_state(t: &Test) {
    t.only_orlop("its state has another form");
    let (_bundle, container) = limited(t);
    let state = t.root().join(container.id()).join("journal");
    let long = "x".repeat(20_000);
    let mut sizes = Vec::new();
    for n in 0..8 {
        // An unknown property is ignored; the number of updates matters.
        let resources = json!({"pids": {"limit": 20 + n}, "remark": long}).to_string();
        container.command("update", &["-r", "-"]).input(&resources).output().success();
        sizes.push(fs::metadata(&state).unwrap().len());
    }
    assert!(sizes[7] - sizes[0] < 8 * 1000, "{sizes:?}");
    assert_eq!(container.status(), "running");
}
