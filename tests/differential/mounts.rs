//! Features of mounts, masks and the image.

use super::dice::Dice;
use kit::{Bundle, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// At most one access time mode: of several, one runtime takes the last one, and another lets the kernel decide.
fn with_time(dice: &mut Dice, mut options: Vec<&'static str>) -> Vec<&'static str> {
    let mode = dice.pick(&["", "", "noatime", "strictatime", "relatime", "nodiratime"]);
    options.extend(Some(mode).filter(|mode| !mode.is_empty()));
    options
}

pub(super) fn tmpfs_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn bind_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn nested_mounts<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let at = dice.pick(&["/nested", "/opt"]);
    let bundle = bundle.mount("tmpfs", "tmpfs", at, &["mode=755"]);
    bundle.mount("tmpfs", "tmpfs", &format!("{at}/below/deep"), &["nosuid", "mode=711"])
}

pub(super) fn file_mount<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn shared_memory<'t>(dice: &mut Dice, mut bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn proc_options<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let options = dice.pick(&[json!(["hidepid=2"]), json!(["nosuid", "noexec", "nodev"]), json!(["ro"])]);
    bundle.set("/mounts/0/options", options)
}

pub(super) fn writable_sys<'t>(_: &mut Dice, mut bundle: Bundle<'t>) -> Bundle<'t> {
    for n in 0..bundle.spec()["mounts"].as_array().map_or(0, Vec::len) {
        if bundle.spec()["mounts"][n]["destination"] == "/sys" {
            bundle = bundle.set(&format!("/mounts/{n}/options"), json!(["nosuid", "noexec", "nodev"]));
        }
    }
    bundle
}

pub(super) fn cgroup_mount<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let options = ["nosuid", "noexec", "nodev", "relatime", dice.pick(&["ro", "rw"])];
    bundle.mount("cgroup", "cgroup", "/sys/fs/cgroup", &options)
}

pub(super) fn masked_paths<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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

pub(super) fn readonly_paths<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    let all = ["/proc/sys", "/proc/bus", "/proc/sysrq-trigger", "/tmp", "/not/there", "/etc", "/mnt"];
    bundle.set("/linux/readonlyPaths", dice.some(&all))
}

pub(super) fn no_masks<'t>(_: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
    bundle.remove("/linux/maskedPaths").remove("/linux/readonlyPaths")
}

pub(super) fn image<'t>(dice: &mut Dice, bundle: Bundle<'t>) -> Bundle<'t> {
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
