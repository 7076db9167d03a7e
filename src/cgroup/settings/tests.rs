use super::setting::*;
use super::*;
use crate::Result;
use crate::bundle::spec::Resources;
use crate::bundle::spec::{
    BlockIo, Cpu, InterfacePriority, Memory, Network, Pids, ThrottleDevice, WeightDevice,
};
use crate::cgroup::controller::Controller;
use crate::cgroup::dir::Dir;
use crate::cgroup::layout::Layout;
use crate::cgroup::options::CgroupOptions;
use crate::cgroup::testing::TempDir;
use crate::cgroup::version::CgroupVersion;
use std::fmt::Write as _;
use std::path::Path;

/// A fake host: its mounts, and `cgroup.controllers` of its cgroup2 mount.
fn host(mounts: &[(&str, &str)], unified: &str) -> (TempDir, Layout) {
    let dir = TempDir::new("settings");
    let mut text = String::new();
    for (i, (mount, options)) in mounts.iter().enumerate() {
        let kind = if options.is_empty() { "cgroup2" } else { "cgroup" };
        let _ = writeln!(text, "{} 1 0:{i} / {mount} rw - {kind} x rw,{options}", i + 10);
        std::fs::create_dir_all(dir.path().join(mount.trim_start_matches('/'))).unwrap();
        if kind == "cgroup2" {
            std::fs::write(
                dir.path().join(mount.trim_start_matches('/')).join("cgroup.controllers"),
                unified,
            )
            .unwrap();
        }
    }
    std::fs::write(dir.path().join("mountinfo"), text).unwrap();
    let layout = Layout::detect_in(dir.path(), dir.path()).unwrap().unwrap();
    (dir, layout)
}

fn v1() -> (TempDir, Layout) {
    let names = [
        "cpu,cpuacct",
        "cpuset",
        "memory",
        "devices",
        "pids",
        "blkio",
        "hugetlb",
        "net_cls,net_prio",
        "rdma",
    ];
    let mounts: Vec<(String, &str)> = names.iter().map(|n| (format!("/cg/{n}"), *n)).collect();
    let mounts: Vec<(&str, &str)> = mounts.iter().map(|(m, n)| (m.as_str(), *n)).collect();
    host(&mounts, "")
}

fn v2() -> (TempDir, Layout) {
    host(&[("/cg", "")], "cpuset cpu io memory hugetlb pids rdma\n")
}

fn compile(layout: &Layout, json: &str) -> Result<Settings> {
    let resources = Resources::from_json(json.as_bytes()).unwrap();
    compile_settings(layout, &resources, &CgroupOptions { device_filter: false, optional: false })
}

fn lines(layout: &Layout, json: &str) -> Vec<String> {
    let settings = compile(layout, json).unwrap();
    settings.entries().iter().map(|s| format!("{}={}", s.file, s.value)).collect()
}

fn refusal(layout: &Layout, json: &str) -> (String, String) {
    let e = compile(layout, json).unwrap_err();
    (e.pointer().unwrap_or_default().to_owned(), e.to_string())
}

