//! Root file system and mounts.

use kit::{Bundle, Case, Test, Value, json};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        template_mounts,
        nothing_of_the_host_is_mounted,
        read_only_root,
        writable_root,
        absolute_root_path,
        bind_directory,
        bind_file,
        bind_read_only,
        bind_is_not_recursive,
        rbind_is_recursive,
        rbind_rro_is_recursive,
        bind_without_flags_keeps_those_of_its_source,
        bind_with_flags_loses_the_others_of_its_source,
        user_namespace_keeps_the_flags_of_a_source,
        mount_on_the_root_is_refused,
        bind_source_is_relative_to_the_bundle,
        bind_without_source_is_refused,
        bind_of_a_missing_source_is_refused,
        bind_of_a_file_on_a_directory_is_refused,
        missing_mount_points_are_created,
        mounts_stack_in_order,
        destination_link_stays_inside,
        destination_may_be_the_hosts_path,
        tmpfs_options_are_passed_on,
        tmpfs_without_mode_takes_that_of_the_directory,
        tmpcopyup_is_refused_on_a_bind,
        tmpfs_copy_up_copies_files,
        tmpfs_copy_up_copies_a_whole_tree,
        overlay_takes_layers_with_long_names,
        unknown_option_is_refused_on_a_bind,
        mount_label_without_selinux_is_refused,
        cgroup_mount_shows_the_containers_cgroup,
        cgroup_mount_in_a_cgroup_namespace,
        user_namespace_mounts,
    ]
}

pub(crate) fn mounted<'a>(seen: &'a Value, point: &str) -> &'a Value {
    let mut all = seen["mounts"].as_array().unwrap().iter().rev();
    all.find(|one| one["point"] == point)
        .unwrap_or_else(|| panic!("{point} is not a mount: {:#}", seen["mounts"]))
}

fn has(mount: &Value, option: &str) -> bool {
    ["options", "super"].iter().any(|list| mount[*list].as_array().unwrap().iter().any(|o| o == option))
}

/// A directory of the test with a file in it.
pub(crate) fn hold(t: &Test) -> PathBuf {
    let dir = t.dir().join("hold");
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join("cargo"), "tea").unwrap();
    dir
}

/// A tmpfs with restrictions, until the guard is dropped.
fn restricted(t: &Test) -> (PathBuf, Below) {
    let dir = hold(t);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
    mount(Some("tmpfs"), &dir, Some("tmpfs"), flags, None::<&str>).unwrap();
    (dir.clone(), Below(dir))
}

/// The flags of a bind mount of a restricted tmpfs.
fn flags_of_bind<'t>(
    t: &'t Test,
    source: &Path,
    options: &[&str],
    change: impl Fn(Bundle<'t>) -> Bundle<'t>,
) -> String {
    let seen = change(t.bundle()).directory("/hold").mount("bind", source, "/hold", options).report();
    let words = mounted(&seen, "/hold")["options"].as_array().unwrap();
    words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(",")
}

/// A tmpfs mounted below the directory, with a file, until the guard is dropped.
struct Below(PathBuf);

