//! Each rule of the validator is violated once.

use crate::Problem;
use crate::bundle::{Spec, validate};
use serde_json::{Value, json};

/// The template with `changes`.
fn changed(changes: &[(&str, Value)]) -> Spec {
    let mut document = serde_json::to_value(Spec::template(false)).unwrap();
    for (pointer, value) in changes {
        let mut place = &mut document;
        for key in pointer.trim_start_matches('/').split('/') {
            place = match key.parse::<usize>() {
                Ok(index) if place.is_array() => &mut place[index],
                _ => &mut place[key.replace("~1", "/").replace("~0", "~")],
            };
        }
        *place = value.clone();
    }
    Spec::from_json(document.to_string().as_bytes()).unwrap()
}

fn namespaces(kinds: &[&str]) -> (&'static str, Value) {
    let list: Vec<_> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    ("/linux/namespaces", Value::from(list))
}

fn find<'p>(problems: &'p [Problem], pointer: &str, words: &str) -> Option<&'p Problem> {
    problems.iter().find(|p| p.pointer == pointer && p.message.contains(words))
}

/// The pointer and the value of a change, the pointer of the problem, and a part of its message.
type Case = (&'static str, Value, &'static str, &'static str);

fn each_is_an_error(cases: Vec<Case>) {
    for (place, value, pointer, words) in cases {
        let (errors, _) = validate(&changed(&[(place, value.clone())]));
        let problem = find(&errors, pointer, words);
        assert!(problem.is_some(), "{place} = {value}: no {pointer} {words:?} in {errors:?}");
        assert!(problem.unwrap().section.starts_with("config"), "{pointer} names no section");
    }
}

#[test]
fn the_templates_are_valid() {
    for spec in [
        Spec::template(false),
        Spec::template(true),
        Spec::rootless_template(true, 1000, 1000),
        Spec::rootless_template(false, 1, 2),
    ] {
        assert_eq!(validate(&spec), (vec![], vec![]));
    }
}

#[test]
fn rules_of_the_top_level() {
    let hook = |v: Value| json!({"poststop": [v]});
    each_is_an_error(vec![
        ("/ociVersion", json!(""), "/ociVersion", "required"),
        ("/ociVersion", json!("garbage"), "/ociVersion", "SemVer"),
        ("/ociVersion", json!("1.0"), "/ociVersion", "SemVer"),
        ("/ociVersion", json!("2.0.0"), "/ociVersion", "not supported"),
        ("/ociVersion", json!("0.9.0"), "/ociVersion", "not supported"),
        ("/root", json!(null), "/root", "required"),
        ("/root/path", json!(""), "/root/path", "empty"),
        ("/linux/namespaces", json!([]), "/hostname", "private UTS namespace"),
        ("/hostname", json!("x".repeat(65)), "/hostname", "64"),
        ("/mounts/0/destination", json!(""), "/mounts/0/destination", "empty"),
        ("/mounts/0", json!({"destination": "/x", "options": ["rbind"]}), "/mounts/0/source", "bind"),
        ("/mounts/0/options", json!(["idmap"]), "/mounts/0/options", "user namespace"),
        (
            "/mounts/0/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "/mounts/0/gidMappings",
            "along",
        ),
        (
            "/mounts/0/gidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 0}]),
            "/mounts/0/gidMappings/0/size",
            "zero",
        ),
        ("/hooks", hook(json!({"path": "a"})), "/hooks/poststop/0/path", "absolute"),
        ("/hooks", hook(json!({"path": "/a", "timeout": 0})), "/hooks/poststop/0/timeout", "zero"),
        ("/annotations", json!({"": "x"}), "/annotations", "empty"),
    ]);
    let (errors, _) = validate(&changed(&[("/domainname", json!("x")), ("/linux", json!(null))]));
    assert!(find(&errors, "/domainname", "UTS").is_some());
    for good in ["1.0.0", "1.0.2-dev", "1.3.0+dev", "1.2.1"] {
        assert_eq!(validate(&changed(&[("/ociVersion", json!(good))])), (vec![], vec![]), "{good}");
    }
}

#[test]
fn rules_of_the_process() {
    let limit = |kind: &str, soft: u64, hard: u64| json!({"type": kind, "soft": soft, "hard": hard});
    let affinity = "/process/execCPUAffinity";
    each_is_an_error(vec![
        ("/process/args", json!([]), "/process/args", "empty"),
        ("/process/cwd", json!("tmp"), "/process/cwd", "absolute"),
        ("/process/env", json!(["A=b", "c"]), "/process/env/1", "missing '='"),
        ("/process/env", json!(["=b"]), "/process/env/0", "name cannot be empty"),
        ("/process/user/umask", json!(512), "/process/user/umask", "777"),
        (
            "/process/consoleSize",
            json!({"height": 65536, "width": 1}),
            "/process/consoleSize/height",
            "65535",
        ),
        ("/process/rlimits", json!([limit("X", 1, 1)]), "/process/rlimits/0/type", "not one of"),
        ("/process/rlimits", json!([limit("RLIMIT_AS", 2, 1)]), "/process/rlimits/0/soft", "hard limit 1"),
        (
            "/process/rlimits",
            json!([limit("RLIMIT_AS", 1, 1), limit("RLIMIT_AS", 1, 1)]),
            "/process/rlimits/1/type",
            "twice",
        ),
        ("/process/oomScoreAdj", json!(1001), "/process/oomScoreAdj", "1000"),
        (affinity, json!({"initial": "0-"}), "/process/execCPUAffinity/initial", "range"),
        (affinity, json!({"final": "a"}), "/process/execCPUAffinity/final", "range"),
    ]);
    assert_eq!(validate(&changed(&[("/process/execCPUAffinity", json!({"initial": "0, 2-3"}))])).0, []);
    assert_eq!(validate(&changed(&[("/process", json!(null))])), (vec![], vec![]));
}

#[test]
fn rules_of_scheduling_and_io_priority() {
    each_is_an_error(vec![
        ("/process/scheduler", json!({"policy": "X"}), "/process/scheduler/policy", "not one of"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RESET_ON_FORK", "X"]}),
            "/process/scheduler/flags/1",
            "not one of",
        ),
        ("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 20}), "/process/scheduler/nice", "19"),
        ("/process/scheduler", json!({"policy": "SCHED_FIFO"}), "/process/scheduler/priority", "1 to 99"),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_IDLE", "priority": 1}),
            "/process/scheduler/priority",
            "only",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_IDLE", "period": 1}),
            "/process/scheduler/period",
            "only",
        ),
        (
            "/process/scheduler",
            json!({"policy": "SCHED_DEADLINE", "runtime": 20_000, "deadline": 10_000}),
            "/process/scheduler/runtime",
            "deadline",
        ),
        (
            "/process/ioPriority",
            json!({"class": "X", "priority": 1}),
            "/process/ioPriority/class",
            "not one of",
        ),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "/process/ioPriority/priority",
            "7",
        ),
    ]);
    let good = json!({"policy": "SCHED_DEADLINE", "runtime": 10_000, "deadline": 10_000,
        "flags": ["SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]});
    assert_eq!(validate(&changed(&[("/process/scheduler", good)])), (vec![], vec![]));
}

#[test]
fn rules_of_namespaces_mappings_paths_and_devices() {
    let map = |c: u32, h: u32, s: u32| json!({"containerID": c, "hostID": h, "size": s});
    let device =
        |kind: &str, major: i64| json!([{"path": "/dev/x", "type": kind, "major": major, "minor": 1}]);
    each_is_an_error(vec![
        namespace_case(&["uts", "mount", "nope"], "/linux/namespaces/2/type", "not one of"),
        namespace_case(&["uts", "mount", "uts"], "/linux/namespaces/2/type", "twice"),
        namespace_case(&["uts"], "/linux/maskedPaths", "mount namespace"),
        namespace_case(&["uts", "mount", "user"], "/linux/gidMappings", "needs gidMappings"),
        ("/linux/namespaces/0/path", json!("proc/1/ns/pid"), "/linux/namespaces/0/path", "absolute"),
        ("/linux/uidMappings", json!([map(0, 0, 1)]), "/linux/uidMappings", "isn't enabled"),
        (
            "/linux/uidMappings",
            json!([map(0, 0, 5), map(4, 9, 1)]),
            "/linux/uidMappings/1/containerID",
            "overlap",
        ),
        ("/linux/uidMappings", json!([map(0, 0, 5), map(9, 4, 1)]), "/linux/uidMappings/1/hostID", "overlap"),
        ("/linux/gidMappings", json!([map(0, u32::MAX, 1)]), "/linux/gidMappings/0/hostID", "below"),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "/linux/timeOffsets", "time namespace"),
        ("/linux/timeOffsets", json!({"real": {}}), "/linux/timeOffsets/real", "not one of"),
        (
            "/linux/timeOffsets",
            json!({"monotonic": {"nanosecs": 1_000_000_000}}),
            "/linux/timeOffsets/monotonic/nanosecs",
            "below",
        ),
        ("/linux/rootfsPropagation", json!("privat"), "/linux/rootfsPropagation", "not one of"),
        ("/linux/maskedPaths", json!(["/a", "b"]), "/linux/maskedPaths/1", "absolute"),
        ("/linux/readonlyPaths", json!(["b"]), "/linux/readonlyPaths/0", "absolute"),
        ("/linux/cgroupsPath", json!("/a/../b"), "/linux/cgroupsPath", ".."),
        ("/linux/devices", device("x", 1), "/linux/devices/0/type", "not one of"),
        ("/linux/devices", device("c", -1), "/linux/devices/0/major", "4095"),
        ("/linux/devices", json!([{"path": "/dev/x", "type": "b"}]), "/linux/devices/0/minor", "required"),
        ("/linux/devices", json!([{"path": "x", "type": "p"}]), "/linux/devices/0/path", "absolute"),
        ("/linux/netDevices", json!({"a/b": {}}), "/linux/netDevices/a~1b", "not a valid"),
        ("/linux/netDevices", json!({"a": {"name": "eth%s"}}), "/linux/netDevices/a/name", "not a valid"),
        (
            "/linux/netDevices",
            json!({"a": {"name": "e"}, "b": {"name": "e"}}),
            "/linux/netDevices/b/name",
            "two",
        ),
    ]);
}

#[test]
fn rules_of_sysctls_rdt_memory_policy_and_personality() {
    each_is_an_error(vec![
        ("/linux/sysctl", json!({"net..x": "1"}), "/linux/sysctl/net..x", "well-formed"),
        ("/linux/sysctl", json!({"vm.swappiness": "1"}), "/linux/sysctl/vm.swappiness", "separate"),
        ("/linux/sysctl", json!({"kernel.hostname": "1"}), "/linux/sysctl/kernel.hostname", "hostname"),
        ("/linux/sysctl", json!({"user.max_x": "1"}), "/linux/sysctl/user.max_x", "private user"),
        ("/linux/intelRdt", json!({"closID": ".."}), "/linux/intelRdt/closID", "directory"),
        ("/linux/intelRdt", json!({"memBwSchema": "L3:"}), "/linux/intelRdt/memBwSchema", "MB:"),
        ("/linux/intelRdt", json!({"l3CacheSchema": "L3:\n"}), "/linux/intelRdt/l3CacheSchema", "newlines"),
        ("/linux/intelRdt", json!({"schemata": ["a", "b\nc"]}), "/linux/intelRdt/schemata/1", "newlines"),
        ("/linux/memoryPolicy", json!({"mode": "X"}), "/linux/memoryPolicy/mode", "not one of"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"}), "/linux/memoryPolicy/nodes", "at least"),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_LOCAL", "nodes": "0"}),
            "/linux/memoryPolicy/nodes",
            "empty",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "x"}),
            "/linux/memoryPolicy/nodes",
            "range",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}),
            "/linux/memoryPolicy/flags/0",
            "not one of",
        ),
        (
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "/linux/memoryPolicy/flags",
            "exclude",
        ),
        ("/linux/personality", json!({"domain": "BSD"}), "/linux/personality/domain", "not one of"),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["X"]}),
            "/linux/personality/flags/0",
            "not supported",
        ),
    ]);
}

