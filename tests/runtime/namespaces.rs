//! `linux.namespaces`, id maps, time offsets, host and domain name.

use kit::{Case, Test, Value, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        new_namespaces_differ_from_the_callers,
        absent_namespaces_are_the_callers,
        namespaces_are_joined_by_path,
        new_and_joined_namespaces_can_be_combined,
        pid_namespace_starts_at_one,
        without_pid_namespace_the_hosts_pids_are_visible,
        loopback_of_a_new_network_namespace_is_up,
        cgroup_namespace_hides_the_path,
        user_namespace_maps_ids,
        user_namespace_with_several_ranges,
        user_namespace_is_joined,
        rootless_caller_is_mapped_to_root,
        rootless_container_sees_the_callers_cgroup_read_only,
        rootless_container_from_create_to_delete,
        root_joins_the_container_of_another_user,
        exec_in_a_user_namespace,
        hooks_and_terminal_in_a_user_namespace,
        time_offsets_are_set,
        time_offsets_are_set_with_user_and_pid_namespaces,
        host_name_is_set,
        domain_name_is_set,
        host_name_without_uts_namespace_is_refused,
        duplicate_namespace_is_refused,
        namespace_of_another_type_is_refused,
        missing_namespace_path_is_refused,
        id_maps_without_user_namespace_are_refused,
        without_a_mount_namespace_nothing_is_mounted,
        further_processes_without_a_mount_namespace_have_its_root,
        what_needs_a_mount_namespace_is_refused_without_one,
        joined_mount_namespace_gets_root_and_mounts,
        file_systems_of_shared_namespaces_are_the_hosts,
        id_map_without_root_is_refused,
        joined_mount_namespace_of_the_host_is_refused,
    ]
}

fn own(kind: &str) -> String {
    of("self", kind)
}

fn of(pid: impl std::fmt::Display, kind: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

fn new_namespaces_differ_from_the_callers(t: &Test) {
    let seen = t.bundle().namespace("cgroup").report();
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        assert_ne!(seen["namespaces"][kind], own(kind), "{kind}");
    }
    for kind in ["user", "time"] {
        assert_eq!(seen["namespaces"][kind], own(kind), "{kind}");
    }
}

fn absent_namespaces_are_the_callers(t: &Test) {
    let mut bundle = t.bundle().remove("/hostname").only_mounts(&["/proc", "/dev"]);
    for kind in ["network", "ipc", "uts", "pid"] {
        bundle = bundle.without_namespace(kind);
    }
    let seen = bundle.report();
    for kind in ["cgroup", "ipc", "net", "pid", "time", "user", "uts"] {
        assert_eq!(seen["namespaces"][kind], own(kind), "{kind}");
    }
    assert_ne!(seen["namespaces"]["mnt"], own("mnt"));
}