impl Below {
    fn new(dir: PathBuf) -> Self {
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        fs::write(dir.join("deep"), "water").unwrap();
        Self(dir)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn template_mounts(t: &Test) {
    let seen = t.bundle().report();
    let wanted = [
        ("/proc", "proc", vec!["rw"]),
        ("/dev", "tmpfs", vec!["rw", "nosuid", "size=65536k", "mode=755"]),
        ("/dev/pts", "devpts", vec!["rw", "nosuid", "noexec", "gid=5", "mode=620", "ptmxmode=666"]),
        ("/dev/shm", "tmpfs", vec!["rw", "nosuid", "nodev", "noexec", "size=65536k"]),
        ("/dev/mqueue", "mqueue", vec!["rw", "nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", vec!["ro", "nosuid", "nodev", "noexec"]),
    ];
    for (point, kind, options) in wanted {
        let found = mounted(&seen, point);
        assert_eq!(found["type"], kind, "{point}");
        for option in options {
            assert!(has(found, option), "{point} {option}: {found}");
        }
    }
    assert!(!has(mounted(&seen, "/dev"), "relatime"), "strictatime");
}

fn nothing_of_the_host_is_mounted(t: &Test) {
    let bundle = t.bundle();
    let seen = bundle.report();
    let root = mounted(&seen, "/");
    let rootfs = bundle.path("/");
    assert!(
        rootfs.to_string_lossy().trim_end_matches('/').ends_with(root["root"].as_str().unwrap()),
        "{root}"
    );
    for one in seen["mounts"].as_array().unwrap() {
        let point = one["point"].as_str().unwrap();
        let expected = ["/", "/proc", "/dev", "/sys"].contains(&point)
            || ["/proc/", "/dev/", "/sys/"].iter().any(|start| point.starts_with(start));
        assert!(expected, "{one}");
    }
    let count = seen["mounts"].as_array().unwrap().iter().filter(|one| one["point"] == "/").count();
    assert_eq!(count, 1, "mounts on /");
}

fn read_only_root(t: &Test) {
    let lines = t.bundle().probe("write /new text , mkdir /dir").run().lines();
    assert_eq!(lines[0]["errno"], "EROFS");
    assert_eq!(lines[1]["errno"], "EROFS");
}

fn writable_root(t: &Test) {
    let bundle = t.bundle().set("/root/readonly", false).probe("write /new text");
    assert_eq!(bundle.run().json()["errno"], "");
    assert_eq!(fs::read_to_string(bundle.path("/new")).unwrap(), "text");
}

fn absolute_root_path(t: &Test) {
    let bundle = t.bundle();
    let path = bundle.path("/").to_string_lossy().into_owned();
    bundle.set("/root/path", path).run();
}

fn bind_directory(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["bind"]);
    let lines = bundle.probe("read /hold/cargo , write /hold/new text").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(fs::read_to_string(t.dir().join("hold/new")).unwrap(), "text");
}

fn bind_file(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t).join("cargo"), "/etc/cargo", &["bind", "ro"]);
    let lines = bundle.probe("read /etc/cargo , write /etc/cargo x").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["errno"], "EROFS");
}

fn bind_read_only(t: &Test) {
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["rbind", "ro", "nosuid", "nodev"]);
    let lines = bundle.probe("write /hold/new text , report").run().lines();
    assert_eq!(lines[0]["errno"], "EROFS");
    for option in ["ro", "nosuid", "nodev"] {
        assert!(has(mounted(&lines[1], "/hold"), option), "{option}");
    }
}

fn bind_is_not_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["bind"]);
    assert_eq!(bundle.probe("read /hold/below/deep").run().json()["errno"], "ENOENT");
}

fn rbind_is_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["rbind", "ro"]);
    let lines = bundle.probe("read /hold/below/deep , write /hold/below/new x").run().lines();
    assert_eq!(lines[0]["read"], "water");
    assert_eq!(lines[1]["errno"], "", "ro applies to the top mount only");
}

fn rbind_rro_is_recursive(t: &Test) {
    let dir = hold(t);
    let _below = Below::new(dir.join("below"));
    let bundle = t.bundle().mount("bind", &dir, "/hold", &["rbind", "rro"]);
    let lines = bundle.probe("write /hold/new x , write /hold/below/new x").run().lines();
    assert_eq!((&lines[0]["errno"], &lines[1]["errno"]), (&json!("EROFS"), &json!("EROFS")));
}

fn bind_without_flags_keeps_those_of_its_source(t: &Test) {
    let (source, _guard) = restricted(t);
    for options in [&["bind"][..], &["rbind", "rprivate"], &["rbind", "rnoatime"]] {
        let flags = flags_of_bind(t, &source, options, |bundle| bundle);
        assert_eq!(flags, "rw,nosuid,nodev,noexec,noatime", "{options:?}");
    }
}