fn namespace_case(kinds: &[&str], pointer: &'static str, words: &'static str) -> Case {
    let (place, value) = namespaces(kinds);
    (place, value, pointer, words)
}

#[test]
fn joined_namespaces_satisfy_the_rules_except_for_time_offsets() {
    let offsets = ("/linux/timeOffsets", json!({"monotonic": {"secs": -5}}));
    let time = |path: Option<&str>| json!({"type": "time", "path": path});
    let new = changed(&[offsets.clone(), ("/linux/namespaces/0", time(None))]);
    assert_eq!(validate(&new), (vec![], vec![]));
    let joined = changed(&[offsets, ("/linux/namespaces/0", time(Some("/proc/1/ns/time")))]);
    assert!(find(&validate(&joined).0, "/linux/timeOffsets", "joined").is_some());
    let uts = changed(&[("/linux/namespaces/3", json!({"type": "uts", "path": "/proc/1/ns/uts"}))]);
    assert_eq!(validate(&uts), (vec![], vec![]));
}

#[test]
fn sysctls_require_their_namespace() {
    let good = json!({"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "5",
        "kernel.domainname": "x", "net/ipv4/conf/eth0.1/forwarding": "0", "kernel.msgmax": "8192"});
    assert_eq!(validate(&changed(&[("/linux/sysctl", good.clone())])), (vec![], vec![]));
    let (errors, _) = validate(&changed(&[("/linux/sysctl", good), namespaces(&["mount"])]));
    for name in ["net.ipv4.ip_forward", "kernel.msgmax", "kernel.domainname"] {
        assert!(find(&errors, &format!("/linux/sysctl/{name}"), "namespace").is_some(), "{errors:?}");
    }
}