fn namespaces_are_joined_by_path(t: &Test) {
    let first = t.bundle().namespace("cgroup").probe("sleep").start();
    let at = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    let mut bundle = t.bundle().remove("/hostname");
    for (kind, file) in
        [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")]
    {
        bundle = bundle.join(kind, &at(file));
    }
    let seen = bundle.report();
    for kind in ["net", "ipc", "uts", "pid", "cgroup"] {
        assert_eq!(seen["namespaces"][kind], of(first.pid(), kind), "{kind}");
    }
    assert_eq!(seen["hostname"], "orlop");
    assert_ne!(seen["pid"], 1);
}

fn new_and_joined_namespaces_can_be_combined(t: &Test) {
    let first = t.bundle().probe("sleep").start();
    let net = format!("/proc/{}/ns/net", first.pid());
    let seen =
        t.bundle().join("network", &net).without_namespace("ipc").only_mounts(&["/proc", "/dev"]).report();
    assert_eq!(seen["namespaces"]["net"], of(first.pid(), "net"));
    assert_eq!(seen["namespaces"]["ipc"], own("ipc"));
    assert_ne!(seen["namespaces"]["pid"], of(first.pid(), "pid"));
    assert_ne!(seen["namespaces"]["pid"], own("pid"));
}

fn pid_namespace_starts_at_one(t: &Test) {
    let seen = t.bundle().report();
    assert_eq!(
        (&seen["pid"], &seen["ppid"], &seen["sid"], &seen["pgid"]),
        (&json!(1), &json!(0), &json!(1), &json!(1))
    );
}

fn without_pid_namespace_the_hosts_pids_are_visible(t: &Test) {
    let container = t.bundle().without_namespace("pid").probe("report , sleep").start();
    let seen = container.first_line();
    assert_eq!(seen["pid"], container.pid());
    assert_eq!(seen["sid"], container.pid());
}

fn loopback_of_a_new_network_namespace_is_up(t: &Test) {
    assert_eq!(t.bundle().report()["interfaces"], json!({"lo": true}));
}

fn cgroup_namespace_hides_the_path(t: &Test) {
    let seen = t.bundle().namespace("cgroup").report();
    let lines = seen["cgroup"].as_array().unwrap();
    assert!(!lines.is_empty());
    for line in lines {
        assert!(line.as_str().unwrap().ends_with(":/"), "{line}");
    }
}

fn squeeze(map: &Value) -> Vec<Vec<u32>> {
    let numbers = |line: &str| line.split_whitespace().map(|n| n.parse().unwrap()).collect();
    map.as_str().unwrap().lines().map(numbers).collect()
}

fn user_namespace_maps_ids(t: &Test) {
    let container = t.bundle().user_namespace(200_000).probe("report , sleep").start();
    let seen = container.first_line();
    assert_eq!(squeeze(&seen["uid_map"]), [[0, 200_000, 65536]]);
    assert_eq!(squeeze(&seen["gid_map"]), [[0, 200_000, 65536]]);
    assert_eq!(seen["uid"], json!([0, 0, 0, 0]));
    assert_ne!(seen["namespaces"]["user"], own("user"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(status.contains("Uid:\t200000\t200000\t200000\t200000"), "{status}");
}

fn user_namespace_with_several_ranges(t: &Test) {
    let maps = json!([
        {"containerID": 0, "hostID": 200_000, "size": 10},
        {"containerID": 10, "hostID": 300_000, "size": 1},
        {"containerID": 11, "hostID": 200_010, "size": 1000},
    ]);
    let bundle = t.bundle().user_namespace(200_000).set("/process/user", json!({"uid": 10, "gid": 11}));
    let seen = bundle.set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps).report();
    assert_eq!(squeeze(&seen["uid_map"]), [[0, 200_000, 10], [10, 300_000, 1], [11, 200_010, 1000]]);
    assert_eq!(seen["uid"], json!([10, 10, 10, 10]));
    assert_eq!(seen["gid"], json!([11, 11, 11, 11]));
}

fn user_namespace_is_joined(t: &Test) {
    t.only_orlop("it requires maps for a namespace that has them");
    let first = t.bundle().user_namespace(200_000).probe("sleep").start();
    let at = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    let bundle = t.bundle().user_namespace(200_000).remove("/linux/uidMappings").remove("/linux/gidMappings");
    let bundle = bundle.join("user", &at("user")).join("network", &at("net")).join("ipc", &at("ipc"));
    let seen = bundle.report();
    for kind in ["user", "net", "ipc"] {
        assert_eq!(seen["namespaces"][kind], of(first.pid(), kind), "{kind}");
    }
    assert_eq!(seen["uid"], json!([0, 0, 0, 0]));
}

/// A bundle for a caller without root: it maps the one ID that every user may map, and has no cgroup.
pub(crate) fn rootless(t: &Test, id: u32) -> kit::Bundle<'_> {
    let bundle = t.bundle().user_namespace(id).remove("/linux/cgroupsPath").remove("/linux/resources");
    let bundle = bundle.only_mounts(&["/proc", "/dev"]).set("/process/user", json!({"uid": 0, "gid": 0}));
    let map = json!([{"containerID": 0, "hostID": id, "size": 1}]);
    for dir in [t.dir().to_owned(), t.root(), t.dir().join("tmp")] {
        std::fs::create_dir_all(&dir).unwrap();
        nix::unistd::chown(&dir, Some(id.into()), Some(id.into())).unwrap();
    }
    bundle.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

fn rootless_caller_is_mapped_to_root(t: &Test) {
    let id = 54_321;
    let output = rootless(t, id).command("run", &[]).wrap(&format!("uid={id}")).output().success();
    let seen = output.json();
    assert_eq!(seen["uid"], json!([0, 0, 0, 0]));
    assert_eq!(squeeze(&seen["uid_map"]), [[0, id, 1]]);
    assert_eq!(seen["setgroups"], "deny");
}

/// A caller that may not create a cgroup leaves the container in its own: the container sees that cgroup and cannot
/// write to it.
fn rootless_container_sees_the_callers_cgroup_read_only(t: &Test) {
    let id = 54_327;
    let cgroup = |options: &[&str]| rootless(t, id).mount("cgroup", "cgroup", "/cgroup", options);
    let call = |bundle: kit::Bundle<'_>| {
        let call = bundle.command("run", &[]).wrap("cgroup2").wrap(&format!("uid={id}"));
        call.output().success().json()
    };
    let names = call(cgroup(&["ro"]).probe("list /cgroup"));
    assert!(names.to_string().contains("\"cgroup.procs\""), "{names}");
    let written = call(cgroup(&["rw"]).probe("write /cgroup/cgroup.procs 0"));
    assert_eq!(written["errno"], "EROFS", "{written}");
}

fn rootless_container_from_create_to_delete(t: &Test) {
    let id = 54_323;
    let bundle = rootless(t, id).probe("sleep");
    let caller = format!("uid={id}");
    let pid_file = t.dir().join("pid");
    let flags = ["--pid-file", pid_file.to_str().unwrap()];
    bundle.command("create", &flags).wrap(&caller).output().success();
    let command = |words: &[&str]| t.runtime(words.iter().copied()).wrap(&caller).output();
    let status = || command(&["state", bundle.id()]).success().document()["status"].clone();
    assert_eq!(status(), "created");
    command(&["start", bundle.id()]).success();
    assert_eq!(status(), "running");
    let seen = command(&["exec", bundle.id(), "/probe", "report"]).success().json();
    assert_eq!((&seen["uid"][0], &seen["hostname"]), (&json!(0), &json!("orlop")));
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    // It has no cgroup of its own: its pid namespace tells.
    assert_eq!(command(&["ps", "--format", "json", bundle.id()]).success().json(), json!([pid]));
    command(&["kill", bundle.id(), "KILL"]).success();
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(137));
    assert_eq!(status(), "stopped");
    command(&["delete", bundle.id()]).success();
    assert!(t.leaks_of(bundle.id()).is_empty(), "{:?}", t.leaks_of(bundle.id()));
}