/// As a remount by mount(2): the access time mode stays unless another one is selected.
fn bind_with_flags_loses_the_others_of_its_source(t: &Test) {
    let (source, _guard) = restricted(t);
    for (options, wanted) in [
        (&["bind", "ro"][..], "ro,noatime"),
        (&["bind", "rw"], "rw,noatime"),
        (&["bind", "nodev"], "rw,nodev,noatime"),
        (&["bind", "suid"], "rw,noatime"),
        (&["bind", "relatime"], "rw,relatime"),
        (&["bind", "atime"], "rw,noatime"),
        (&["bind", "norelatime", "nosuid"], "rw,nosuid,noatime"),
        (&["bind", "noatime", "nostrictatime", "diratime"], "rw,noatime"),
        (&["bind", "strictatime", "atime"], "rw"),
        (&["bind", "nosuid", "nodiratime"], "rw,nosuid,nodiratime,relatime"),
        (&["rbind", "rro", "ratime"], "ro,nosuid,nodev,noexec,relatime"),
    ] {
        assert_eq!(flags_of_bind(t, &source, options, |bundle| bundle), wanted, "{options:?}");
    }
}

fn user_namespace_keeps_the_flags_of_a_source(t: &Test) {
    let (source, _guard) = restricted(t);
    for (options, wanted) in [
        (&["bind"][..], "rw,nosuid,nodev,noexec,noatime"),
        (&["bind", "ro"], "ro,nosuid,nodev,noexec,noatime"),
        (&["bind", "rw"], "rw,nosuid,nodev,noexec,noatime"),
        (&["bind", "atime", "norelatime"], "rw,nosuid,nodev,noexec,noatime"),
        (&["bind", "noatime", "ro"], "ro,nosuid,nodev,noexec,noatime"),
    ] {
        let flags = flags_of_bind(t, &source, options, |bundle| bundle.user_namespace(200_000));
        assert_eq!(flags, wanted, "{options:?}");
    }
    for (option, flag) in [("suid", "MS_NOSUID"), ("dev", "MS_NODEV"), ("exec", "MS_NOEXEC")] {
        let bundle = t.bundle().user_namespace(200_000).mount("bind", &source, "/hold", &["bind", option]);
        let said = format!("cannot clear locked flags {flag}");
        bundle.probe("exit 0").try_run().fails_with(1, &[&said, "EPERM", "/mounts/7"]);
    }
    for option in ["relatime", "strictatime", "nodiratime"] {
        let bundle = t.bundle().user_namespace(200_000).mount("bind", &source, "/hold", &["bind", option]);
        let said = ["locked access time mode", "EPERM", "/mounts/7"];
        bundle.probe("exit 0").try_run().fails_with(1, &said);
    }
    // The only attribute that is not locked.
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV | MsFlags::from_bits_retain(256);
    mount(None::<&str>, &source, None::<&str>, flags, None::<&str>).unwrap();
    let flags = flags_of_bind(t, &source, &["bind", "ro"], |bundle| bundle.user_namespace(200_000));
    assert_eq!(flags, "ro,nodev,noatime");
}

fn mount_on_the_root_is_refused(t: &Test) {
    for (kind, destination) in
        [("tmpfs", "/"), ("tmpfs", "//"), ("bind", "/."), ("proc", "/"), ("tmpfs", "/x/..")]
    {
        let bundle = t.bundle().mount(kind, hold(t), destination, &[]);
        bundle.probe("exit 0").try_run().fails_with(1, &["is on the top of rootfs", "/destination"]);
    }
}

fn bind_source_is_relative_to_the_bundle(t: &Test) {
    let bundle = t.bundle().mount("bind", "volume", "/hold", &["bind"]);
    fs::create_dir(bundle.dir().join("volume")).unwrap();
    fs::write(bundle.dir().join("volume/cargo"), "salt").unwrap();
    assert_eq!(bundle.probe("read /hold/cargo").run().json()["read"], "salt");
}

