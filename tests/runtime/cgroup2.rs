//! A host with cgroup2 alone (a mount namespace shows one). It may have no controllers here: what needs none is
//! tested, and a setting that needs one is refused by name.

use kit::{Bundle, Case, Test, Value, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        container_lives_in_its_cgroup,
        mount_shows_the_cgroup_of_the_container,
        mount_in_a_cgroup_namespace,
        devices_are_filtered,
        limits_without_their_controller_are_refused,
        unified_without_its_controller_is_refused,
        exec_joins,
        delete_kills_every_process,
        ids_can_be_used_again_many_times,
    ]
}

/// A bundle whose process is created in a cgroup namespace, as by `spec` on such a host.
fn bundle(t: &Test) -> Bundle<'_> {
    t.v2("");
    t.bundle().namespace("cgroup")
}

fn run(bundle: &Bundle<'_>) -> kit::Output {
    bundle.command("run", &[]).wrap("cgroup2").output()
}

fn create(t: &Test, bundle: &Bundle<'_>) -> i32 {
    let pid_file = t.dir().join(format!("{}.pid", bundle.id()));
    let flags = ["--pid-file", pid_file.to_str().unwrap()];
    bundle.command("create", &flags).wrap("cgroup2").output().success();
    std::fs::read_to_string(pid_file).unwrap().parse().unwrap()
}

fn command(t: &Test, words: &[&str]) -> kit::Output {
    t.runtime(words.iter().copied()).wrap("cgroup2").output()
}

fn clean(t: &Test, bundle: &Bundle<'_>, pid: i32) {
    command(t, &["delete", "--force", bundle.id()]).success();
    kit::sys::reap(pid, std::time::Duration::from_secs(5));
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

fn container_lives_in_its_cgroup(t: &Test) {
    let bundle = bundle(t).probe("sleep");
    let pid = create(t, &bundle);
    let procs = std::fs::read_to_string(t.v2(bundle.id()).join("cgroup.procs")).unwrap();
    assert_eq!(procs, format!("{pid}\n"));
    command(t, &["start", bundle.id()]).success();
    let seen: Value = command(t, &["state", bundle.id()]).success().document();
    assert_eq!(seen["status"], "running");
    clean(t, &bundle, pid);
}

fn mount_shows_the_cgroup_of_the_container(t: &Test) {
    t.v2("");
    let bundle = t.bundle().probe("report , list /sys/fs/cgroup");
    let lines = run(&bundle).success().lines();
    let mounts = lines[0]["mounts"].as_array().unwrap();
    let found = mounts.iter().find(|one| one["point"] == "/sys/fs/cgroup").unwrap();
    assert_eq!((&found["type"], &found["root"]), (&json!("cgroup2"), &json!(format!("/{}", bundle.id()))));
    assert!(lines[1]["list"].as_array().unwrap().contains(&json!("cgroup.procs")));
}

fn mount_in_a_cgroup_namespace(t: &Test) {
    let bundle = bundle(t).probe("report , read /sys/fs/cgroup/cgroup.procs , mkdir /sys/fs/cgroup/x");
    let lines = run(&bundle).success().lines();
    assert!(lines[0]["cgroup"].as_array().unwrap().contains(&json!("0::/")), "{}", lines[0]["cgroup"]);
    assert_eq!(lines[1]["read"], "1\n");
    assert_eq!(lines[2]["errno"], "EROFS");
}

fn devices_are_filtered(t: &Test) {
    let all = json!(["CAP_MKNOD"]);
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "rm"},
    ]);
    let bundle =
        bundle(t).mount("tmpfs", "tmpfs", "/m", &["dev"]).set("/linux/resources", json!({"devices": rules}));
    let bundle =
        bundle.set("/process/capabilities", json!({"bounding": all, "effective": all, "permitted": all}));
    let words =
        "mknod /m/kmsg c 1 11 , open /m/kmsg w , mknod /m/mem c 1 1 , open /m/mem r , open /dev/null rw";
    let lines = run(&bundle.probe(words)).success().lines();
    assert_eq!(lines[0]["errno"], "", "allowed");
    assert_eq!(lines[1]["errno"], "EPERM", "must not be writable");
    assert_eq!(lines[3]["errno"], "EPERM", "must not be accessible");
    assert_eq!(lines[4]["errno"], "", "the default devices stay usable");
}

/// Whether the hierarchy has that controller; if it has, unit tests cover what the v1 cases cover.
fn has(t: &Test, controller: &str) -> bool {
    let all = std::fs::read_to_string(t.v2("").join("cgroup.controllers")).unwrap();
    all.split_whitespace().any(|name| name == controller)
}

fn limits_without_their_controller_are_refused(t: &Test) {
    for (controller, resources) in [
        ("memory", json!({"memory": {"limit": 67_108_864}})),
        ("pids", json!({"pids": {"limit": 20}})),
        ("cpu", json!({"cpu": {"shares": 512}})),
    ] {
        let bundle = bundle(t).set("/linux/resources", resources);
        let output = run(&bundle);
        if has(t, controller) {
            output.success();
        } else {
            output.refused(&[controller]);
        }
        assert!(t.leaks_of(bundle.id()).is_empty());
    }
}

fn unified_without_its_controller_is_refused(t: &Test) {
    let bundle = bundle(t).set("/linux/resources", json!({"unified": {"memory.high": "100000000"}}));
    let output = run(&bundle);
    if has(t, "memory") {
        output.success();
    } else {
        output.refused(&["memory.high"]);
    }
    // Files that every cgroup has need no controller.
    let bundle = t.bundle().set("/linux/resources", json!({"unified": {"cgroup.max.depth": "3"}}));
    run(&bundle).success();
}

fn exec_joins(t: &Test) {
    let bundle = bundle(t).probe("sleep");
    let pid = create(t, &bundle);
    command(t, &["start", bundle.id()]).success();
    let seen = command(t, &["exec", bundle.id(), "/probe", "report"]).success().json();
    assert!(seen["cgroup"].as_array().unwrap().contains(&json!("0::/")), "{}", seen["cgroup"]);
    clean(t, &bundle, pid);
}

fn delete_kills_every_process(t: &Test) {
    let bundle = bundle(t).without_namespace("pid").probe("spawn hold , spawn hold , say ready , hold");
    let pid = create(t, &bundle);
    command(t, &["start", bundle.id()]).success();
    let procs = t.v2(bundle.id()).join("cgroup.procs");
    t.wait_for("three processes", || std::fs::read_to_string(&procs).unwrap().lines().count() == 3);
    let children: Vec<i32> =
        std::fs::read_to_string(&procs).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    command(t, &["delete", "--force", bundle.id()]).success();
    for child in children {
        assert_eq!(kit::sys::reap(child, std::time::Duration::from_secs(5)), Some(137), "{child} of {pid}");
    }
}

/// A process must not be created in a cgroup that was killed before: ids are used again.
fn ids_can_be_used_again_many_times(t: &Test) {
    let bundle = bundle(t).probe("sleep");
    for _ in 0..4 {
        let pid = create(t, &bundle);
        command(t, &["start", bundle.id()]).success();
        command(t, &["exec", bundle.id(), "/probe", "exit", "3"]).exits(3);
        clean(t, &bundle, pid);
    }
}