#[test]
fn rules_of_resources() {
    let r = "/linux/resources";
    let throttle = json!({"blockIO": {"throttleReadIOPSDevice": [{"major": -1, "minor": 0, "rate": 1}]}});
    let weight = json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}});
    each_is_an_error(vec![
        (
            r,
            json!({"devices": [{"allow": true, "type": "p"}]}),
            "/linux/resources/devices/0/type",
            "not one of",
        ),
        (
            r,
            json!({"devices": [{"allow": true, "access": "rx"}]}),
            "/linux/resources/devices/0/access",
            "composed",
        ),
        (r, json!({"devices": [{"allow": true, "major": -2}]}), "/linux/resources/devices/0/major", "-1"),
        (r, json!({"memory": {"limit": -2}}), "/linux/resources/memory/limit", "-1"),
        (r, json!({"memory": {"swappiness": 101}}), "/linux/resources/memory/swappiness", "100"),
        (r, json!({"memory": {"limit": 5, "swap": 4}}), "/linux/resources/memory/swap", "below"),
        (r, json!({"cpu": {"quota": 5, "burst": 6}}), "/linux/resources/cpu/burst", "quota"),
        (r, json!({"cpu": {"idle": 2}}), "/linux/resources/cpu/idle", "0 or 1"),
        (r, json!({"cpu": {"cpus": "0-"}}), "/linux/resources/cpu/cpus", "range"),
        (r, json!({"cpu": {"mems": "x"}}), "/linux/resources/cpu/mems", "range"),
        (r, json!({"blockIO": {"weight": 9}}), "/linux/resources/blockIO/weight", "1000"),
        (r, weight, "/linux/resources/blockIO/weightDevice/0", "leafWeight"),
        (r, throttle, "/linux/resources/blockIO/throttleReadIOPSDevice/0/major", "device number"),
        (r, json!({"pids": {"limit": -2}}), "/linux/resources/pids/limit", "-1"),
        (
            r,
            json!({"hugepageLimits": [{"pageSize": "2MiB", "limit": 1}]}),
            "/linux/resources/hugepageLimits/0/pageSize",
            "2MB",
        ),
        (
            r,
            json!({"network": {"priorities": [{"name": "", "priority": 1}]}}),
            "/linux/resources/network/priorities/0/name",
            "device name",
        ),
        (r, json!({"rdma": {"mlx5": {}}}), "/linux/resources/rdma/mlx5", "hcaObjects"),
        (r, json!({"unified": {"a/b": "1"}}), "/linux/resources/unified/a~1b", "file"),
    ]);
    let quiet = json!({"memory": {"limit": 0, "kernel": 0, "swap": -1}, "cpu": {"shares": 0, "quota": -1, "burst": 9},
        "blockIO": {"weight": 0}, "pids": {"limit": 0}, "hugepageLimits": [{"pageSize": "64KB", "limit": 0}],
        "devices": [{"allow": true, "type": "c", "major": 42, "minor": -1, "access": "rmw"}]});
    assert_eq!(validate(&changed(&[(r, quiet)])), (vec![], vec![]));
}

