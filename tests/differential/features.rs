//! Parts of a configuration. Each one is valid with and without any other.

use super::dice::Dice;
use kit::{Bundle, Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A part of a configuration.
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    /// In how many of a hundred configurations it is.
    pub(crate) weight: u64,
    pub(crate) apply: for<'t> fn(&mut Dice, Bundle<'t>) -> Bundle<'t>,
}

impl std::fmt::Debug for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! features {
    ($($name:ident $weight:literal,)*) => {
        /// All features.
        pub(crate) static FEATURES: &[Feature] =
            &[$(Feature { name: stringify!($name), weight: $weight, apply: $name },)*];
    };
}

features! {
    user_namespace 15,
    user 30,
    groups 20,
    umask 15,
    working_directory 20,
    environment 30,
    rlimits 25,
    new_privileges 30,
    capabilities 40,
    oom_score 15,
    scheduler 10,
    io_priority 8,
    personality 4,
    writable_root 50,
    root_propagation 15,
    names 15,
    no_uts_namespace 8,
    no_ipc_namespace 8,
    no_network_namespace 10,
    no_cgroup_namespace 20,
    no_pid_namespace 5,
    time_namespace 6,
    tmpfs_mounts 35,
    bind_mounts 45,
    nested_mounts 15,
    file_mount 25,
    shared_memory 15,
    proc_options 6,
    writable_sys 8,
    cgroup_mount 25,
    masked_paths 30,
    readonly_paths 30,
    no_masks 8,
    devices 20,
    device_rules 15,
    sysctls 15,
    memory_limits 15,
    cpu_limits 15,
    process_limit 15,
    seccomp 25,
    image 20,
    annotations 10,
}

/// What every configuration has: a probe that looks at everything.
pub(crate) fn base(bundle: Bundle<'_>) -> Bundle<'_> {
    for directory in ["etc", "tmp", "var/lib/data", "proc", "sys", "dev", "mnt"] {
        fs::create_dir_all(bundle.path(directory)).unwrap();
    }
    fs::write(bundle.path("etc/passwd"), "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
        .unwrap();
    fs::set_permissions(bundle.path("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut words = vec!["report".to_owned()];
    let mut look = |verb: &str, paths: &[&str]| {
        words.extend(paths.iter().map(|path| format!(", {verb} {path}")));
    };
    look("list", &["/", "/dev", "/mnt", "/var/lib/data", "/sys/fs/cgroup"]);
    look(
        "stat",
        &[
            "/mnt",
            "/var/lib/data",
            "/tmp",
            "/etc/file",
            "/dev/null",
            "/dev/shm",
            "/made",
            "/made/deep",
            "/proc/keys",
            "/proc/timer_list",
        ],
    );
    look(
        "read",
        &[
            "/proc/sys/net/ipv4/ip_unprivileged_port_start",
            "/proc/sys/kernel/shm_rmid_forced",
            "/proc/sys/kernel/domainname",
            "/etc/file",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.swappiness",
            "/sys/fs/cgroup/cpu/cpu.shares",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
            "/sys/fs/cgroup/cpuset/cpuset.cpus",
            "/sys/fs/cgroup/pids/pids.max",
            "/sys/fs/cgroup/devices/devices.list",
        ],
    );
    look("open", &["/dev/null w", "/dev/full r", "/dev/made r", "/dev/kmsg r", "/dev/fuse r"]);
    look("mkdir", &["/new", "/tmp/new", "/mnt/new", "/proc/new", "/sys/new"]);
    look("write", &["/proc/sys/kernel/domainname x", "/proc/sysrq-trigger -", "/etc/file changed"]);
    bundle.probe(&words.join(" "))
}

fn user_namespace<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let bundle = bundle.user_namespace(200_000);
    if dice.coin() {
        bundle.set("/linux/gidMappings/0/size", 5000).set("/linux/uidMappings/0/size", 5000)
    } else {
        bundle
    }
}

fn user<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let (uid, gid) = (dice.pick(&[0, 1, 1000, 4321]), dice.pick(&[0, 5, 1000]));
    bundle.set("/process/user", json!({"uid": uid, "gid": gid}))
}

fn groups<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let groups = dice.some(&[0, 1, 5, 100, 1000, 4999]);
    bundle.set("/process/user/additionalGids", groups)
}

fn umask<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/user/umask", dice.pick(&[0, 0o22, 0o27, 0o77, 0o777]))
}

