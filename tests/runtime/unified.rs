//! `linux.resources` on cgroup v2 with its controllers, read back from the files and observed by the process.
//! Skipped if the unified hierarchy lacks them: `tests/vm` has a host that does not.

use kit::{Bundle, Case, Container, Test, Value, json};
use std::fs;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        process_is_in_its_cgroup,
        limits_are_written,
        unlimited_values,
        cpu_zero_means_unset,
        memory_limit_is_enforced,
        pids_limit_is_enforced,
        cpu_quota_is_enforced,
        cpuset_is_enforced,
        impossible_cpuset_is_refused,
        io_limits,
        hugetlb_limit,
        unified_files,
        v1_only_fields_are_refused,
        limits_are_set_before_the_process_starts,
        cgroup_namespace_is_rooted_in_the_cgroup,
        exec_joins_the_cgroup_of_an_init_system,
        exec_joins_a_child_cgroup,
        caller_may_be_in_a_cgroup_that_was_killed,
        cgroup_that_was_killed_can_be_used_again,
        populated_cgroup_is_refused,
        kill_all_without_a_pid_namespace,
        a_child_cgroup_is_deleted_as_well,
        nested_cgroup_path,
        parent_with_processes_is_refused,
    ]
}

/// The directory of a cgroup on the unified hierarchy; skips if that lacks the controller.
fn at(t: &Test, controller: &str, cgroup: &str) -> PathBuf {
    let available = fs::read_to_string(t.v2("").join("cgroup.controllers")).unwrap();
    if !available.split_whitespace().any(|name| name == controller) {
        kit::skip(format!("no cgroup v2 hierarchy with {controller}"));
    }
    t.v2(cgroup)
}