fn bind_without_source_is_refused(t: &Test) {
    t.only_orlop("it uses the bundle instead");
    let bundle =
        t.bundle().push("/mounts", json!({"destination": "/hold", "type": "bind", "options": ["bind"]}));
    bundle.try_run().refused(&[]);
}

fn bind_of_a_missing_source_is_refused(t: &Test) {
    let source = t.dir().join("not-there");
    let fragments = [source.to_string_lossy().into_owned(), "no such file or directory".to_owned()];
    let output = t.bundle().mount("bind", source, "/hold", &["bind"]).try_run();
    output.refused(&[&fragments[0], &fragments[1]]);
}

/// Engines match these words.
fn bind_of_a_file_on_a_directory_is_refused(t: &Test) {
    for (source, destination) in [(hold(t).join("cargo"), "/there"), (hold(t), "/there/file")] {
        let bundle = t.bundle().directory("/there");
        fs::write(bundle.dir().join("rootfs/there/file"), "").unwrap();
        let output = bundle.mount("bind", source, destination, &["bind"]).try_run();
        output.refused(&["not a directory", destination]);
    }
}

fn missing_mount_points_are_created(t: &Test) {
    let bundle = t.bundle().mount("tmpfs", "tmpfs", "/a/b/c", &["mode=700"]);
    let bundle = bundle.mount("bind", hold(t).join("cargo"), "/d/e/file", &["bind"]);
    let lines = bundle.probe("stat /a/b/c , stat /d/e/file , stat /a").run().lines();
    assert_eq!(lines[0]["mode"], "0700");
    assert_eq!(lines[1]["kind"], "file");
    assert_eq!(lines[2]["mode"], "0755");
}

fn mounts_stack_in_order(t: &Test) {
    let bundle =
        t.bundle().mount("tmpfs", "tmpfs", "/m", &["size=1m"]).mount("bind", hold(t), "/m/in", &["bind"]);
    let lines = bundle.probe("read /m/in/cargo , list /m").run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["list"], json!(["in"]));
}

fn destination_link_stays_inside(t: &Test) {
    let bundle =
        t.bundle().directory("/real").link("/alias", "/real").mount("bind", hold(t), "/alias", &["bind"]);
    assert_eq!(bundle.probe("read /real/cargo").run().json()["read"], "tea");
}

fn destination_may_be_the_hosts_path(t: &Test) {
    let bundle = t.bundle().link("/away", t.dir());
    let place = |inside: &str| bundle.path(inside).to_string_lossy().into_owned();
    let [cargo, below, beside] = [place("/x/../cargo"), place("//cargo/./below"), format!("{}s", place(""))];
    let beside = beside.replace("rootfs/s", "rootfss");
    let (dev, away) = (place("/dev"), place("/away/hold"));
    let bundle =
        bundle.mount("bind", hold(t), &cargo, &["bind"]).mount("tmpfs", "tmpfs", &below, &["size=64k"]);
    let bundle = bundle.mount("none", "none", &cargo, &["remount", "bind", "ro"]).mount(
        "tmpfs",
        "tmpfs",
        &beside,
        &[],
    );
    let bundle = bundle.mount("tmpfs", "tmpfs", &away, &[]).set("/mounts/1/destination", dev);
    let seen = bundle.report();
    let root = bundle.path("/");
    for point in ["/cargo", "/cargo/below", &beside, "/dev"] {
        assert_eq!(mounted(&seen, point)["point"], point);
    }
    assert!(has(mounted(&seen, "/cargo"), "ro"), "a remount finds it too");
    assert!(seen["dev"].as_object().unwrap().contains_key("null"), "it is /dev: {}", seen["dev"]);
    let nested = bundle.path(&root.to_string_lossy());
    assert!(!nested.exists(), "{}", nested.display());
    assert!(mounted(&seen, &t.dir().join("hold").to_string_lossy()).is_object(), "a link stays inside");
}