/// The user namespace of an unprivileged user denies setgroups(2): root joins it without any supplementary group.
fn root_joins_the_container_of_another_user(t: &Test) {
    t.only_orlop("others fail, or keep root's groups");
    let id = 54_325;
    let bundle = rootless(t, id).probe("sleep");
    let pid_file = t.dir().join("pid");
    let flags = ["--pid-file", pid_file.to_str().unwrap()];
    let caller = format!("uid={id}");
    bundle.command("create", &flags).wrap(&caller).output().success();
    t.runtime(["start", bundle.id()]).wrap(&caller).output().success();
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().parse().unwrap();
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/setgroups")).unwrap().trim(), "deny");
    // Root does not trust the state of another user.
    let directory = t.root().join(bundle.id());
    let files = std::fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path());
    for path in [t.root(), directory.clone()].into_iter().chain(files) {
        std::os::unix::fs::lchown(path, Some(0), Some(0)).unwrap();
    }
    let exec = |words: &[&str]| {
        let words = [&["exec"], words, &[bundle.id(), "/probe", "report"]].concat();
        t.runtime(words).wrap("groups=7,8").output()
    };
    let seen = exec(&[]).success().json();
    assert_eq!((&seen["uid"][0], &seen["groups"]), (&json!(0), &json!([])));
    exec(&["--additional-gids=0"]).fails_with(255, &["denies setgroups(2)"]);
    t.runtime(["kill", bundle.id(), "KILL"]).output().success();
    assert_eq!(kit::sys::reap(pid, std::time::Duration::from_secs(5)), Some(137));
    t.runtime(["delete", bundle.id()]).output().success();
}