fn working_directory<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set(
        "/process/cwd",
        dice.pick(&["/", "/tmp", "/var/lib/data", "/made", "/made/deep", "/tmp/../etc", "/mnt/"]),
    )
}

fn environment<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = ["HOME=/somewhere", "HOME=", "A=1", "A=2", "B=", "C=a=b", "PATH=/", "TERM=dumb", "D=\u{e9}"];
    dice.some(&all).into_iter().fold(bundle, |bundle, one| bundle.push("/process/env", one))
}

fn rlimits<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = [
        ("RLIMIT_NOFILE", 64, 128),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_CPU", 50, 100),
        ("RLIMIT_STACK", 8_388_608, 16_777_216),
        ("RLIMIT_FSIZE", 1 << 30, 1 << 31),
        ("RLIMIT_MSGQUEUE", 1000, 2000),
        ("RLIMIT_MEMLOCK", 1 << 16, 1 << 16),
        ("RLIMIT_DATA", 1 << 33, 1 << 34),
    ];
    let limits: Vec<Value> = dice
        .some(&all)
        .into_iter()
        .map(|(kind, soft, hard): (&str, u64, u64)| json!({"type": kind, "soft": soft, "hard": hard}))
        .collect();
    bundle.set("/process/rlimits", limits)
}

fn new_privileges<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/noNewPrivileges", false)
}

fn capabilities<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FOWNER",
        "CAP_KILL",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_SYS_CHROOT",
        "CAP_SYS_PTRACE",
        "CAP_MKNOD",
        "CAP_SYS_ADMIN",
        "CAP_SETPCAP",
        "CAP_SYS_NICE",
    ];
    let bounding = dice.some(&all);
    let permitted = dice.some(&bounding);
    let effective = if dice.coin() { permitted.clone() } else { dice.some(&permitted) };
    let inheritable = dice.some(&permitted);
    let ambient = dice.some(&inheritable);
    let sets = json!({
        "bounding": bounding, "permitted": permitted, "effective": effective, "inheritable": inheritable, "ambient": ambient,
    });
    bundle.set("/process/capabilities", sets)
}

fn oom_score<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/oomScoreAdj", dice.pick(&[0, 1, 500, 1000]))
}

fn scheduler<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let policy = dice.pick(&["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE"]);
    bundle.set("/process/scheduler", json!({"policy": policy, "nice": dice.pick(&[0, 1, 19])}))
}

fn io_priority<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let class = dice.pick(&["IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]);
    bundle.set("/process/ioPriority", json!({"class": class, "priority": dice.below(8)}))
}

fn personality<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/linux/personality", json!({"domain": "LINUX"}))
}

fn writable_root<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/root/readonly", false)
}

fn root_propagation<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/linux/rootfsPropagation", dice.pick(&["private", "rprivate", "slave", "rslave"]))
}

fn names<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let bundle = bundle.namespace("uts").set("/hostname", dice.pick(&["", "name", "a.b.c"]));
    if dice.coin() { bundle.set("/domainname", "domain") } else { bundle }
}

fn no_uts_namespace<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.without_namespace("uts").remove("/hostname").remove("/domainname")
}

fn no_ipc_namespace<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.without_namespace("ipc").remove("/linux/sysctl")
}

fn no_network_namespace<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.without_namespace("network").remove("/linux/sysctl")
}

fn no_cgroup_namespace<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.without_namespace("cgroup")
}

fn no_pid_namespace<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.without_namespace("pid")
}

fn time_namespace<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let offsets = json!({"boottime": {"secs": dice.below(1000), "nanosecs": 5}, "monotonic": {"secs": 7}});
    bundle.namespace("time").set("/linux/timeOffsets", offsets)
}