fn tmpfs_options_are_passed_on(t: &Test) {
    let options = ["nosuid", "size=512k", "nr_inodes=100", "mode=1770", "uid=7", "gid=8"];
    let lines = t.bundle().mount("tmpfs", "name", "/m", &options).probe("stat /m , report").run().lines();
    assert_eq!(
        (&lines[0]["mode"], &lines[0]["uid"], &lines[0]["gid"]),
        (&json!("1770"), &json!(7), &json!(8))
    );
    let found = mounted(&lines[1], "/m");
    assert_eq!(found["source"], "name");
    for option in ["nosuid", "size=512k", "nr_inodes=100"] {
        assert!(has(found, option), "{option}: {found}");
    }
}

fn tmpfs_without_mode_takes_that_of_the_directory(t: &Test) {
    for mode in [0o711, 0o2750, 0o1777, 0o7, 0o5046] {
        let bundle = t.bundle().directory("/m");
        fs::set_permissions(bundle.path("/m"), fs::Permissions::from_mode(mode)).unwrap();
        let lines = bundle.mount("tmpfs", "tmpfs", "/m", &[]).probe("stat /m , report").run().lines();
        assert_eq!(lines[0]["mode"], format!("{mode:04o}"));
        assert!(mode == 0o1777 || has(mounted(&lines[1], "/m"), &format!("mode={mode:03o}")), "{mode:o}");
    }
    let lines = t.bundle().mount("tmpfs", "tmpfs", "/absent", &[]).probe("stat /absent").run().lines();
    assert_eq!(lines[0]["mode"], "1777");
}

fn tmpfs_copy_up_copies_files(t: &Test) {
    let bundle = t.bundle().file("/m/cargo", "tea").mount("tmpfs", "tmpfs", "/m", &["tmpcopyup"]);
    let bundle = bundle.probe("read /m/cargo , write /m/cargo x");
    let lines = bundle.run().lines();
    assert_eq!(lines[0]["read"], "tea");
    assert_eq!(lines[1]["errno"], "");
    assert_eq!(fs::read_to_string(bundle.path("/m/cargo")).unwrap(), "tea");
}

fn overlay_takes_layers_with_long_names(t: &Test) {
    // Together longer than a string of fsconfig(2); one name contains a separator.
    let layers: Vec<_> =
        ["a", "b:c", "d"].map(|name| t.dir().join(format!("{name}{}", "x".repeat(150)))).into();
    for (number, layer) in layers.iter().enumerate() {
        fs::create_dir(layer).unwrap();
        fs::write(layer.join(format!("file-{number}")), "x").unwrap();
    }
    let names: Vec<_> = layers.iter().map(|layer| layer.to_str().unwrap().replace("b:c", "b\\:c")).collect();
    let bundle = t.bundle().mount("overlay", "overlay", "/m", &[&format!("lowerdir={}", names.join(":"))]);
    for line in bundle.probe("read /m/file-0 , read /m/file-1 , read /m/file-2").run().lines() {
        assert_eq!(line["read"], "x");
    }
}

