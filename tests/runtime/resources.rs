//! `linux.resources` on cgroup v1, read back from the files and observed by the process.

use kit::{Bundle, Case, Container, Test, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        class_of_service_without_resctrl_is_refused,
        process_is_in_its_cgroups,
        memory_limit,
        memory_swap_and_reservation,
        memory_swappiness_and_oom,
        memory_limit_is_enforced,
        too_small_memory_limit_is_an_error,
        unlimited_values,
        cpu_shares_and_quota,
        cpu_zero_means_unset,
        cpuset,
        impossible_cpuset_is_refused,
        pids_limit,
        pids_limit_is_enforced,
        blkio_throttle,
        devices_are_denied,
        devices_are_allowed,
        device_with_any_minor,
        later_device_rule_wins,
        unified_on_v1_is_refused,
        negative_values_are_refused,
        nested_cgroup_path,
        relative_cgroup_path,
        limits_are_set_before_the_process_starts,
        exec_joins_the_cgroups,
        a_child_cgroup_is_deleted_as_well,
    ]
}

/// A container with these resources that waits for its start, and its bundle.
fn with(t: &Test, resources: kit::Value) -> (Bundle<'_>, Container<'_>) {
    t.v1("memory", "");
    let bundle = t.bundle().set("/linux/resources", resources);
    let container = bundle.create();
    (bundle, container)
}

fn process_is_in_its_cgroups(t: &Test) {
    let (bundle, container) = with(t, json!({}));
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    for line in text.lines().filter(|line| !line.starts_with("0::")) {
        assert!(line.ends_with(&format!(":/{}", bundle.id())), "{text}");
    }
    assert_eq!(t.v1_value("pids", bundle.id(), "cgroup.procs"), container.pid().to_string());
}

fn memory_limit(t: &Test) {
    let (bundle, _container) = with(t, json!({"memory": {"limit": 67_108_864}}));
    assert_eq!(t.v1_value("memory", bundle.id(), "memory.limit_in_bytes"), "67108864");
}