#[test]
fn rules_of_seccomp() {
    let s = "/linux/seccomp";
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    let argument = |index: u32, op: &str| {
        let args = json!([{"index": index, "value": 1, "op": op}]);
        rule(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "args": args}))
    };
    let default = "SCMP_ACT_ALLOW";
    each_is_an_error(vec![
        (s, json!({"defaultAction": "X"}), "/linux/seccomp/defaultAction", "not one of"),
        (s, json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "/linux/seccomp/defaultAction", "default action"),
        (
            s,
            json!({"defaultAction": default, "defaultErrnoRet": 1}),
            "/linux/seccomp/defaultErrnoRet",
            "no errno",
        ),
        (s, json!({"defaultAction": default, "flags": ["X"]}), "/linux/seccomp/flags/0", "not one of"),
        (
            s,
            json!({"defaultAction": default, "architectures": ["X"]}),
            "/linux/seccomp/architectures/0",
            "not one of",
        ),
        (
            s,
            json!({"defaultAction": default, "listenerMetadata": "x"}),
            "/linux/seccomp/listenerMetadata",
            "listenerPath",
        ),
        (
            s,
            json!({"defaultAction": default, "listenerPath": "x"}),
            "/linux/seccomp/listenerPath",
            "absolute",
        ),
        (s, rule(json!({"names": ["a"], "action": "X"})), "/linux/seccomp/syscalls/0/action", "not one of"),
        (s, rule(json!({"names": [], "action": default})), "/linux/seccomp/syscalls/0/names", "at least one"),
        (
            s,
            rule(json!({"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096})),
            "/linux/seccomp/syscalls/0/errnoRet",
            "4095",
        ),
        (
            s,
            rule(json!({"names": ["a"], "action": "SCMP_ACT_NOTIFY"})),
            "/linux/seccomp/listenerPath",
            "required",
        ),
        (
            s,
            rule(json!({"names": ["read", "open"], "action": "SCMP_ACT_NOTIFY"})),
            "/linux/seccomp/listenerPath",
            "required by SCMP_ACT_NOTIFY",
        ),
        (s, argument(6, "SCMP_CMP_EQ"), "/linux/seccomp/syscalls/0/args/0/index", "0 to 5"),
        (s, argument(5, "=="), "/linux/seccomp/syscalls/0/args/0/op", "not one of"),
    ]);
    let trace = rule(json!({"names": ["a"], "action": "SCMP_ACT_TRACE", "errnoRet": 65535}));
    assert_eq!(validate(&changed(&[(s, trace)])), (vec![], vec![]));
}

#[test]
fn no_filter_notifies_of_write() {
    let profile = |name: &str| {
        json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent",
            "syscalls": [{"names": ["read", name], "action": "SCMP_ACT_NOTIFY"}]})
    };
    each_is_an_error(vec![(
        "/linux/seccomp",
        profile("write"),
        "/linux/seccomp/syscalls/0/names/1",
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    )]);
    assert_eq!(validate(&changed(&[("/linux/seccomp", profile("writev"))])).0, vec![]);
}