/// Everything in a directory is copied, including what its user may not read, and more entries than one
/// getdents64(2) returns.
fn tmpfs_copy_up_copies_a_whole_tree(t: &Test) {
    t.only_orlop("it copies other attributes of an inode");
    let bundle = t.bundle().file("/m/a/b/c/deep", "gold").file("/m/secret", "s");
    for n in 0..300 {
        fs::write(bundle.path(&format!("/m/a/a-file-with-a-long-name-{n}")), n.to_string()).unwrap();
    }
    fs::write(bundle.path("/m/big"), vec![b'x'; 3 << 20]).unwrap();
    fs::set_permissions(bundle.path("/m/secret"), fs::Permissions::from_mode(0o4400)).unwrap();
    std::os::unix::fs::lchown(bundle.path("/m/secret"), Some(7), Some(8)).unwrap();
    fs::set_permissions(bundle.path("/m/secret"), fs::Permissions::from_mode(0o4400)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", bundle.path("/m/link")).unwrap();
    fs::set_permissions(bundle.path("/m/a/b"), fs::Permissions::from_mode(0o1711)).unwrap();
    let bundle = bundle.mount("tmpfs", "tmpfs", "/m", &["tmpcopyup", "ro", "size=8m"]);
    let bundle = bundle.probe(
        "read /m/a/b/c/deep , stat /m/secret , stat /m/a/b , read /m/a/a-file-with-a-long-name-299 , \
         write /m/x x , stat /m/big",
    );
    let lines = bundle.run().lines();
    assert_eq!(lines[0]["read"], "gold");
    assert_eq!(
        (&lines[1]["mode"], &lines[1]["uid"], &lines[1]["gid"]),
        (&"4400".into(), &7.into(), &8.into())
    );
    assert_eq!(lines[2]["mode"], "1711");
    assert_eq!(lines[3]["read"], "299");
    assert_eq!(lines[4]["errno"], "EROFS");
    assert_eq!(lines[5]["size"], 3 << 20);
}

fn tmpcopyup_is_refused_on_a_bind(t: &Test) {
    t.only_orlop("it ignores the option");
    let bundle = t.bundle().mount("bind", hold(t), "/hold", &["bind", "tmpcopyup"]);
    bundle.try_run().refused(&["tmpcopyup", "/options/1"]);
}

fn unknown_option_is_refused_on_a_bind(t: &Test) {
    t.only_orlop("it ignores the option");
    t.bundle().mount("bind", hold(t), "/hold", &["bind", "size=1m"]).try_run().refused(&["size=1m"]);
}

/// Without SELinux no label is enforced; with SELinux the golden plans show where the label goes.
fn mount_label_without_selinux_is_refused(t: &Test) {
    if fs::metadata("/sys/fs/selinux/enforce").is_ok() {
        kit::skip("SELinux is on");
    }
    let bundle = t.bundle().set("/linux/mountLabel", "system_u:object_r:container_file_t:s0");
    bundle.try_run().refused(&[]);
    if t.is_orlop() {
        bundle.try_run().refused(&["SELinux is not enabled", "/linux/mountLabel"]);
    }
}

fn cgroup_mount_shows_the_containers_cgroup(t: &Test) {
    t.v1("memory", "");
    let bundle = t
        .bundle()
        .probe("report , write /sys/fs/cgroup/memory/memory.limit_in_bytes 1 , list /sys/fs/cgroup");
    let lines = bundle.run().lines();
    let found = mounted(&lines[0], "/sys/fs/cgroup/memory");
    assert_eq!(found["type"], "cgroup");
    assert!(has(found, "ro") && has(found, "memory"), "{found}");
    // Without a cgroup namespace the mount shows only the container's own subtree.
    assert_eq!(found["root"], format!("/{}", bundle.id()));
    assert_eq!(lines[1]["errno"], "EROFS");
    let names = lines[2]["list"].as_array().unwrap();
    for name in ["cpu", "memory", "pids", "freezer", "devices"] {
        assert!(names.contains(&json!(name)), "{names:?}");
    }
}

fn cgroup_mount_in_a_cgroup_namespace(t: &Test) {
    t.v1("memory", "");
    let bundle = t.bundle().namespace("cgroup").probe("report , read /sys/fs/cgroup/pids/cgroup.procs");
    let lines = bundle.run().lines();
    assert_eq!(mounted(&lines[0], "/sys/fs/cgroup/memory")["root"], "/");
    assert_eq!(lines[1]["read"], "1\n", "the namespace's root is the container's cgroup");
}

fn user_namespace_mounts(t: &Test) {
    let dir = hold(t);
    let seen = t.bundle().user_namespace(200_000).mount("bind", &dir, "/hold", &["rbind", "ro"]).report();
    for point in ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/hold"] {
        mounted(&seen, point);
    }
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert_eq!(seen["dev"][name]["kind"], "c", "{name}");
    }
}