#[test]
fn memory_limits_become_files() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    let json =
        r#"{"memory":{"limit":100,"swap":150,"reservation":50,"swappiness":7,"disableOOMKiller":true}}"#;
    assert_eq!(
        lines(&v1, json),
        [
            "memory.limit_in_bytes=100",
            "memory.memsw.limit_in_bytes=150",
            "memory.soft_limit_in_bytes=50",
            "memory.oom_control=1",
            "memory.swappiness=7"
        ]
    );
    let json = r#"{"memory":{"limit":100,"swap":150,"reservation":50}}"#;
    assert_eq!(lines(&v2, json), ["memory.swap.max=50", "memory.max=100", "memory.low=50"]);
    assert_eq!(lines(&v2, r#"{"memory":{"limit":100,"swap":100}}"#), ["memory.swap.max=0", "memory.max=100"]);
    assert_eq!(lines(&v2, r#"{"memory":{"limit":-1}}"#), ["memory.swap.max=max", "memory.max=max"]);
    assert_eq!(
        lines(&v1, r#"{"memory":{"limit":-1}}"#),
        ["memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1"]
    );
    assert_eq!(lines(&v2, r#"{"memory":{"limit":9,"swap":-1}}"#), ["memory.swap.max=max", "memory.max=9"]);
    // Zero leaves a limit unchanged.
    let zero = r#"{"memory":{"limit":0,"swap":0,"reservation":0,"kernel":0},"cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""},"blockIO":{"weight":0}}"#;
    assert_eq!((lines(&v1, zero).len(), lines(&v2, zero).len()), (0, 0));
}

#[test]
fn memory_limits_that_cannot_be_enforced_are_rejected() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    for layout in [&v1, &v2] {
        let (pointer, text) = refusal(layout, r#"{"memory":{"limit":100,"swap":50}}"#);
        assert_eq!(pointer, "/linux/resources/memory/swap");
        assert!(text.contains("memory+swap limit should be >= memory limit"), "{text}");
    }
    assert!(refusal(&v1, r#"{"memory":{"swappiness":101}}"#).1.contains("valid range is 0-100"));
    assert_eq!(refusal(&v2, r#"{"memory":{"swap":50}}"#).0, "/linux/resources/memory/swap");
    assert_eq!(refusal(&v2, r#"{"memory":{"swappiness":60}}"#).0, "/linux/resources/memory/swappiness");
    let json = r#"{"memory":{"disableOOMKiller":true}}"#;
    assert_eq!(refusal(&v2, json).0, "/linux/resources/memory/disableOOMKiller");
    assert_eq!(
        lines(&v2, r#"{"memory":{"disableOOMKiller":false,"swappiness":18446744073709551615}}"#).len(),
        0
    );
}

#[test]
fn deprecated_kernel_memory_warns() {
    for (_dir, layout) in [v1(), v2()] {
        let settings = compile(&layout, r#"{"memory":{"kernel":5,"kernelTCP":6}}"#).unwrap();
        assert!(settings.entries().is_empty());
        assert_eq!(settings.warnings().len(), 2);
        assert!(settings.warnings()[1].contains("/linux/resources/memory/kernelTCP"));
    }
}

#[test]
fn cpu_limits_become_files() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    let json = r#"{"cpu":{"shares":1024,"quota":50000,"period":100000,"burst":1000,"idle":0,"cpus":"0-1","mems":"0"}}"#;
    assert_eq!(
        lines(&v1, json),
        [
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_burst_us=1000",
            "cpu.cfs_quota_us=50000",
            "cpu.idle=0",
            "cpuset.cpus=0-1",
            "cpuset.mems=0"
        ]
    );
    assert_eq!(
        lines(&v2, json),
        [
            "cpu.weight=100",
            "cpu.max.burst=1000",
            "cpu.max=50000 100000",
            "cpu.idle=0",
            "cpuset.cpus=0-1",
            "cpuset.mems=0"
        ]
    );
    assert_eq!(lines(&v2, r#"{"cpu":{"quota":-1}}"#), ["cpu.max=max"]);
    let realtime = r#"{"cpu":{"realtimeRuntime":5,"realtimePeriod":6}}"#;
    assert_eq!(lines(&v1, realtime), ["cpu.rt_period_us=6", "cpu.rt_runtime_us=5"]);
    assert_eq!(refusal(&v2, realtime).0, "/linux/resources/cpu/realtimeRuntime");
    let far = |shares: u64| format!(r#"{{"cpu":{{"shares":{shares}}}}}"#);
    assert!(refusal(&v1, &far(1)).1.contains("the minimum allowed cpu-shares is 2"));
    assert!(refusal(&v1, &far(262_145)).1.contains("the maximum allowed cpu-shares is 262144"));
    assert_eq!(lines(&v2, &far(1)), ["cpu.weight=1"]);
    assert_eq!(lines(&v2, &far(999_999)), ["cpu.weight=10000"]);
}

/// The specification's own example has it. Newer kernels take no other value than `1`, and v2 has no such file.
#[test]
fn use_hierarchy_is_accepted_with_either_value() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    for (value, line) in [("true", "memory.use_hierarchy=1"), ("false", "memory.use_hierarchy=0")] {
        let json = format!(r#"{{"memory":{{"useHierarchy":{value}}}}}"#);
        assert_eq!(lines(&v1, &json), [line]);
        assert_eq!(lines(&v2, &json).len(), 0);
    }
}

#[test]
fn a_pids_limit_of_zero_is_zero() {
    for (_dir, layout) in [v1(), v2()] {
        assert_eq!(lines(&layout, r#"{"pids":{"limit":0}}"#), ["pids.max=0"]);
        assert_eq!(lines(&layout, r#"{"pids":{"limit":-1}}"#), ["pids.max=max"]);
        assert_eq!(lines(&layout, r#"{"pids":{}}"#).len(), 0);
    }
}

#[test]
fn block_io_limits_become_files() {
    let device = |rate| ThrottleDevice { major: 8, minor: 16, rate };
    let io = BlockIo {
        weight: Some(500),
        weight_device: vec![WeightDevice { major: 8, minor: 0, weight: Some(10), leaf_weight: None }],
        throttle_read_bps_device: vec![device(5)],
        throttle_write_iops_device: vec![device(0)],
        ..BlockIo::default()
    };
    let mut resources = Resources { block_io: Some(io), ..Resources::default() };
    let options = CgroupOptions { device_filter: false, optional: false };
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    let show = |layout, resources: &Resources| -> Vec<String> {
        let settings = compile_settings(layout, resources, &options).unwrap();
        settings.entries().iter().map(|s| format!("{}={}", s.file, s.value)).collect()
    };
    assert_eq!(
        show(&v1, &resources),
        [
            "blkio.weight=500",
            "blkio.weight_device=8:0 10",
            "blkio.throttle.read_bps_device=8:16 5",
            "blkio.throttle.write_iops_device=8:16 0"
        ]
    );
    assert_eq!(
        show(&v2, &resources),
        ["io.bfq.weight=500", "io.bfq.weight=8:0 10", "io.max=8:16 rbps=5", "io.max=8:16 wiops=max"]
    );
    resources.block_io.as_mut().unwrap().leaf_weight = Some(20);
    assert!(show(&v1, &resources).contains(&"blkio.leaf_weight=20".to_owned()));
    let e = compile_settings(&v2, &resources, &options).unwrap_err();
    assert_eq!(e.pointer(), Some("/linux/resources/blockIO/leafWeight"));
}

#[test]
fn hugetlb_rdma_and_network_limits_become_files() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    let json =
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4}],"rdma":{"mlx":{"hcaHandles":3,"hcaObjects":9}}}"#;
    assert_eq!(
        lines(&v1, json),
        [
            "hugetlb.2MB.limit_in_bytes=4",
            "hugetlb.2MB.rsvd.limit_in_bytes=4",
            "rdma.max=mlx hca_handle=3 hca_object=9"
        ]
    );
    assert_eq!(lines(&v2, json)[..2], ["hugetlb.2MB.max=4", "hugetlb.2MB.rsvd.max=4"]);
    assert_eq!(
        refusal(&v1, r#"{"hugepageLimits":[{"pageSize":"../x","limit":4}]}"#).0,
        "/linux/resources/hugepageLimits/0/pageSize"
    );
    let network = Network {
        class_id: Some(7),
        priorities: vec![InterfacePriority { name: "eth0".into(), priority: 5 }],
    };
    let resources = Resources { network: Some(network), ..Resources::default() };
    let options = CgroupOptions { device_filter: false, optional: false };
    let settings = compile_settings(&v1, &resources, &options).unwrap();
    let values: Vec<_> = settings.entries().iter().map(|s| s.value.as_str()).collect();
    assert_eq!(values, ["7", "eth0 5"]);
    let e = compile_settings(&v2, &resources, &options).unwrap_err();
    assert_eq!(e.pointer(), Some("/linux/resources/network/classID"));
}

#[test]
fn unified_values_become_files() {
    let (_a, v1) = v1();
    let (_b, v2) = v2();
    let json = r#"{"unified":{"memory.high":"5","io.max":"8:0 rbps=1\n8:16 rbps=2","cgroup.max.depth":"3"}}"#;
    assert_eq!(
        lines(&v2, json),
        ["cgroup.max.depth=3", "io.max=8:0 rbps=1", "io.max=8:16 rbps=2", "memory.high=5"]
    );
    let (pointer, text) = refusal(&v1, json);
    assert!(pointer.starts_with("/linux/resources/unified/") && text.contains("cgroup v2"), "{text}");
    let (_c, hybrid) = host(&[("/cg/memory", "memory"), ("/cg/unified", "")], "");
    for layout in [&v1, &hybrid] {
        let text = refusal(layout, r#"{"unified":{"memory.high":"5"}}"#).1;
        assert!(text.contains("invalid configuration: cannot use unified on cgroup v1"), "{text}");
    }
    assert_eq!(refusal(&v2, r#"{"unified":{"a/b.c":"5"}}"#).0, "/linux/resources/unified/a~1b.c");
    assert!(refusal(&v2, r#"{"unified":{"misc.max":"5"}}"#).1.contains("controller misc is not available"));
    assert!(compile(&v2, r#"{"unified":{"noname":"5"}}"#).is_err());
}

#[test]
fn core_files_that_limit_nothing_are_refused() {
    let (_dir, v2) = v2();
    for (file, value, why) in [
        ("cgroup.type", "threaded", "a threaded cgroup has no limit of memory"),
        ("cgroup.procs", "1", "moves a process"),
        ("cgroup.threads", "1", "moves a process"),
        ("cgroup.kill", "1", "kills"),
        ("cgroup.freeze", "1", "pause"),
    ] {
        let (pointer, text) = refusal(&v2, &format!(r#"{{"unified":{{"{file}":"{value}"}}}}"#));
        assert_eq!(pointer, format!("/linux/resources/unified/{file}"));
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn missing_controllers_are_named() {
    let (_a, layout) = host(&[("/cg/cpu", "cpu")], "");
    for (json, pointer, name) in [
        (r#"{"memory":{"limit":5}}"#, "/linux/resources/memory", "memory"),
        (r#"{"pids":{"limit":5}}"#, "/linux/resources/pids/limit", "pids"),
        (r#"{"cpu":{"cpus":"0"}}"#, "/linux/resources/cpu/cpus", "cpuset"),
        (r#"{"rdma":{"a/b":{"hcaHandles":1}}}"#, "/linux/resources/rdma/a~1b", "rdma"),
    ] {
        let (at, text) = refusal(&layout, json);
        assert_eq!(at, pointer);
        assert!(text.contains(&format!("the {name} controller is not available")), "{text}");
    }
    let e = compile_settings(&layout, &Resources::default(), &CgroupOptions::default()).unwrap_err();
    assert_eq!(e.pointer(), Some("/linux/resources/devices"));
}

#[test]
fn a_hybrid_host_has_each_controller_in_one_hierarchy() {
    let (_dir, layout) =
        host(&[("/cg/memory", "memory"), ("/cg/devices", "devices"), ("/cg/unified", "")], "hugetlb\n");
    let memory =
        Resources { memory: Some(Memory { limit: Some(1), ..Memory::default() }), ..Resources::default() };
    let settings = compile_settings(&layout, &memory, &CgroupOptions::default()).unwrap();
    assert!(!settings.needs_unified() && settings.devices().is_some());
    let huge = compile(&layout, r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4}]}"#).unwrap();
    assert!(huge.needs_unified());
    assert_eq!(huge.entries()[0].version, CgroupVersion::V2);
    let path = crate::cgroup::CgroupPath::new("/a").unwrap();
    let record = crate::cgroup::Cgroup::plan(&layout, &path).unwrap();
    assert!(record.unified.as_ref().unwrap().ends_with("cg/unified/a"), "also without limits there");
    assert_eq!(record.paths().count(), 3);
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<crate::cgroup::CgroupRecord>(&json).unwrap(), record);
}

#[test]
fn values_are_written_according_to_their_policies() {
    let dir = TempDir::new("write");
    let at = |file: &str, value: &str, policy| Setting {
        version: CgroupVersion::V2,
        controller: Some(Controller::Cpu),
        file: file.to_owned().into(),
        value: value.into(),
        pointer: "/linux/resources/cpu/x".into(),
        policy,
    };
    let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
    std::fs::write(dir.path().join("cpu.max"), "5000 100000\n").unwrap();
    std::fs::write(dir.path().join("io.weight"), "").unwrap();
    let settings = [
        at("cpu.max", "20000", WritePolicy::KeepQuota),
        at("io.bfq.weight", "10", WritePolicy::Substitute("io.weight", "1".into())),
        at("memory.swap.max", "0", WritePolicy::IfSupported),
    ];
    let cgroup = Dir::open(dir.path()).unwrap();
    write_all(cgroup.at(), settings.iter()).unwrap();
    assert!(read("cpu.max").starts_with("5000 20000"));
    assert_eq!(read("io.weight"), "1");
    let e = write_all(cgroup.at(), [at("absent", "5", WritePolicy::Required)].iter()).unwrap_err();
    let text = e.to_string();
    assert_eq!((e.pointer(), e.errno()), (Some("/linux/resources/cpu/x"), Some(nix::errno::Errno::ENOENT)));
    assert!(
        text.contains("absent") && text.contains("\"5\"") && Path::new(e.object().unwrap()).is_absolute(),
        "{text}"
    );
}

#[test]
fn empty_resources_need_no_files() {
    let (_a, v2) = v2();
    let resources =
        Resources { cpu: Some(Cpu::default()), pids: Some(Pids::default()), ..Resources::default() };
    let settings = compile_settings(&v2, &resources, &CgroupOptions::default()).unwrap();
    assert!(settings.entries().is_empty() && settings.needs_unified());
}

/// The files of a fake cgroup, with an update of it.
fn update(files: &[(&str, &str)], json: &str) -> (TempDir, Result<()>) {
    let (_host, layout) = v1();
    let settings = compile(&layout, json).unwrap();
    let dir = TempDir::new("update");
    for (file, text) in files {
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    let cgroup = Dir::open(dir.path()).unwrap();
    let mut change = LimitTransaction::default();
    let done = change.write(cgroup.at(), settings.entries().iter()).and_then(|()| change.verify());
    let done = done.map_err(|e| change.undo(e));
    (dir, done)
}

fn text(dir: &TempDir, file: &str) -> String {
    std::fs::read_to_string(dir.path().join(file)).unwrap()
}

#[test]
fn an_update_writes_only_what_changes() {
    let files = [("memory.limit_in_bytes", "999424\n"), ("pids.max", "6\n")];
    let (dir, done) = update(&files, r#"{"memory": {"limit": 1000000}, "pids": {"limit": 7}}"#);
    done.unwrap();
    assert_eq!(text(&dir, "memory.limit_in_bytes"), "999424\n", "the same pages");
    assert_eq!(text(&dir, "pids.max"), "7\n");
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let files = [("memory.limit_in_bytes", "8192"), ("cpu.shares", "300")];
    let (dir, done) =
        update(&files, r#"{"memory": {"limit": 4096}, "cpu": {"shares": 400}, "pids": {"limit": 7}}"#);
    let error = done.unwrap_err();
    assert!(error.to_string().contains("pids.max"), "{error}");
    assert_eq!(
        (text(&dir, "memory.limit_in_bytes"), text(&dir, "cpu.shares")),
        ("8192".into(), "300".into())
    );
}

#[test]
fn updated_values_are_read_back() {
    // The new value overwrites only the beginning of the longer text.
    let (_dir, done) = update(&[("pids.max", "100\n")], r#"{"pids": {"limit": 5}}"#);
    let error = done.unwrap_err().to_string();
    assert!(error.contains(r#"wanted "5", the kernel has "500""#), "{error}");
    assert!(error.contains("pids.max"), "{error}");
}

#[test]
fn a_controller_that_was_not_delegated_is_named() {
    let (_host, layout) = v2();
    let settings = compile(&layout, r#"{"pids": {"limit": 5}}"#).unwrap();
    let dir = TempDir::new("delegated");
    for (controllers, hint) in
        [("cpu memory\n", "the pids controller is not enabled"), ("cpu pids\n", "has no such file")]
    {
        std::fs::write(dir.path().join("cgroup.controllers"), controllers).unwrap();
        let cgroup = Dir::open(dir.path()).unwrap();
        let error = LimitTransaction::default().write(cgroup.at(), settings.entries().iter()).unwrap_err();
        assert!(error.hint().is_some_and(|h| h.contains(hint)), "{error}");
    }
}