fn memory_swap_and_reservation(t: &Test) {
    let memory = json!({"limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728});
    let (bundle, _container) = with(t, json!({"memory": memory}));
    assert_eq!(t.v1_value("memory", bundle.id(), "memory.soft_limit_in_bytes"), "33554432");
    if t.v1("memory", bundle.id()).join("memory.memsw.limit_in_bytes").exists() {
        assert_eq!(t.v1_value("memory", bundle.id(), "memory.memsw.limit_in_bytes"), "134217728");
    }
}

fn memory_swappiness_and_oom(t: &Test) {
    let (bundle, _container) = with(t, json!({"memory": {"swappiness": 7, "disableOOMKiller": true}}));
    assert_eq!(t.v1_value("memory", bundle.id(), "memory.swappiness"), "7");
    assert!(t.v1_value("memory", bundle.id(), "memory.oom_control").contains("oom_kill_disable 1"));
}

fn memory_limit_is_enforced(t: &Test) {
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let output = t.bundle().set("/linux/resources", resources).probe("alloc 200").try_run();
    assert_eq!(output.code(), 137, "{output}");
}

fn too_small_memory_limit_is_an_error(t: &Test) {
    t.only_orlop("its start needs more memory than this");
    // The kernel accepts any number; the process then cannot be created. In any case there is an error, and nothing
    // is left.
    let output =
        t.bundle().set("/linux/resources", json!({"memory": {"limit": 4096, "swap": 4096}})).try_run();
    assert_ne!(output.code(), 0, "{output}");
    assert!(!output.stderr.is_empty() || output.code() == 137, "{output}");
}

fn unlimited_values(t: &Test) {
    let resources = json!({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}});
    let (bundle, _container) = with(t, resources);
    assert_eq!(t.v1_value("pids", bundle.id(), "pids.max"), "max");
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.cfs_quota_us"), "-1");
    assert!(t.v1_value("memory", bundle.id(), "memory.limit_in_bytes").len() > 15);
}

fn cpu_shares_and_quota(t: &Test) {
    let (bundle, _container) = with(t, json!({"cpu": {"shares": 512, "quota": 50_000, "period": 200_000}}));
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.shares"), "512");
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.cfs_quota_us"), "50000");
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.cfs_period_us"), "200000");
}

fn cpu_zero_means_unset(t: &Test) {
    let (bundle, _container) = with(t, json!({"cpu": {"shares": 0, "quota": 0, "period": 0}}));
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.shares"), "1024");
    assert_eq!(t.v1_value("cpu", bundle.id(), "cpu.cfs_quota_us"), "-1");
}

fn cpuset(t: &Test) {
    t.v1("cpuset", "");
    let resources = json!({"cpu": {"cpus": "0", "mems": "0"}});
    let seen = t.bundle().set("/linux/resources", resources).report();
    assert_eq!(seen["affinity"], "0");
}

fn impossible_cpuset_is_refused(t: &Test) {
    t.v1("cpuset", "");
    t.bundle().set("/linux/resources", json!({"cpu": {"cpus": "4000"}})).try_run().refused(&["cpuset.cpus"]);
}

fn pids_limit(t: &Test) {
    let (bundle, _container) = with(t, json!({"pids": {"limit": 42}}));
    assert_eq!(t.v1_value("pids", bundle.id(), "pids.max"), "42");
}

fn pids_limit_is_enforced(t: &Test) {
    t.v1("pids", "");
    let seen =
        t.bundle().set("/linux/resources", json!({"pids": {"limit": 5}})).probe("fork 20").run().json();
    assert_eq!(seen["errno"], "EAGAIN");
    assert_eq!(seen["forked"], 4);
}

fn blkio_throttle(t: &Test) {
    t.v1("blkio", "");
    let Some((major, minor)) = disk() else { kit::skip("no block device") };
    let rate = |n: u64| json!([{"major": major, "minor": minor, "rate": n}]);
    let resources =
        json!({"blockIO": {"throttleReadBpsDevice": rate(1_048_576), "throttleWriteIOPSDevice": rate(77)}});
    let (bundle, _container) = with(t, resources);
    let line = |rate: u64| format!("{major}:{minor} {rate}");
    assert_eq!(t.v1_value("blkio", bundle.id(), "blkio.throttle.read_bps_device"), line(1_048_576));
    assert_eq!(t.v1_value("blkio", bundle.id(), "blkio.throttle.write_iops_device"), line(77));
}

/// Any whole disk of this machine.
fn disk() -> Option<(u64, u64)> {
    let disks = std::fs::read_dir("/sys/block").ok()?.flatten();
    disks.filter_map(|disk| std::fs::read_to_string(disk.path().join("dev")).ok()).find_map(|text| {
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

fn may_mknod(bundle: Bundle<'_>) -> Bundle<'_> {
    let all = json!(["CAP_MKNOD"]);
    let bundle =
        bundle.set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}));
    bundle.mount("tmpfs", "tmpfs", "/m", &["mode=755", "dev"])
}

const TRY: &str = "mknod /m/disk b 7 0 , mknod /m/fuse c 10 229 , mknod /m/null c 1 3 , open /m/null rw , open /m/fuse r , open /m/disk r";

fn devices_are_denied(t: &Test) {
    t.needs_device_rules();
    for resources in
        [json!({}), json!({"devices": []}), json!({"devices": [{"allow": false, "access": "rwm"}]})]
    {
        let lines = may_mknod(t.bundle()).set("/linux/resources", resources.clone()).probe(TRY).run().lines();
        // Creating a node may be allowed, since it is harmless; using it is not.
        assert_ne!(lines[5]["errno"], "", "{resources}");
        assert_eq!(lines[4]["errno"], "EPERM", "{resources}");
        assert_eq!(lines[3]["errno"], "", "the default devices stay usable: {resources}");
    }
}

fn devices_are_allowed(t: &Test) {
    t.needs_device_rules();
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        {"allow": true, "type": "b", "major": 7, "minor": 0, "access": "m"},
    ]);
    let lines =
        may_mknod(t.bundle()).set("/linux/resources", json!({"devices": rules})).probe(TRY).run().lines();
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!(""), &json!("")));
    assert_ne!(lines[4]["errno"], "EPERM");
    assert_eq!(lines[5]["errno"], "EPERM", "created, but not readable");
}

fn device_with_any_minor(t: &Test) {
    t.needs_device_rules();
    for minor in [json!(-1), json!(null)] {
        let mut rule = json!({"allow": true, "type": "b", "major": 7, "minor": minor, "access": "rmw"});
        if minor.is_null() {
            rule.as_object_mut().unwrap().remove("minor");
        }
        let rules = json!([{"allow": false, "access": "rwm"}, rule]);
        let lines =
            may_mknod(t.bundle()).set("/linux/resources", json!({"devices": rules})).probe(TRY).run().lines();
        assert_eq!(lines[0]["errno"], "", "{minor}");
        assert_ne!(lines[5]["errno"], "EPERM", "{minor}");
    }
}

