//! Parts of a configuration. Each one is valid with and without any other.

use super::dice::Dice;
use super::mounts::{
    bind_mounts, cgroup_mount, file_mount, image, masked_paths, nested_mounts, no_masks, proc_options,
    readonly_paths, shared_memory, tmpfs_mounts, writable_sys,
};
use super::process::{
    capabilities, environment, groups, io_priority, new_privileges, oom_score, personality, rlimits,
    scheduler, seccomp, umask, user, working_directory,
};
use kit::{Bundle, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

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

fn annotations<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/annotations", json!({"some.key": "value"}))
}