#[test]
fn what_is_only_a_warning() {
    let sets = "/process/capabilities";
    let device = |path: &str| json!({"path": path, "type": "c", "major": 1, "minor": 3});
    for (place, value, pointer, words) in [
        ("/ociVersion", json!("1.9.0"), "/ociVersion", "newer"),
        ("/mounts/0/destination", json!("proc"), "/mounts/0/destination", "deprecated"),
        (sets, json!({"bounding": ["CAP_NOPE"]}), "/process/capabilities/bounding/0", "unknown capability"),
        (sets, json!({"ambient": ["CAP_KILL"]}), "/process/capabilities/ambient/0", "cannot be ambient"),
        (
            sets,
            json!({"effective": ["CAP_KILL"]}),
            "/process/capabilities/effective/0",
            "cannot be effective",
        ),
        ("/linux/devices", json!([device("/a"), device("/b")]), "/linux/devices/1", "same device as /a"),
        ("/linux/devices", json!([device("/a"), device("/a")]), "/linux/devices/1/path", "twice"),
        ("/linux/intelRdt", json!({"l3CacheSchema": "x"}), "/linux/intelRdt/l3CacheSchema", "L3:"),
        (
            "/linux/resources",
            json!({"memory": {"kernelTCP": 5}}),
            "/linux/resources/memory/kernelTCP",
            "deprecated",
        ),
    ] {
        let (errors, warnings) = validate(&changed(&[(place, value)]));
        assert_eq!(errors, [], "{pointer}");
        assert!(find(&warnings, pointer, words).is_some(), "no {pointer} {words:?} in {warnings:?}");
    }
}