fn later_device_rule_wins(t: &Test) {
    t.needs_device_rules();
    let rules = json!([
        {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        {"allow": false, "access": "rwm"},
    ]);
    let lines =
        may_mknod(t.bundle()).set("/linux/resources", json!({"devices": rules})).probe(TRY).run().lines();
    // Every container may create nodes; opening this one is not allowed.
    assert_eq!(lines[4]["errno"], "EPERM");
}

fn unified_on_v1_is_refused(t: &Test) {
    t.v1("memory", "");
    let resources = json!({"unified": {"memory.high": "100000000"}});
    t.bundle().set("/linux/resources", resources).try_run().refused(&["nified"]);
}

fn negative_values_are_refused(t: &Test) {
    t.bundle().set("/linux/resources", json!({"cpu": {"shares": -5}})).try_run().refused(&["shares"]);
}

fn nested_cgroup_path(t: &Test) {
    t.v1("memory", "");
    let bundle = t.bundle();
    let path = format!("{}/deep/er", bundle.id());
    let bundle = bundle
        .set("/linux/cgroupsPath", format!("/{path}"))
        .set("/linux/resources", json!({"pids": {"limit": 9}}));
    let container = bundle.create();
    assert_eq!(t.v1_value("pids", &path, "pids.max"), "9");
    container.command("delete", &["--force"]).output().success();
    for controller in ["memory", "pids", "cpu", "cpuset", "devices", "freezer", "blkio"] {
        assert!(!t.v1(controller, &path).exists(), "{controller}");
        // The parents were created for it, but others may use them by now: the caller removes them.
        let _ = std::fs::remove_dir(t.v1(controller, &format!("{}/deep", bundle.id())));
        let _ = std::fs::remove_dir(t.v1(controller, bundle.id()));
    }
    for root in ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"] {
        for part in ["deep/er", "deep", ""] {
            let _ = std::fs::remove_dir(format!("{root}/{}/{part}", bundle.id()));
        }
    }
}

fn relative_cgroup_path(t: &Test) {
    t.v1("pids", "");
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    if !own.lines().any(|line| line.ends_with(":pids:/")) {
        kit::skip("the tests run in a cgroup of their own");
    }
    let bundle = t.bundle();
    let id = bundle.id().to_owned();
    let seen = bundle.set("/linux/cgroupsPath", id.clone()).report();
    let lines = seen["cgroup"].as_array().unwrap();
    assert!(lines.iter().any(|line| line.as_str().unwrap().contains(&format!(":pids:/{id}"))), "{lines:?}");
}

fn limits_are_set_before_the_process_starts(t: &Test) {
    // The hook sees the limits: the process is never without them.
    t.v1("pids", "");
    let bundle = t.bundle().set("/linux/resources", json!({"pids": {"limit": 11}})).probe("exit 0");
    let file = t.v1("pids", bundle.id()).join("pids.max");
    let copy = t.dir().join("seen");
    let words = format!("read {}", file.display());
    let hook = json!({"path": bundle.host_probe(), "args": ["probe", "hook", copy]});
    let bundle = bundle.push("/hooks/createRuntime", hook).host_hook("createRuntime", &words);
    bundle.run();
    let call: kit::Value = serde_json::from_str(std::fs::read_to_string(copy).unwrap().trim()).unwrap();
    assert!(call["state"]["pid"].as_i64().is_some());
}

fn exec_joins_the_cgroups(t: &Test) {
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    let seen = container.exec("report").success().json();
    for line in seen["cgroup"].as_array().unwrap().iter().filter(|line| *line != "0::/") {
        assert!(line.as_str().unwrap().ends_with(&format!(":/{}", bundle.id())), "{line}");
    }
}

fn a_child_cgroup_is_deleted_as_well(t: &Test) {
    let (bundle, container) = with(t, json!({}));
    let below = t.v1("pids", bundle.id()).join("made-by-the-container/deeper");
    std::fs::create_dir_all(&below).unwrap();
    container.command("delete", &["--force"]).output().success();
    assert!(!below.exists());
}

/// If there is one, the golden plans and the unit tests cover the setting.
fn class_of_service_without_resctrl_is_refused(t: &Test) {
    if std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - resctrl ") {
        kit::skip("there is a resctrl file system");
    }
    t.only_orlop("its message differs");
    let bundle = t.bundle().set("/linux/intelRdt", json!({"closID": "gold"}));
    bundle.try_run().refused(&["no resctrl file system is mounted", "/linux/intelRdt"]);
}