/// At most one access time mode: of several, one runtime takes the last one, and another lets the kernel decide.
fn with_time(dice: &mut Dice, mut options: Vec<&'static str>) -> Vec<&'static str> {
    let mode = dice.pick(&["", "", "noatime", "strictatime", "relatime", "nodiratime"]);
    options.extend(Some(mode).filter(|mode| !mode.is_empty()));
    options
}

fn tmpfs_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = [
        "nosuid",
        "nodev",
        "noexec",
        "ro",
        "rw",
        "size=64k",
        "uid=5",
        "gid=7",
        "nr_inodes=50",
        "private",
        "rprivate",
        "slave",
        "sync",
        "exec",
        "dev",
    ];
    let at = dice.pick(&["/var/lib/data", "/made", "/made/deep", "/tmp"]);
    let mut options = dice.some(&all);
    options.extend(Some(dice.pick(&["", "mode=0700", "mode=1777"])).filter(|mode| !mode.is_empty()));
    bundle.mount("tmpfs", "tmpfs", at, &with_time(dice, options))
}

fn bind_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let source = bundle.dir().join("source");
    fs::create_dir_all(source.join("inside")).unwrap();
    fs::write(source.join("data"), "text").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).unwrap();
    let all = [
        "ro",
        "rw",
        "nosuid",
        "nodev",
        "noexec",
        "private",
        "rprivate",
        "slave",
        "rslave",
        "rro",
        "rnosuid",
        "suid",
        "exec",
        "nosymfollow",
    ];
    let mut options = vec![dice.pick(&["bind", "rbind"])];
    options.extend(dice.some(&all));
    let options = with_time(dice, options);
    let at = dice.pick(&["/mnt", "/bound", "/bound/deep", "/etc/../mnt", "mnt"]);
    bundle.mount(dice.pick(&["bind", "none", ""]), source, at, &options)
}

fn nested_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let at = dice.pick(&["/nested", "/opt"]);
    let bundle = bundle.mount("tmpfs", "tmpfs", at, &["mode=755"]);
    bundle.mount("tmpfs", "tmpfs", &format!("{at}/below/deep"), &["nosuid", "mode=711"])
}

fn file_mount<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let source = bundle.dir().join("file");
    fs::write(&source, "mounted").unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(dice.pick(&[0o644, 0o600, 0o666]))).unwrap();
    bundle.mount(
        "bind",
        source,
        "/etc/file",
        dice.pick(&[&["bind"][..], &["rbind", "ro"], &["bind", "rprivate"]]),
    )
}

fn shared_memory<'t>(dice: &mut Dice, mut bundle: Bundle<'t>) -> Bundle<'t> {
    let size = dice.pick(&["size=1m", "size=65536k", "size=10%"]);
    for n in 0..bundle.spec()["mounts"].as_array().map_or(0, Vec::len) {
        if bundle.spec()["mounts"][n]["destination"] == "/dev/shm" {
            bundle = bundle.set(
                &format!("/mounts/{n}/options"),
                json!(["nosuid", "noexec", "nodev", "mode=1777", size]),
            );
        }
    }
    bundle
}

fn proc_options<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let options = dice.pick(&[json!(["hidepid=2"]), json!(["nosuid", "noexec", "nodev"]), json!(["ro"])]);
    bundle.set("/mounts/0/options", options)
}

fn writable_sys<'t>(_: &mut Dice, mut bundle: Bundle<'t>) -> Bundle<'t> {
    for n in 0..bundle.spec()["mounts"].as_array().map_or(0, Vec::len) {
        if bundle.spec()["mounts"][n]["destination"] == "/sys" {
            bundle = bundle.set(&format!("/mounts/{n}/options"), json!(["nosuid", "noexec", "nodev"]));
        }
    }
    bundle
}

fn cgroup_mount<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let options = ["nosuid", "noexec", "nodev", "relatime", dice.pick(&["ro", "rw"])];
    bundle.mount("cgroup", "cgroup", "/sys/fs/cgroup", &options)
}

fn masked_paths<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = [
        "/proc/keys",
        "/proc/timer_list",
        "/proc/acpi",
        "/sys/firmware",
        "/not/there",
        "/tmp",
        "/proc/kcore",
    ];
    bundle.set("/linux/maskedPaths", dice.some(&all))
}

fn readonly_paths<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = ["/proc/sys", "/proc/bus", "/proc/sysrq-trigger", "/tmp", "/not/there", "/etc", "/mnt"];
    bundle.set("/linux/readonlyPaths", dice.some(&all))
}

fn no_masks<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths")
}