fn exec_in_a_user_namespace(t: &Test) {
    let container = t.bundle().user_namespace(200_000).probe("sleep").start();
    let seen = container.exec("report").success().json();
    for kind in ["user", "pid", "mnt", "net", "ipc", "uts"] {
        assert_eq!(seen["namespaces"][kind], of(container.pid(), kind), "{kind}");
    }
    assert_eq!(seen["uid"], json!([0, 0, 0, 0]));
    assert_eq!(seen["caps"]["bounding"].as_array().unwrap().len(), 3);
    let words = ["exec", "--user", "7:8", container.id(), "/probe", "report"];
    let seen = t.runtime(words).output().success().json();
    assert_eq!((&seen["uid"][0], &seen["gid"][0]), (&json!(7), &json!(8)));
}

fn hooks_and_terminal_in_a_user_namespace(t: &Test) {
    let console = kit::Console::new(t);
    let log = t.dir().join("hooks");
    let bundle = t.bundle().user_namespace(200_000).set("/process/terminal", true).probe("terminal , sleep");
    let bundle = bundle.host_hook("createRuntime", &format!("hook {}", log.display()));
    let container = bundle.create_with(&["--console-socket", console.path().to_str().unwrap()]);
    let (_, mut master) = console.receive();
    container.start();
    let said = master.read_until("isatty");
    assert!(said.contains("\"isatty\":[true,true,true]") && said.contains("\"controlling\":true"), "{said}");
    let call: Value = std::fs::read_to_string(log).unwrap().trim().parse().unwrap();
    assert_eq!(call["state"]["pid"], container.pid());
}

fn time_offsets_are_set(t: &Test) {
    t.only_orlop("the installed version may lack time namespaces");
    let offsets = json!({"boottime": {"secs": 86_400, "nanosecs": 5}, "monotonic": {"secs": 3600}});
    let seen = t.bundle().namespace("time").set("/linux/timeOffsets", offsets).report();
    assert_ne!(seen["namespaces"]["time"], own("time"));
    let lines: Vec<Vec<&str>> = seen["time_offsets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l.as_str().unwrap().split_whitespace().collect())
        .collect();
    assert_eq!(lines, [["monotonic", "3600", "0"], ["boottime", "86400", "5"]]);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let up: i64 = uptime.split('.').next().unwrap().parse().unwrap();
    let shift = seen["boottime"].as_i64().unwrap() - up;
    assert!((86_390..86_410).contains(&shift), "{shift}");
}

/// The file for the offsets belongs to the user that may trace the process.
fn time_offsets_are_set_with_user_and_pid_namespaces(t: &Test) {
    t.only_orlop("the installed version may lack time namespaces");
    let other = t.bundle().probe("sleep").start();
    let pid = format!("/proc/{}/ns/pid", other.pid());
    let offsets = json!({"boottime": {"secs": 86_400}});
    let bundle = || t.bundle().namespace("time").set("/linux/timeOffsets", offsets.clone());
    for bundle in [bundle().user_namespace(200_000), bundle().join("pid", &pid)] {
        let seen = bundle.report();
        assert_eq!(seen["time_offsets"][1].as_str().unwrap().split_whitespace().nth(1), Some("86400"));
    }
}

fn host_name_is_set(t: &Test) {
    assert_eq!(t.bundle().set("/hostname", "a-ship.example").report()["hostname"], "a-ship.example");
}

fn domain_name_is_set(t: &Test) {
    t.only_orlop("the installed version may lack domainname");
    assert_eq!(t.bundle().set("/domainname", "fleet").report()["domainname"], "fleet");
}

fn host_name_without_uts_namespace_is_refused(t: &Test) {
    t.bundle().without_namespace("uts").try_run().refused(&["hostname"]);
}

fn duplicate_namespace_is_refused(t: &Test) {
    let word = if t.is_orlop() { "/linux/namespaces" } else { "duplicated ns" };
    t.bundle().push("/linux/namespaces", json!({"type": "pid"})).try_run().refused(&[word]);
}

fn namespace_of_another_type_is_refused(t: &Test) {
    t.bundle().join("network", "/proc/self/ns/uts").try_run().refused(&[]);
}

fn missing_namespace_path_is_refused(t: &Test) {
    t.bundle().join("network", "/proc/self/ns/nothing").try_run().refused(&["/proc/self/ns/nothing"]);
}

fn id_maps_without_user_namespace_are_refused(t: &Test) {
    t.only_orlop("it ignores such maps");
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    t.bundle()
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .try_run()
        .refused(&["user namespace"]);
}

/// A bundle that shares the mount namespace of its caller.
fn sharing_mounts(t: &Test) -> kit::Bundle<'_> {
    let bundle = t.bundle().without_namespace("mount").directory("/proc").file("/inside", "tea");
    bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths")
}

