//! Features of `/process`, and the filter.

use super::dice::Dice;
use kit::{Bundle, Value, json};

pub(super) fn user<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let (uid, gid) = (dice.pick(&[0, 1, 1000, 4321]), dice.pick(&[0, 5, 1000]));
    bundle.set("/process/user", json!({"uid": uid, "gid": gid}))
}

pub(super) fn groups<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let groups = dice.some(&[0, 1, 5, 100, 1000, 4999]);
    bundle.set("/process/user/additionalGids", groups)
}

pub(super) fn umask<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/user/umask", dice.pick(&[0, 0o22, 0o27, 0o77, 0o777]))
}

pub(super) fn working_directory<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set(
        "/process/cwd",
        dice.pick(&["/", "/tmp", "/var/lib/data", "/made", "/made/deep", "/tmp/../etc", "/mnt/"]),
    )
}

pub(super) fn environment<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = ["HOME=/somewhere", "HOME=", "A=1", "A=2", "B=", "C=a=b", "PATH=/", "TERM=dumb", "D=\u{e9}"];
    dice.some(&all).into_iter().fold(bundle, |bundle, one| bundle.push("/process/env", one))
}

pub(super) fn rlimits<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn new_privileges<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/noNewPrivileges", false)
}

pub(super) fn capabilities<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn oom_score<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/process/oomScoreAdj", dice.pick(&[0, 1, 500, 1000]))
}

pub(super) fn scheduler<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let policy = dice.pick(&["SCHED_OTHER", "SCHED_BATCH", "SCHED_IDLE"]);
    bundle.set("/process/scheduler", json!({"policy": policy, "nice": dice.pick(&[0, 1, 19])}))
}

pub(super) fn io_priority<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let class = dice.pick(&["IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]);
    bundle.set("/process/ioPriority", json!({"class": class, "priority": dice.below(8)}))
}

pub(super) fn personality<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.set("/linux/personality", json!({"domain": "LINUX"}))
}

pub(super) fn seccomp<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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