/// A value in a file of the container's cgroup.
fn value(t: &Test, cgroup: &str, file: &str) -> String {
    let path = t.v2(cgroup).join(file);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// A container with these resources that waits for its start, and its bundle.
fn with(t: &Test, resources: Value) -> (Bundle<'_>, Container<'_>) {
    at(t, "memory", "");
    let bundle = t.bundle().set("/linux/resources", resources);
    let container = bundle.create();
    (bundle, container)
}

fn process_is_in_its_cgroup(t: &Test) {
    let (bundle, container) = with(t, json!({}));
    let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert_eq!(text.trim(), format!("0::/{}", bundle.id()));
    assert_eq!(value(t, bundle.id(), "cgroup.procs"), container.pid().to_string());
}

fn limits_are_written(t: &Test) {
    let memory = json!({"limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728});
    let cpu =
        json!({"shares": 512, "quota": 50_000, "period": 200_000, "burst": 10_000, "cpus": "0", "mems": "0"});
    let (bundle, _container) = with(t, json!({"memory": memory, "cpu": cpu, "pids": {"limit": 42}}));
    let files = [
        ("memory.max", "67108864"),
        ("memory.low", "33554432"),
        ("cpu.max", "50000 200000"),
        ("cpu.max.burst", "10000"),
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("pids.max", "42"),
    ];
    for (file, wanted) in files {
        assert_eq!(value(t, bundle.id(), file), wanted, "{file}");
    }
    // v1 counts swap and memory together.
    if t.v2(bundle.id()).join("memory.swap.max").exists() {
        assert_eq!(value(t, bundle.id(), "memory.swap.max"), "67108864");
    }
    let weight: u32 = value(t, bundle.id(), "cpu.weight").parse().unwrap();
    assert!((1..100).contains(&weight), "not below the default: {weight}");
}

fn unlimited_values(t: &Test) {
    let resources = json!({"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}});
    let (bundle, _container) = with(t, resources);
    for (file, wanted) in [("pids.max", "max"), ("cpu.max", "max 100000"), ("memory.max", "max")] {
        assert_eq!(value(t, bundle.id(), file), wanted, "{file}");
    }
}

fn cpu_zero_means_unset(t: &Test) {
    let (bundle, _container) = with(t, json!({"cpu": {"shares": 0, "quota": 0, "period": 0}}));
    assert_eq!(value(t, bundle.id(), "cpu.weight"), "100");
    assert_eq!(value(t, bundle.id(), "cpu.max"), "max 100000");
}

fn memory_limit_is_enforced(t: &Test) {
    at(t, "memory", "");
    let resources = json!({"memory": {"limit": 33_554_432, "swap": 33_554_432}});
    let output = t.bundle().set("/linux/resources", resources).probe("alloc 200").try_run();
    assert_eq!(output.code(), 137, "{output}");
}

fn pids_limit_is_enforced(t: &Test) {
    at(t, "pids", "");
    let bundle = t.bundle().set("/linux/resources", json!({"pids": {"limit": 5}}));
    let seen = bundle.probe("fork 20").run().json();
    assert_eq!((&seen["errno"], &seen["forked"]), (&json!("EAGAIN"), &json!(4)));
}

fn cpu_quota_is_enforced(t: &Test) {
    at(t, "cpu", "");
    // A twentieth of one processor: half a second of work is throttled repeatedly.
    let resources = json!({"cpu": {"quota": 5_000, "period": 100_000}});
    let bundle = t.bundle().set("/linux/resources", resources).probe("burn 500 , say done , sleep");
    let container = bundle.start();
    t.wait_for("its work", || container.stdout().contains("done"));
    let stat = value(t, bundle.id(), "cpu.stat");
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
    assert!(throttled.parse::<u32>().unwrap() > 0, "{stat}");
}

fn cpuset_is_enforced(t: &Test) {
    at(t, "cpuset", "");
    let seen = t.bundle().set("/linux/resources", json!({"cpu": {"cpus": "0", "mems": "0"}})).report();
    assert_eq!(seen["affinity"], "0");
}

fn impossible_cpuset_is_refused(t: &Test) {
    at(t, "cpuset", "");
    let bundle = t.bundle().set("/linux/resources", json!({"cpu": {"cpus": "4000"}}));
    // The kernel accepts any possible processor number and falls back to the parent's set.
    let output = bundle.try_run();
    assert!(output.code() == 0 || output.stderr.contains("cpuset.cpus"), "{output}");
    let bundle = t.bundle().set("/linux/resources", json!({"cpu": {"cpus": "many"}}));
    bundle.try_run().refused(&["cpus"]);
}

/// A whole disk with a request queue.
fn disk() -> Option<(u64, u64)> {
    let disks = fs::read_dir("/sys/block").ok()?.flatten().filter(|disk| disk.path().join("device").exists());
    disks.filter_map(|disk| fs::read_to_string(disk.path().join("dev")).ok()).find_map(|text| {
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

fn io_limits(t: &Test) {
    at(t, "io", "");
    let Some((major, minor)) = disk() else { kit::skip("no block device") };
    let rate = |n: u64| json!([{"major": major, "minor": minor, "rate": n}]);
    let io = json!({
        "weight": 500,
        "throttleReadBpsDevice": rate(1_048_576), "throttleWriteBpsDevice": rate(2_097_152),
        "throttleReadIOPSDevice": rate(55), "throttleWriteIOPSDevice": rate(77),
    });
    let (bundle, _container) = with(t, json!({"blockIO": io}));
    let wanted = format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=55 wiops=77");
    assert_eq!(value(t, bundle.id(), "io.max"), wanted);
}

fn hugetlb_limit(t: &Test) {
    at(t, "hugetlb", "");
    let limits = json!([{"pageSize": "2MB", "limit": 4_194_304}]);
    let (bundle, _container) = with(t, json!({"hugepageLimits": limits}));
    assert_eq!(value(t, bundle.id(), "hugetlb.2MB.max"), "4194304");
}

fn unified_files(t: &Test) {
    let files = json!({"memory.high": "100000000", "cpu.weight": "77", "cgroup.max.descendants": "5"});
    // `unified` takes precedence over the other fields.
    let (bundle, _container) = with(t, json!({"unified": files, "cpu": {"shares": 2}}));
    assert_eq!(value(t, bundle.id(), "memory.high"), "99999744");
    assert_eq!(value(t, bundle.id(), "cpu.weight"), "77");
    assert_eq!(value(t, bundle.id(), "cgroup.max.descendants"), "5");
    for (file, wanted) in
        [("memory.nonsense", "memory.nonsense"), ("../memory.high", "memory.high"), ("x.y", "x.y")]
    {
        let bundle = t.bundle().set("/linux/resources", json!({"unified": {file: "1"}}));
        bundle.try_run().refused(&[wanted]);
    }
}

fn v1_only_fields_are_refused(t: &Test) {
    at(t, "memory", "");
    for (resources, name) in [
        (json!({"memory": {"swappiness": 7}}), "swappiness"),
        (json!({"memory": {"disableOOMKiller": true}}), "disableOOMKiller"),
        (json!({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 10_000}}), "realtime"),
        (json!({"blockIO": {"leafWeight": 300}}), "leafWeight"),
        (json!({"network": {"classID": 5}}), "network"),
    ] {
        t.bundle().set("/linux/resources", resources).try_run().refused(&[name]);
    }
}

fn limits_are_set_before_the_process_starts(t: &Test) {
    at(t, "pids", "");
    let bundle = t.bundle().set("/linux/resources", json!({"pids": {"limit": 11}})).probe("exit 0");
    let copy = t.dir().join("seen");
    let file = t.v2(bundle.id()).join("pids.max");
    let script = format!("cat {} > {}", file.display(), copy.display());
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
    bundle.push("/hooks/createRuntime", hook).run();
    assert_eq!(fs::read_to_string(copy).unwrap().trim(), "11");
}

fn cgroup_namespace_is_rooted_in_the_cgroup(t: &Test) {
    at(t, "pids", "");
    let bundle = t.bundle().namespace("cgroup").set("/linux/resources", json!({"pids": {"limit": 33}}));
    let lines = bundle
        .probe("report , read /sys/fs/cgroup/pids.max , read /sys/fs/cgroup/cgroup.procs")
        .run()
        .lines();
    assert_eq!(lines[0]["cgroup"], json!(["0::/"]));
    assert_eq!(lines[1]["read"], "33\n");
    assert_eq!(lines[2]["read"], "1\n");
}

/// What an init system does: it has moved to a child cgroup and has delegated controllers to it, so the parent may
/// not have processes.
fn divide(t: &Test, id: &str, pid: i32) {
    let cgroup = t.v2(id);
    fs::create_dir(cgroup.join("init")).unwrap();
    fs::write(cgroup.join("init/cgroup.procs"), pid.to_string()).unwrap();
    fs::write(cgroup.join("cgroup.subtree_control"), "+memory +pids").unwrap();
}

fn exec_joins_the_cgroup_of_an_init_system(t: &Test) {
    at(t, "memory", "");
    for bundle in [t.bundle(), t.bundle().namespace("cgroup")] {
        let bundle = bundle.probe("sleep");
        let container = bundle.start();
        divide(t, bundle.id(), container.pid());
        let seen = container.exec("report").success().json();
        let line = seen["cgroup"][0].as_str().unwrap();
        assert!(line.ends_with("/init"), "not the cgroup of the first process: {line}");
        container.command("delete", &["--force"]).output().success();
    }
}

fn exec_joins_a_child_cgroup(t: &Test) {
    at(t, "memory", "");
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    fs::create_dir(t.v2(bundle.id()).join("side")).unwrap();
    let words = ["exec", "--cgroup", "side", container.id(), "/probe", "report"];
    let seen = t.runtime(words).output().success().json();
    assert_eq!(seen["cgroup"], json!([format!("0::/{}/side", bundle.id())]));
    let words = ["exec", "--cgroup", "nowhere", container.id(), "/probe", "report"];
    t.runtime(words).output().fails_with(255, &["nowhere"]);
}

/// The kernel compares how often the caller's cgroup and the target were killed: a process in a cgroup that was
/// killed cannot clone into another one.
fn caller_may_be_in_a_cgroup_that_was_killed(t: &Test) {
    let home = t.id();
    let cgroup = at(t, "memory", &home);
    fs::create_dir(&cgroup).unwrap();
    fs::write(cgroup.join("cgroup.kill"), "1").unwrap();
    let bundle = t.bundle().probe("report");
    let wrap = format!("cgroup={}", cgroup.display());
    let seen = bundle.command("run", &[]).wrap(&wrap).output().success().json();
    assert_eq!(seen["cgroup"], json!([format!("0::/{}", bundle.id())]));
    let bundle = t.bundle().namespace("cgroup").probe("report");
    let seen = bundle.command("run", &[]).wrap(&wrap).output().success().json();
    assert_eq!(seen["cgroup"], json!(["0::/"]), "its cgroup namespace is not rooted in its cgroup");
    let bundle = t.bundle().probe("sleep");
    let container = bundle.start();
    container.command("exec", &["/probe", "exit", "3"]).wrap(&wrap).output().exits(3);
    t.wait_for("the callers to exit", || fs::remove_dir(&cgroup).is_ok());
}

fn cgroup_that_was_killed_can_be_used_again(t: &Test) {
    let bundle = t.bundle().namespace("cgroup").probe("report");
    let cgroup = at(t, "memory", bundle.id());
    fs::create_dir(&cgroup).unwrap();
    fs::write(cgroup.join("cgroup.kill"), "1").unwrap();
    bundle.run();
    // A cgroup that cannot be created again, since it has a child.
    fs::create_dir_all(cgroup.join("child")).unwrap();
    fs::write(cgroup.join("cgroup.kill"), "1").unwrap();
    let seen = bundle.command("run", &[]).output().success().json();
    assert_eq!(seen["cgroup"], json!(["0::/"]));
    let _ = fs::remove_dir(cgroup.join("child"));
    let _ = fs::remove_dir(cgroup);
}

fn populated_cgroup_is_refused(t: &Test) {
    at(t, "memory", "");
    let first = t.bundle().probe("sleep");
    let _container = first.start();
    let second = t.bundle().set("/linux/cgroupsPath", format!("/{}", first.id()));
    second.try_run().refused(&["container's cgroup is not empty"]);
}

fn kill_all_without_a_pid_namespace(t: &Test) {
    at(t, "memory", "");
    let bundle = t.bundle().without_namespace("pid").probe("spawn hold , spawn hold , say ready , hold");
    let container = bundle.start();
    t.wait_for("its children", || container.stdout().contains("ready"));
    t.wait_for("three processes", || value(t, bundle.id(), "cgroup.procs").lines().count() == 3);
    container.command("kill", &["--all", "KILL"]).output().success();
    assert_eq!(container.wait(), 137);
    t.wait_for("an empty cgroup", || value(t, bundle.id(), "cgroup.events").contains("populated 0"));
    container.delete();
}

fn a_child_cgroup_is_deleted_as_well(t: &Test) {
    let (bundle, container) = with(t, json!({}));
    let below = t.v2(bundle.id()).join("made-by-the-container/deeper");
    fs::create_dir_all(&below).unwrap();
    container.command("delete", &["--force"]).output().success();
    assert!(!t.v2(bundle.id()).exists());
}

fn nested_cgroup_path(t: &Test) {
    at(t, "pids", "");
    let bundle = t.bundle();
    let path = format!("{}/deep/er", bundle.id());
    let bundle = bundle
        .set("/linux/cgroupsPath", format!("/{path}"))
        .set("/linux/resources", json!({"pids": {"limit": 9}}));
    let container = bundle.create();
    assert_eq!(value(t, &path, "pids.max"), "9");
    container.command("delete", &["--force"]).output().success();
    assert!(!t.v2(&path).exists());
    // The parents were created for it, but others may use them by now: the caller removes them.
    for parent in [format!("{}/deep", bundle.id()), bundle.id().to_owned()] {
        let _ = fs::remove_dir(t.v2(&parent));
    }
}

/// A cgroup with processes cannot have limited children: the error says so.
fn parent_with_processes_is_refused(t: &Test) {
    at(t, "memory", "");
    let parent = t.bundle().probe("sleep");
    let _container = parent.start();
    let child = t.bundle().set("/linux/cgroupsPath", format!("/{}/child", parent.id()));
    let child = child.set("/linux/resources", json!({"memory": {"limit": 67_108_864}}));
    child.try_run().refused(&["memory", "cgroupsPath"]);
}