/// The root is a detached mount: it can be read-only, and nothing of it can be seen from outside.
fn without_a_mount_namespace_nothing_is_mounted(t: &Test) {
    t.only_orlop("it mounts everything on the host");
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let bundle = sharing_mounts(t).probe("list / , list /.. , list /proc , write /new x , read /inside");
    let out = bundle.run();
    assert!(out.stderr.contains("not mounted") && out.stderr.contains("/dev/shm"), "{}", out.stderr);
    let lines = out.lines();
    assert_eq!(lines[0]["list"], json!(["inside", "probe", "proc"]));
    assert_eq!(lines[1]["list"], lines[0]["list"]);
    assert_eq!(lines[2]["list"], json!([]));
    assert_eq!((&lines[3]["errno"], &lines[4]["read"]), (&json!("EROFS"), &json!("tea")));
    let writable = sharing_mounts(t).set("/root/readonly", false).probe("write /new x , syscall 161 0");
    assert_eq!(writable.run().lines()[0]["errno"], "");
    assert!(writable.path("/new").exists());
    let user = sharing_mounts(t).user_namespace(200_000).probe("list / , write /new x").run().lines();
    assert_eq!((&user[0]["list"], &user[1]["errno"]), (&json!(["inside", "probe", "proc"]), &json!("EROFS")));
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}

fn further_processes_without_a_mount_namespace_have_its_root(t: &Test) {
    t.only_orlop("its further processes have the host's root");
    let bundle = sharing_mounts(t).set("/root/readonly", false).directory("/log").probe("sleep");
    let hook = json!({"path": "/probe", "args": ["probe", "hook", "/log/start"]});
    let bundle = bundle.push("/hooks/startContainer", hook);
    let outside = t.dir().join("outside");
    let bundle = bundle.host_hook("createContainer", &format!("hook {}", outside.display()));
    let container = bundle.create();
    container.start();
    let namespace = std::fs::read_link(format!("/proc/{}/ns/mnt", container.pid())).unwrap();
    assert_eq!(namespace.to_string_lossy(), own("mnt"));
    let text = std::fs::read_to_string(bundle.path("/log/start")).unwrap();
    assert_eq!(text.parse::<kit::Value>().unwrap()["probe_in_root"], true, "{text}");
    let text = std::fs::read_to_string(outside).unwrap();
    let seen: kit::Value = text.parse().unwrap();
    assert_eq!(
        (&seen["probe_in_root"], &seen["cwd"]),
        (&json!(false), &json!(bundle.dir().join("rootfs").to_string_lossy()))
    );
    for words in ["list /", "list /../.."] {
        let seen = container.exec(words).success().json();
        assert_eq!(seen["list"], json!(["inside", "log", "probe", "proc"]), "{words}");
    }
    let mounts = t.dir().join("mounts.json");
    std::fs::write(&mounts, r#"[{"destination": "/m", "type": "tmpfs", "source": "t"}]"#).unwrap();
    for verb in ["add", "remove"] {
        let output = t.runtime(["mounts", verb, container.id(), mounts.to_str().unwrap()]).output();
        output.fails_with(1, &["no mount namespace of its own"]);
    }
}

fn what_needs_a_mount_namespace_is_refused_without_one(t: &Test) {
    t.only_orlop("it refuses less");
    for (pointer, value) in [
        ("/linux/maskedPaths", json!(["/inside"])),
        ("/linux/readonlyPaths", json!(["/inside"])),
        ("/linux/rootfsPropagation", json!("rshared")),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}])),
    ] {
        sharing_mounts(t).set(pointer, value).try_run().refused(&[pointer, "mount namespace"]);
    }
    let output = sharing_mounts(t).called_by("uid=1000").try_run();
    output.refused(&[]);
}