fn devices<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let (mode, uid, gid) = (dice.pick(&[0o600, 0o666, 0o640]), dice.pick(&[0, 1000]), dice.pick(&[0, 5]));
    let mut device = json!({"path": "/dev/made", "type": "c", "major": 1, "minor": 7, "fileMode": mode, "uid": uid, "gid": gid});
    for name in ["fileMode", "uid", "gid"] {
        if dice.coin() {
            device.as_object_mut().unwrap().remove(name);
        }
    }
    let bundle = if bundle.spec()["linux"]["uidMappings"].is_null() {
        bundle.set("/linux/devices", json!([device]))
    } else {
        bundle
    };
    if dice.coin() {
        let pipe = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o620});
        if bundle.spec()["linux"]["uidMappings"].is_null() {
            bundle.push("/linux/devices", pipe)
        } else {
            bundle
        }
    } else {
        bundle
    }
}

fn device_rules<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    let all = [
        json!({"allow": true, "type": "c", "major": 1, "minor": 7, "access": "r"}),
        json!({"allow": true, "type": "c", "major": 1, "access": "rwm"}),
        json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"}),
        json!({"allow": false, "type": "c", "major": 1, "minor": 7, "access": "w"}),
        json!({"allow": true, "type": "b", "access": "m"}),
    ];
    rules.extend(dice.some(&all));
    bundle.set("/linux/resources/devices", rules)
}

fn sysctls<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let mut all = json!({});
    let namespaces = bundle.spec()["linux"]["namespaces"].to_string();
    if namespaces.contains("network") {
        all["net.ipv4.ip_unprivileged_port_start"] = json!(dice.pick(&["0", "80", "1024"]));
    }
    if namespaces.contains("ipc") {
        all["kernel.shm_rmid_forced"] = json!(dice.pick(&["0", "1"]));
    }
    bundle.set("/linux/sysctl", all)
}

fn memory_limits<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let limit = dice.pick(&[64 << 20, 128 << 20, 1_000_000_000_i64]);
    let bundle = bundle.set("/linux/resources/memory/limit", limit);
    match dice.below(4) {
        0 => bundle.set("/linux/resources/memory/swap", 2 * limit),
        1 => bundle.set("/linux/resources/memory/reservation", limit / 2),
        2 => bundle.set("/linux/resources/memory/swappiness", dice.below(101)),
        _ => bundle,
    }
}

fn cpu_limits<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    match dice.below(4) {
        0 => bundle.set("/linux/resources/cpu", json!({"shares": dice.pick(&[2, 512, 1024, 262_144])})),
        1 => bundle
            .set("/linux/resources/cpu", json!({"quota": 50_000, "period": dice.pick(&[50_000, 100_000])})),
        2 => bundle.set("/linux/resources/cpu", json!({"cpus": dice.pick(&["0", "0-1"]), "mems": "0"})),
        _ => bundle.set("/linux/resources/cpu", json!({"period": 50_000})),
    }
}

fn process_limit<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/linux/resources/pids/limit", dice.pick(&[-1, 64, 1000]))
}

fn seccomp<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let names = dice.some(&["mkdir", "mkdirat", "sethostname", "not_a_call", "openat2", "fchmodat"]);
    let action = dice.pick(&["SCMP_ACT_ERRNO", "SCMP_ACT_LOG"]);
    let mut rule = json!({"names": names, "action": action});
    if action == "SCMP_ACT_ERRNO" && dice.coin() {
        rule["errnoRet"] = json!(dice.pick(&[13, 38]));
    }
    if names.is_empty() {
        return bundle;
    }
    bundle.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
}

fn image<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    match dice.below(4) {
        0 => symlink("/var/lib/data", bundle.path("made")).unwrap(),
        1 => {
            fs::create_dir(bundle.path("made")).unwrap();
            fs::set_permissions(bundle.path("made"), fs::Permissions::from_mode(0o2751)).unwrap();
        }
        2 => fs::set_permissions(bundle.path("mnt"), fs::Permissions::from_mode(0o711)).unwrap(),
        _ => fs::write(bundle.path("etc/file"), "of the image").unwrap(),
    }
    bundle
}

fn annotations<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/annotations", json!({"some.key": "value"}))
}