/// As peers do: the root of the joined namespace is replaced.
fn joined_mount_namespace_gets_root_and_mounts(t: &Test) {
    let other = t.bundle().probe("sleep").start();
    let hold = t.dir().join("hold");
    std::fs::create_dir(&hold).unwrap();
    std::fs::write(hold.join("cargo"), "tea").unwrap();
    let path = format!("/proc/{}/ns/mnt", other.pid());
    let joined = std::fs::read_link(&path).unwrap().to_string_lossy().into_owned();
    // The host's cgroup file systems cannot be seen from there.
    let bundle = t.bundle().only_mounts(&["/proc", "/dev", "/dev/pts"]);
    let bundle = bundle.join("mount", &path).file("/mine", "").directory("/hold");
    let bundle = bundle.mount("bind", &hold, "/hold", &["bind", "ro"]).set("/root/readonly", false);
    let container = bundle.probe("report , stat /mine , read /hold/cargo , write /hold/x y , sleep").start();
    let seen = container.first_line();
    assert_eq!(seen["namespaces"]["mnt"], joined);
    let points: Vec<&str> =
        seen["mounts"].as_array().unwrap().iter().map(|mount| mount["point"].as_str().unwrap()).collect();
    assert_eq!(points.iter().filter(|point| **point == "/").count(), 1, "{points:?}");
    assert!(points.contains(&"/hold") && points.contains(&"/dev/pts"), "{points:?}");
    let lines = container.exec("stat /mine , read /hold/cargo , write /hold/x y").success().lines();
    assert_eq!((&lines[0]["kind"], &lines[1]["read"]), (&json!("file"), &json!("tea")));
    assert_eq!(lines[2]["errno"], "EROFS");
}

/// A user namespace may not mount what shows a namespace that it does not own.
fn file_systems_of_shared_namespaces_are_the_hosts(t: &Test) {
    t.only_orlop("it fails to mount them");
    let bundle = t.bundle().user_namespace(200_000).without_namespace("network").without_namespace("pid");
    let bundle =
        if std::path::Path::new("/dev/mqueue").exists() { bundle.without_namespace("ipc") } else { bundle };
    let seen = bundle.only_mounts(&["/proc", "/sys", "/dev", "/dev/mqueue"]).report();
    assert_eq!(
        (&seen["namespaces"]["net"], &seen["namespaces"]["pid"]),
        (&own("net").into(), &own("pid").into())
    );
    let of = |point: &str| {
        let mut mounts = seen["mounts"].as_array().unwrap().iter();
        mounts.find(|mount| mount["point"] == point).unwrap()
    };
    assert_eq!((&of("/proc")["type"], &of("/sys")["type"]), (&json!("proc"), &json!("sysfs")));
    let options = of("/sys")["options"].as_array().unwrap();
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(options.contains(&json!(option)), "{options:?}");
    }
    assert_eq!(of("/dev/mqueue")["type"], "mqueue");
}

fn id_map_without_root_is_refused(t: &Test) {
    let map = json!([{"containerID": 1000, "hostID": 200_000, "size": 10}]);
    for id in ["uid", "gid"] {
        let bundle =
            t.bundle().user_namespace(200_000).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let bundle = bundle.set(&format!("/linux/{id}Mappings"), map.clone());
        bundle.try_run().refused(&[&format!("no mapping found for {id} 0")]);
    }
}

fn joined_mount_namespace_of_the_host_is_refused(t: &Test) {
    t.only_orlop("it changes the host's mounts");
    for path in ["/proc/self/ns/mnt", "/proc/1/ns/mnt"] {
        if std::fs::File::open(path).is_err() {
            // This host hides its first process.
            continue;
        }
        t.bundle().join("mount", path).try_run().refused(&["host's own", "/linux/namespaces"]);
    }
}
